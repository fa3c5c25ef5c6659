"""The last decisions of a step in one view: what the values were, the verdict, who, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import action_ids, evidence, lists, sentences
from metaflow_extensions.hitl.messages.blocks import Block, context, divider, modal, mrkdwn, section
from metaflow_extensions.hitl.messages.mrkdwn import escape, one_line

SHOWN = 5
_VALUES = 600
_METRICS = 10


def like_before_view(approval: Approval, earlier: Sequence[Approval], *, now: datetime) -> Block:
    """Show the values of a question, and below them the last decisions of its step.

    Parameters
    ----------
    approval : Approval
        The question that is looked at.
    earlier : Sequence[Approval]
        Decided ones, the newest first; five are shown.
    now : datetime
        The present; aware.
    """
    blocks: list[Block] = [section(mrkdwn(f"*This question*\n{_values(approval)}")), divider()]
    if not earlier:
        blocks.append(section(mrkdwn("Nothing was decided in this step before, as far as you can see.")))
    for one in earlier[:SHOWN]:
        blocks += [*lists.decided_row(one, now), context(_values(one))]
    return modal("Like before", blocks, callback_id=action_ids.NOTICE_VIEW, close="Close")


def _values(approval: Approval) -> str:
    """Say what a decision was based on, and what was entered; mrkdwn."""
    found = approval.question.evidence
    metrics = evidence.lines_of(found)[:_METRICS] if found is not None else []
    said = [f"{name} {value}" for name, value, _ in metrics] or ["no metrics were recorded"]
    if approval.decision is not None:
        said += [f"{name} = {sentences.value_text(value)}" for name, value in approval.decision.input.items()]
    return escape(one_line(" · ".join(said)[: 4 * _VALUES]), _VALUES)
