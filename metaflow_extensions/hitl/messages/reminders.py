"""What a reminder says, below the question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.record import Approval, Reminder, ReminderKind
from metaflow_extensions.hitl.messages import question
from metaflow_extensions.hitl.messages.mrkdwn import approver, name

_MENTIONED = 20


def reminder_line(approval: Approval, reminder: Reminder, *, now: datetime, whom: Sequence[str]) -> str:
    """Ask again; mrkdwn that mentions the given people and groups and nobody else.

    Parameters
    ----------
    approval : Approval
        Pending.
    reminder : Reminder
        Why.
    now : datetime
        The present; aware.
    whom : Sequence[str]
        Slack's ids of users and groups, 20 of them at most are named; or names in words.
    """
    waited = in_words((now - approval.requested_at).total_seconds())
    named = ", ".join(approver(one, {}) for one in whom[:_MENTIONED])
    whose = f" {named}" if named else ""
    by = f" {name(reminder.by)} asks again." if reminder.by else ""
    until = f" Answer by {question.answer_by(approval)}." if approval.deadline else ""
    if reminder.kind is ReminderKind.ESCALATION:
        return f"*Nobody has answered for {waited}.*{whose} can now decide too.{until}"
    head = "Last call" if reminder.kind is ReminderKind.LAST_CALL else "Reminder"
    return f"*{head}:*{whose} this has been waiting for {waited}.{by}{until}"
