"""What happened to an approval, version by version, in one line each."""

from collections.abc import Callable
from typing import NamedTuple

from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.record import Approval, ReminderKind, TrailEvent, Verdict, Where

from . import evidence, obligations, sentences, voting
from .blocks import escape, literal, name, one_line, quoted, utc
from .voting import requester

_INPUT = 400  # characters of what was entered


class EventWords(NamedTuple):
    """How an event is told.

    Attributes
    ----------
    told : Callable[[Approval], str]
        In Slack: who did what; mrkdwn. Empty where the version does not hold what its event says.
    short : str
        In a terminal's list of versions.
    log : str
        The line that the bot which wrote the version writes to its log.
    metric : str
        The value of the label ``event`` in ``hitl_versions_written_total``.
    sent : str
        The type of the event that other systems are told of, without ``hitl.`` before it; empty where they are told of
        nothing. What ends an approval has its type by how it ended.
    """

    told: Callable[[Approval], str]
    short: str
    log: str
    metric: str
    sent: str = ""


def happened(version: Version) -> str:
    """Say what a version adds, and who did it; mrkdwn that mentions nobody, at most 1,500 characters."""
    # A later release's event is a plain word.
    said = EVENTS[version.event].told(version.approval) if isinstance(version.event, TrailEvent) else ""
    return said or escape(version.event[:1].upper() + version.event[1:], 40)


def short(version: Version) -> str:
    """Say what a version adds in a word or two, for a terminal."""
    return EVENTS[version.event].short if isinstance(version.event, TrailEvent) else one_line(version.event)


def _requested(approval: Approval) -> str:
    return f"Asked by {requester(approval, name)}"


def _posted(approval: Approval) -> str:
    return f"Posted with {escape(approval.posts[-1].notifier, 40)}" if approval.posts else ""


def _policy_applied(approval: Approval) -> str:
    said = voting.demands(approval.requirements) or "No rule of the operator's policy applies now"
    return escape(one_line(said), 500)


def _reminded(kind: ReminderKind, head: str) -> Callable[[Approval], str]:
    def told(approval: Approval) -> str:
        reminder = approval.reminded(kind)
        return head if reminder is None or reminder.by is None else f"{head}, requested by {name(reminder.by)}"

    return told


def _closed(approval: Approval) -> str:
    return _ended("Closed without an answer", approval, 300)


def _not_accepted(approval: Approval) -> str:
    return _ended("Not accepted", approval, 500)


def _ended(head: str, approval: Approval, limit: int) -> str:
    return f"{head}: {escape(one_line(approval.closing.reason), limit)}" if approval.closing else ""


def _settled(approval: Approval) -> str:
    after = sentences.trouble(approval) or f"Settled: {sentences.aftermath(approval)}".removesuffix(": ")
    return escape(one_line(f"{after}. {given_up}" if (given_up := sentences.not_shown(approval)) else after), 500)


def _requester_confirmed(approval: Approval) -> str:
    who = approval.confirmed_requester
    return "" if who is None else f"{name(who)} confirmed that the run is theirs"


def _unattended(approval: Approval) -> str:
    return escape(sentences.nobody_waits(approval, utc), 500)


def _voted(approval: Approval) -> str:
    if not approval.votes:
        return ""
    vote = approval.votes[-1]
    said = f": {quoted(vote.reason)}" if vote.reason else ""
    aside = voting.put_aside(approval, name)
    return f"Vote of {voting.voter(vote, name)} ({vote.where.value}): {vote.verdict.value}{said}" + (
        aside and f". {aside}"
    )


def _judged(approval: Approval) -> str:
    judgement = approval.judgement
    return escape(one_line(evidence.judgement_words(judgement)), 500) if judgement is not None else ""


def _decided(approval: Approval) -> str:
    decision = approval.decision
    if decision is None:
        return ""
    ending = sentences.verdict(approval, name)
    tail = ending.tail if approval.closing is None else escape(ending.tail, 300)  # its reason is text from outside
    if decision.where in {Where.TIMEOUT, Where.NEWER_QUESTION}:
        return f"{ending.head}{tail}"
    # The ending itself says how an answer came that is not from Slack.
    says_it_itself = decision.by.is_claimed or decision.where in {Where.RULE, Where.IN_ADVANCE}
    way = "" if says_it_itself else f" ({decision.where.value})"
    said = f": {quoted(decision.reason)}" if decision.reason.strip() else ""
    entered = ""
    if decision.verdict is Verdict.APPROVE and decision.input:
        pairs = ", ".join(f"{key}={sentences.value_text(value)[:_INPUT]}" for key, value in decision.input.items())
        entered = f" with {literal(one_line(pairs[: 2 * _INPUT]), _INPUT)}"
    return f"{ending.head}{tail}{way}{said}{entered}"


EVENTS = {
    TrailEvent.REQUESTED: EventWords(_requested, "requested", "approval requested", "requested", "requested"),
    TrailEvent.POSTED: EventWords(_posted, "posted", "question posted", "posted"),
    TrailEvent.POLICY_APPLIED: EventWords(_policy_applied, "policy applied", "policy applied", "policy_applied"),
    TrailEvent.JUDGED: EventWords(_judged, "judged by rule", "rule judged", "judged"),
    TrailEvent.REQUESTER_CONFIRMED: EventWords(
        _requester_confirmed, "requester confirmed", "requester confirmed", "requester_confirmed"
    ),
    TrailEvent.UNATTENDED: EventWords(_unattended, "nobody waits", "nobody waits", "unattended"),
    TrailEvent.ATTENDED: EventWords(
        lambda _: "A run waits for the answer again", "attended again", "a run waits again", "attended"
    ),
    TrailEvent.VOTED: EventWords(_voted, "voted", "vote counted", "voted", "voted"),
    TrailEvent.REMINDED: EventWords(
        _reminded(ReminderKind.REMINDER, "Reminded"), "reminded", "reminder sent", "reminded", "reminded"
    ),
    TrailEvent.ESCALATED: EventWords(
        _reminded(ReminderKind.ESCALATION, "Asked further people"),
        "escalated",
        "further approvers asked",
        "escalated",
        "escalated",
    ),
    TrailEvent.LAST_CALL: EventWords(
        _reminded(ReminderKind.LAST_CALL, "Last call before the deadline"),
        "last call",
        "last call sent",
        "last_call",
        "last-call",
    ),
    TrailEvent.DECIDED: EventWords(_decided, "decided", "approval decided", "decided"),
    TrailEvent.TIMED_OUT: EventWords(_decided, "timed out", "deadline decided", "timed_out"),
    TrailEvent.SUPERSEDED: EventWords(_decided, "superseded", "question superseded", "superseded"),
    TrailEvent.CLOSED: EventWords(_closed, "closed", "approval closed", "closed"),
    TrailEvent.NOT_ACCEPTED: EventWords(_not_accepted, "not accepted", "decision not accepted", "not_accepted"),
    TrailEvent.SETTLED: EventWords(_settled, "settled", "approval settled", "settled"),
    TrailEvent.OWNER_REMINDED: EventWords(
        obligations.told_reminded, "owner reminded", "owner of an obligation reminded", "owner_reminded"
    ),
    TrailEvent.OBLIGATION_DONE: EventWords(
        obligations.told_done, "obligation done", "obligation done", "obligation_done", "obligation-done"
    ),
}
"""Every event's words, in one place."""
