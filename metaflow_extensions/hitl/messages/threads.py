"""What a reply in a question's thread says: several lines, and what is said of many gates once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.record import Approval, Reminder, ReminderKind

from . import single
from .blocks import approver, code, name

# What a reminder says, below the question.

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
    until = f" Answer by {single.answer_by(approval)}." if approval.deadline else ""
    if reminder.kind is ReminderKind.ESCALATION:
        return f"*Nobody has answered for {waited}.*{whose} can now decide too.{until}"
    head = "Last call" if reminder.kind is ReminderKind.LAST_CALL else "Reminder"
    return f"*{head}:*{whose} this has been waiting for {waited}.{by}{until}"


# What a reply in a question's thread says: several lines, and what is said of many gates once.

_LONGEST = 2_900  # characters of one reply, below the 3,000 of a section
_LINES = 300  # of one reply: their names have to fit into its metadata
_NAMED = 20  # gates of which the same is said


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something to be said.

    Attributes
    ----------
    name : str
        By which it is found again in the thread.
    number : int, optional
        Of the version that it tells of; None: the record does not know.
    text : str
        mrkdwn.
    about : str
        The gate it is about, by what it works on or by its id, where several share the message.
    reminds : ReminderKind, optional
        It reminds, as long as the approval waits.
    """

    name: str
    approval_id: str
    text: str
    number: int | None = None
    about: str = ""
    reminds: ReminderKind | None = None

    def saying(self, text: str) -> "Line":
        return replace(self, text=text)


def together(lines: Sequence[Line]) -> tuple[str, list[Line]]:
    """Put as many lines into one reply as it holds, the oldest first.

    Returns
    -------
    str, list[Line]
        The reply, and the lines that it says; one at least, if there are any.
    """
    said: list[Line] = []
    text = ""
    for line in lines[:_LINES]:
        more = _text([*said, line])
        if said and len(more) > _LONGEST:
            break
        said, text = [*said, line], more
    return text, said


def _text(lines: Sequence[Line]) -> str:
    about: dict[str, list[str]] = {}
    for line in lines:
        about.setdefault(line.text, []).append(line.about)
    return "\n".join(_of(text, [gate for gate in gates if gate]) for text, gates in about.items())


def _of(text: str, gates: Sequence[str]) -> str:
    if not gates:
        return text
    named = ", ".join(code(gate) for gate in gates[:_NAMED])
    if len(gates) == 1:
        return f"{named}: {text}"
    more = f" and {len(gates) - _NAMED} more" if len(gates) > _NAMED else ""
    return f"{len(gates)} shards: {text}\n{named}{more}"


def nobody_knows_who_asked(approval: Approval) -> str:
    """Report, before anybody tries, that the requester may not approve and isn't linked to a user; mrkdwn."""
    requester = approval.requester
    return (
        f"Nobody can approve this: the person who started the run may not approve it, and {name(requester)} isn't "
        "linked to a Slack user. An operator can link them under `people` in the policy file: "
        f"{code(f'{requester.id}: their email address')}."
    )
