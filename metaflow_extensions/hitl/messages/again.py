"""The view that runs a workflow again with other parameters.

Source of the limits: docs.slack.dev/reference/views (100 blocks), docs.slack.dev/reference/block-kit (a label takes
2,000 characters, a ``block_id`` 255, an input 3,000).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.blocks import Block, context, modal, mrkdwn, plain, section
from metaflow_extensions.hitl.messages.mrkdwn import escape, one_line, quoted
from metaflow_extensions.hitl.messages.views import metadata_of

_LONGEST = 3_000  # characters of an input
_LONGEST_NAME = 200
_PARAMETERS = 90  # beside the other blocks


def run_again_view(approval: Approval, parameters: Mapping[str, str]) -> Block:
    """Build the form: what should change, and the parameters as they were.

    A value that is too long for an input is not offered, and stays as it was.
    """
    by = approval.decision.by.name if approval.decision else ""
    reason = approval.decision.reason if approval.decision else ""
    offered = {name: value for name, value in parameters.items() if _fits(name, value)}
    shown = dict(list(offered.items())[:_PARAMETERS])
    said = f"*{escape(by, 80)}* asked for changes:\n{quoted(reason, 1_000)}"
    blocks = [section(mrkdwn(said)), *[_input(name, value) for name, value in shown.items()]]
    if not parameters:
        blocks.append(section(plain("This flow has no parameters. It runs again as it is deployed now.")))
    if len(shown) < len(parameters):
        kept = ", ".join(name for name in parameters if name not in shown)
        blocks.append(context(f"Kept as they were: {escape(one_line(kept), 500)}"))
    return modal(
        "Run again",
        blocks,
        callback_id=action_ids.RUN_AGAIN_VIEW,
        close="Cancel",
        submit=plain("Run again"),
        private_metadata=metadata_of(approval.id),
    )


def parameters_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Read the parameters out of ``view["state"]["values"]``; one that was emptied is an empty text."""
    beginning = action_ids.PARAMETER_BLOCK
    return {
        block_id.removeprefix(beginning): str(inputs[action_ids.PARAMETER_VALUE].get("value") or "")
        for block_id, inputs in values.items()
        if block_id.startswith(beginning)
    }


def parameter_block(name: str) -> str:
    """Return the ``block_id`` of a parameter's input."""
    return f"{action_ids.PARAMETER_BLOCK}{name}"


def started(workflow: str) -> str:
    """Say that it runs; the question comes when it gets to its gate."""
    return (
        f"Workflow {workflow} has started. Its question is posted here when the run reaches the gate, and "
        "links to this one."
    )


def _fits(name: str, value: str) -> bool:
    return len(name) <= _LONGEST_NAME and len(value) <= _LONGEST


def _input(name: str, value: str) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": action_ids.PARAMETER_VALUE,
        "multiline": "\n" in value,
        "max_length": _LONGEST,
    }
    if value:
        element["initial_value"] = value
    return {
        "type": "input",
        "block_id": parameter_block(name),
        "label": plain(name),
        "optional": not value,  # whoever wants to empty one has the command
        "element": element,
    }
