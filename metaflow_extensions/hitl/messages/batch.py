"""The message that the gates of one foreach share, and the views that answer all of them.

Source of the limits: docs.slack.dev/reference/block-kit (10 options in a group of checkboxes, 75 characters for the
text of one), docs.slack.dev/reference/views (100 blocks).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.messages import action_ids, question, sentences
from metaflow_extensions.hitl.messages.blocks import (
    Block,
    actions,
    button,
    confirm,
    context,
    field_sections,
    fits,
    header,
    modal,
    plain,
    section,
)
from metaflow_extensions.hitl.messages.form import form_blocks
from metaflow_extensions.hitl.messages.mrkdwn import ELLIPSIS, code, cut, escape, name, one_line
from metaflow_extensions.hitl.messages.question import Rendered
from metaflow_extensions.hitl.messages.views import reason_input, rule_wants_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from metaflow_extensions.hitl.approvals.record import Approval

_LINES = 20  # shards that the message lists; those that wait come first
_LINE = 110  # characters of a shard's question there
_GROUP = 10  # checkboxes of one group
CHOOSABLE = 300  # shards that one view offers: 30 groups
_OPTION = 75


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The gates of one step of one run, which share a message.

    Attributes
    ----------
    id : str
        Of the batch.
    pathspec : str
        ``flow/run/step``.
    members : Sequence[Approval]
        One of each gate, one at least.
    """

    id: str
    pathspec: str
    members: Sequence[Approval]

    @property
    def waiting(self) -> list[Approval]:
        return [one for one in self.members if one.state is State.PENDING]


def render(batch: Batch, *, now: datetime) -> Rendered:
    """Render the message as the gates stand."""
    first, waiting = batch.members[0], batch.waiting
    title = _title(batch)
    blocks: list[Block] = [header(title), context(question.origin(first)), section(plain(_progress(batch)))]
    if waiting:
        soonest = min(waiting, key=lambda one: (one.deadline is None, one.deadline or now))
        blocks += field_sections(
            [f"*Who decides*\n{question.who_decides(first, {})}", f"*Answer by*\n{question.answer_by(soonest)}"]
        )
        if sentences.asks_for_input(first):
            blocks.append(section(plain(sentences.asked_when_approving(first), 600)))
    foot = [_buttons(batch)] if waiting else []
    listed = sorted(batch.members, key=lambda one: one.state is not State.PENDING)
    left = len(listed)
    for approval in listed[:_LINES]:
        line = context(_line(approval))
        if not fits([*blocks, line, context(f"and {left} more"), *foot]):
            break
        blocks.append(line)
        left -= 1
    if left:
        blocks.append(context(f"and {left} more: {code(f'/hitl list step {first.pathspec.step}')}"))
    return Rendered(
        text=f"{escape(title)} ({escape(sentences.place(first))})",
        blocks=[*blocks, *foot],
        metadata={
            "event_type": action_ids.EVENT_TYPE,
            "event_payload": {"approval_id": batch.id, "pathspec": batch.pathspec},
        },
    )


def approve_all_view(batch: Batch) -> Block:
    """Build the form that approves all with the same input, and for the same reason where a rule wants one."""
    first = batch.waiting[0]
    said = f"What is entered goes to all {len(batch.waiting)} that wait."
    reason = [reason_input("Reason", rule_wants_one(first))] if first.rule.reason_required else []
    return _view(
        "Approve all",
        [section(plain(said)), *form_blocks(sentences.form_fields(first)), *reason],
        batch,
        callback_id=action_ids.APPROVE_ALL_VIEW,
        submit="Approve all",
    )


def reject_all_view(batch: Batch) -> Block:
    """Build the view that asks why all are rejected."""
    said = f"{len(batch.waiting)} wait, and all of them are rejected."
    return _view(
        "Reject all",
        [section(plain(said)), reason_input("Reason", "The requester reads it.")],
        batch,
        callback_id=action_ids.REJECT_ALL_VIEW,
        submit="Reject all",
    )


def approve_except_view(batch: Batch) -> Block:
    """Build the view with a checkbox for each shard that waits, 300 at most, and the inputs of the form."""
    shown = batch.waiting[:CHOOSABLE]
    blocks: list[Block] = [section(plain("Every shard that is ticked is approved. Untick the others."))]
    for start in range(0, len(shown), _GROUP):
        options = [_option(one) for one in shown[start : start + _GROUP]]
        element = {
            "type": "checkboxes",
            "action_id": action_ids.SHARDS_VALUE,
            "options": options,
            "initial_options": options,
        }
        last = min(start + _GROUP, len(shown))
        blocks.append(
            {
                "type": "input",
                "block_id": f"{action_ids.SHARDS_BLOCK}{start // _GROUP}",
                "label": plain(f"{start + 1} to {last} of {len(shown)}"),
                "optional": True,  # an empty group is an answer
                "element": element,
            }
        )
    if len(batch.waiting) > len(shown):
        blocks.append(context(f"{len(batch.waiting) - len(shown)} more wait; they are offered after these."))
    choices = [
        {"text": plain("The others wait on", _OPTION), "value": action_ids.OTHERS_WAIT},
        {"text": plain("The others are rejected", _OPTION), "value": action_ids.OTHERS_REJECTED},
    ]
    blocks.append(
        {
            "type": "input",
            "block_id": action_ids.OTHERS_BLOCK,
            "label": plain("Those that are not ticked"),
            "element": {
                "type": "radio_buttons",
                "action_id": action_ids.OTHERS_VALUE,
                "options": choices,
                "initial_option": choices[0],
            },
        }
    )
    first = batch.waiting[0]
    wanted = first.rule.reason_required
    hint = rule_wants_one(first) if wanted else "Needed where others are rejected."
    blocks.append({**reason_input("Reason", hint), "optional": not wanted})
    blocks += form_blocks(sentences.form_fields(first))
    return _view("Approve all except…", blocks, batch, callback_id=action_ids.APPROVE_EXCEPT_VIEW, submit="Approve")


def batch_of(view: Mapping[str, Any]) -> str:
    """Read the batch's id out of a view that Slack sent back; empty if it holds none."""
    try:
        held = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return ""
    found = held.get("batch") if isinstance(held, dict) else None
    return found if isinstance(found, str) else ""


def chosen(view: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the ids of the shards that are ticked, and of those that are not, out of a view that Slack sent back."""
    offered: set[str] = set()
    for block in view.get("blocks", ()):
        if str(block.get("block_id", "")).startswith(action_ids.SHARDS_BLOCK):
            offered |= {str(option["value"]) for option in block["element"]["options"]}
    ticked: set[str] = set()
    for block_id, values in view["state"]["values"].items():
        if block_id.startswith(action_ids.SHARDS_BLOCK):
            ticked |= {str(one["value"]) for one in values[action_ids.SHARDS_VALUE].get("selected_options") or ()}
    return ticked & offered, offered - ticked


def others_are_rejected(view: Mapping[str, Any]) -> bool:
    """Whether the view says so."""
    entered = view["state"]["values"].get(action_ids.OTHERS_BLOCK, {}).get(action_ids.OTHERS_VALUE, {})
    return (entered.get("selected_option") or {}).get("value") == action_ids.OTHERS_REJECTED


def _title(batch: Batch) -> str:
    waiting, count = len(batch.waiting), len(batch.members)
    if waiting == count:
        return f"{count} {'shard waits' if count == 1 else 'shards wait'}"
    return f"{waiting} of {count} shards wait" if waiting else f"All {count} shards are answered"


def _progress(batch: Batch) -> str:
    states = [one.state for one in batch.members]
    words = ((State.APPROVED, "approved"), (State.REJECTED, "rejected"), (State.EXPIRED, "expired"))
    counts = [f"{states.count(state)} {word}" for state, word in words if state in states]
    if State.SUPERSEDED in states:
        counts.append(f"{states.count(State.SUPERSEDED)} closed without an answer")
    if State.PENDING in states:
        counts.append(f"{states.count(State.PENDING)} waiting")
    return " · ".join(counts)


def _line(approval: Approval) -> str:
    about = escape(cut(one_line(sentences.question(approval)[: 4 * _LINE]), _LINE))
    if approval.state is State.PENDING:
        return f"*Waits*: {about} · {code(approval.id)}"
    ending = sentences.verdict(approval, name)
    tail = escape(cut(ending.tail, 100)) if approval.decision is None else ending.tail
    return f"*{ending.head}*{tail}: {about} · {code(approval.id)}"


def _buttons(batch: Batch) -> Block:
    first, count = batch.members[0], len(batch.waiting)
    more = f"Approve all except{ELLIPSIS}"
    if sentences.opens_form(first):
        approve = button(f"Approve all{ELLIPSIS}", action_ids.APPROVE_ALL, batch.id, style="primary")
    else:
        asked = confirm("Approve all?", f"{count} of {sentences.place(first)[:200]}", yes="Approve all")
        approve = button("Approve all", action_ids.APPROVE_ALL, batch.id, style="primary", confirm=asked)
    return actions(
        [
            approve,
            button(more, action_ids.APPROVE_EXCEPT, batch.id),
            button(f"Reject all{ELLIPSIS}", action_ids.REJECT_ALL, batch.id, style="danger"),
        ]
    )


def _option(approval: Approval) -> Block:
    about = one_line(sentences.question(approval)[: 4 * _OPTION])
    return {
        "text": plain(about, _OPTION),
        "description": plain(approval.id, _OPTION),
        "value": approval.id,
    }


def _view(title: str, blocks: list[Block], batch: Batch, *, callback_id: str, submit: str) -> Block:
    return modal(
        title,
        [context(question.origin(batch.members[0])), *blocks],
        callback_id=callback_id,
        close="Cancel",
        submit=plain(submit),
        private_metadata=json.dumps({"batch": batch.id}),
    )
