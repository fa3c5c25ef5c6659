"""What an approval is: frozen values, as they stand in the record."""

import hashlib
import re
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum
from typing import Any, ClassVar, NamedTuple

from .errors import HitlError
from .evidence.comparing import raised
from .question import OnReject, OnTimeout, PolicyRule, Question, Requirements, RuleMode, stricter

# Which task an approval is about, and the id that follows from it.

_PART = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]{0,199}")  # it becomes part of a key: no dot first
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_STEP_LENGTH = 40  # what an id keeps of a step's name; the hash tells apart what is cut
_HASH_LENGTH = 10


class BadId(HitlError, ValueError):
    """This is neither an approval id nor a pathspec."""

    def __init__(self, text: str) -> None:
        shown = text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - one line of a terminal
        super().__init__(
            f"{shown!r} is not an approval ID. Use the ID under the question (such as gate-7f3k2m9qx4), "
            "a unique beginning of it, or the pathspec FLOW/RUN/STEP/TASK."
        )


@dataclass(frozen=True, kw_only=True)
class Pathspec:
    """A Metaflow task by its four names. Metaflow's own names never hold a slash."""

    flow: str
    run: str
    step: str
    task: str

    def __post_init__(self) -> None:
        for part in (self.flow, self.run, self.step, self.task):
            if not _PART.fullmatch(part):
                raise BadId(str(self))

    def __str__(self) -> str:
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @classmethod
    def parse(cls, text: str) -> "Pathspec":
        """Read ``flow/run/step/task``; raise BadId for anything else."""
        parts = text.split("/")
        if len(parts) != 4:  # noqa: PLR2004 - a pathspec has four names
            raise BadId(text)
        flow, run, step, task = parts
        return cls(flow=flow, run=run, step=step, task=task)

    @property
    def approval_id(self) -> str:
        """``<step>-<10 characters>``: the same for every attempt at this task, and for no other task."""
        digest = hashlib.sha256(str(self).encode()).digest()
        step = re.sub(r"[^a-z0-9]+", "-", self.step.lower()).strip("-")[:_STEP_LENGTH].rstrip("-") or "step"
        return f"{step}-{b32encode(digest).decode().lower()[:_HASH_LENGTH]}"


def checked_id(text: str) -> str:
    """Return an id, or a beginning of one, that is safe as part of a key; raise BadId otherwise."""
    if not _ID.fullmatch(text):
        raise BadId(text)
    return text


def is_part(text: str) -> bool:
    """Whether this could be a name in a pathspec, and so a part of a key."""
    return _PART.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether this could be a whole id."""
    return _ID.fullmatch(text) is not None


# What can happen to an approval: one event for each version of its record.


class TrailEvent(str, Enum):
    """What a version adds to the one before it. ``messages/trail.py`` has the words for each."""

    REQUESTED = "requested"
    POSTED = "posted"
    POLICY_APPLIED = "policy applied"  # the operator's rule, as it is now
    JUDGED = "judged"  # what a condition over metrics says, without deciding
    REQUESTER_CONFIRMED = "requester confirmed"  # the person said that the run is theirs
    UNATTENDED = "unattended"  # nobody waits for the answer
    ATTENDED = "attended"  # somebody does again
    VOTED = "voted"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    LAST_CALL = "last call"
    DECIDED = "decided"
    TIMED_OUT = "timed out"  # the deadline decided
    SUPERSEDED = "superseded"  # a newer run asks the same
    CLOSED = "closed"  # without an answer
    NOT_ACCEPTED = "not accepted"  # the operator's policy refuses the decision
    SETTLED = "settled"  # every effect was carried out
    OWNER_REMINDED = "owner reminded"  # of an obligation
    OBLIGATION_DONE = "obligation done"

    def __str__(self) -> str:
        return self.value


def read_event(text: str) -> TrailEvent | str:
    """Read an event; one that a later release added stays the word that it wrote, because it only describes."""
    try:
        return TrailEvent(text)
    except ValueError:
        return text


# What an approval is: frozen values, as they stand in the record.

# The codec reads the annotations.


class Verdict(str, Enum):
    """What was said."""

    APPROVE = "approved"
    REJECT = "rejected"
    CHANGES = "changes requested"  # to the run it is a rejection; to its requester, how to ask again


class Where(str, Enum):
    """The way in that a decision came by."""

    BUTTON = "button"
    FORM = "form"
    SLASH_COMMAND = "slash command"
    COMMAND_LINE = "command line"
    CONFIRMATION = "command line, confirmed in the chat"
    TIMEOUT = "timeout"
    RULE = "rule"  # a condition over metrics
    IN_ADVANCE = "in advance"  # of a foreach's shards, before this one asked
    NEWER_QUESTION = "newer question"  # of a later run, which took its place


class State(str, Enum):
    """The state of an approval. Only PENDING can be answered."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"  # a newer run asked the same
    CLOSED = "closed"  # nobody waits for it: the run ended, was stopped, or is gone
    NOT_ACCEPTED = "not accepted"  # the operator's policy refused a decision that nobody could hold back


class Origin(str):
    """Who vouches for a person's id: a chat system by its name, or one of the three below. Compare with ``==``."""

    __slots__ = ()
    CLAIM: "ClassVar[Origin]"  # a name from a command line: nobody vouches for it
    CLOCK: "ClassVar[Origin]"  # the deadline
    RULE: "ClassVar[Origin]"  # what the step's author or the operator wrote down

    def __new__(cls, name: str) -> "Origin":  # noqa: PYI034 - Self needs Python 3.11
        if not _ORIGIN.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a chat system")
        return super().__new__(cls, name)

    @property
    def vouches(self) -> bool:
        """Whether the person signed in somewhere."""
        return self not in {Origin.CLAIM, Origin.CLOCK, Origin.RULE}


_ORIGIN = re.compile(r"[a-z][a-z0-9_-]{0,39}")
Origin.CLAIM = Origin("claim")
Origin.CLOCK = Origin("clock")
Origin.RULE = Origin("rule")


class EngineKind(str, Enum):
    """What the gate waits in."""

    LOCAL = "local"
    ARGO = "argo"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who asked or answered; for an expiry, the clock."""

    origin: Origin
    id: str  # the chat system's, or a user name of the machine
    name: str
    email: str | None = None

    @property
    def is_claimed(self) -> bool:
        """Whether this is a name that nobody vouches for."""
        return self.origin == Origin.CLAIM

    @property
    def is_vouched_for(self) -> bool:
        """Whether a chat system vouches for the id."""
        return self.origin.vouches


CLOCK = Person(origin=Origin.CLOCK, id="clock", name="the deadline")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the condition of ``auto_approve`` said, whether or not it decided."""

    condition: str
    holds: bool | None  # None: it has no answer
    mode: RuleMode
    at: datetime
    why: str = ""  # why it did not decide, if it did not

    @property
    def approves(self) -> bool:
        """Whether it decides, or would have."""
        return self.holds is True


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The place in the flow that waits."""

    engine: EngineKind
    namespace: str | None = None  # of Kubernetes
    workflow: str | None = None


@dataclass(frozen=True, kw_only=True)
class Post:
    """Where a notifier put the question. ``channel`` and ``ts`` find the message again, where it can change."""

    notifier: str
    at: datetime
    channel: str | None = None
    ts: str | None = None
    url: str | None = None
    batch: str | None = None  # of gates that share the message
    ids: dict[str, str] = field(default_factory=dict[str, str])  # of approvers named by handle or address
    nobody: tuple[str, ...] = ()  # approvers that matched no one when this was posted


class DuePassed(HitlError, ValueError):
    """The day on which an obligation is due was over before anybody took it on."""


@dataclass(frozen=True, kw_only=True)
class Obligation:
    """What somebody owes with an approval. It holds nothing up.

    Attributes
    ----------
    due : str
        A day, as ``2026-12-31``.

    Raises
    ------
    ValueError
        There is no text, or no such day.
    """

    text: str
    owner: Person
    due: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("an obligation needs a text")
        if date.fromisoformat(self.due).isoformat() != self.due:
            raise ValueError(f"{self.due!r} is not a day such as 2026-12-31")

    @property
    def day(self) -> date:
        return date.fromisoformat(self.due)

    def check_not_over(self, today: date) -> "Obligation":
        """Return the obligation if somebody can still take it on; raise DuePassed if its day is over."""
        if self.day < today:
            raise DuePassed(f"{self.due} has passed, so nothing was recorded. Choose today or a later day.")
        return self


class Promise(NamedTuple):
    """What one person owes once, however many approvals of a step were given for it with one answer."""

    flow: str
    run: str
    step: str
    giver_origin: str
    giver_id: str
    owner_origin: str
    owner_id: str
    text: str
    due: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person says: verdict, input, reason, and what somebody owes with a yes."""

    verdict: Verdict
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    obligation: Obligation | None = None


@dataclass(frozen=True, kw_only=True)
class GivenAnswer(Answer):
    """An answer with who, where and when."""

    by: Person
    at: datetime
    where: Where
    on_behalf_of: Person | None = None
    given_at: datetime | None = None  # where it was given in advance: when, before anybody had seen the question


@dataclass(frozen=True, kw_only=True)
class Vote(GivenAnswer):
    """An answer of one of several people who must agree. The last one of each person counts."""

    counts_for: tuple[str, ...] = ()  # the approvers, as they are named, that this person stood for when voting
    instead_of: tuple[Person, ...] = ()  # whose votes it put aside (``votes.cast`` says when)


@dataclass(frozen=True, kw_only=True)
class Decision(GivenAnswer):
    """The answer that counts."""

    question_digest: str = ""  # SHA-256 of the question as it was shown; empty: nothing was recorded to be bound to
    voters: tuple[Person, ...] = ()  # where votes were collected: everybody whose vote made it, in order


class ReminderKind(str, Enum):
    """Why people are asked again."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    LAST_CALL = "last call"

    @property
    def event(self) -> TrailEvent:
        """The version of the record that a reminder is."""
        return _REMINDER_EVENTS[self]


_REMINDER_EVENTS = {
    ReminderKind.REMINDER: TrailEvent.REMINDED,
    ReminderKind.ESCALATION: TrailEvent.ESCALATED,
    ReminderKind.LAST_CALL: TrailEvent.LAST_CALL,
}


@dataclass(frozen=True, kw_only=True)
class Reminder:
    """That people were asked again. Of each kind the newest stands in the record, the others in earlier versions."""

    kind: ReminderKind
    at: datetime
    count: int = 1  # of this kind, this one included
    by: Person | None = None  # who wanted it; None: it was time


class FollowUpKind(str, Enum):
    """What became of an obligation."""

    REMINDED = "reminded"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class FollowUp:
    """Something that happened to an obligation after the decision."""

    number: int  # of the obligation, from 1
    kind: FollowUpKind
    at: datetime
    by: Person | None = None  # who closed it; None: it was time to remind
    comment: str = ""  # of who closed it


@dataclass(frozen=True, kw_only=True)
class Closing:
    """Why an approval can no longer be answered: nobody waits for it, or its decision does not count."""

    at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Every effect carried out. ``problem`` says why the run could not go on, and what to do."""

    at: datetime
    problem: str = ""
    unaccepted: str = ""  # why the operator's policy minds what nobody could hold back
    not_shown: dict[str, str] = field(default_factory=dict[str, str])  # by notifier: why its message can never show it


@dataclass(frozen=True, kw_only=True, slots=True)  # a bot holds tens of thousands: a dict each takes twice as much
class Approval:
    """The question about one task, with all that came of it. All times are aware, in UTC."""

    id: str
    pathspec: Pathspec
    question: Question
    gate: Gate
    requester: Person  # as the run says it
    requested_at: datetime
    deadline: datetime | None = None
    policy_rule: PolicyRule | None = None  # the operator's, as the bot knew it last
    confirmed_requester: Person | None = None  # who said that the run is theirs, where that has to be certain
    posts: tuple[Post, ...] = ()
    votes: tuple[Vote, ...] = ()  # those that count, oldest first; earlier ones stand in earlier versions
    reminders: tuple[Reminder, ...] = ()  # one of each kind
    judgement: Judgement | None = None  # of the condition of `auto_approve`; None: there is none, or not yet
    decision: Decision | None = None
    closing: Closing | None = None
    settlement: Settlement | None = None
    unattended_since: datetime | None = None  # since when nobody waits for the answer, as far as a bot could tell
    # About obligations, oldest first: the only part that grows when all is settled.
    follow_ups: tuple[FollowUp, ...] = ()
    # The id of the bot's key whose signature was checked on reading; None: nobody vouches for this. Never written.
    vouched_by: str | None = field(default=None, compare=False)
    # What a later release wrote and this one does not know is carried along, never dropped.
    unknown: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def state(self) -> State:
        if self.closing is not None:
            return State.CLOSED if self.decision is None else State.NOT_ACCEPTED
        if self.decision is None:
            return State.PENDING
        if self.decision.where is Where.TIMEOUT and self.decision.verdict is Verdict.REJECT:
            return State.EXPIRED
        if self.decision.where is Where.NEWER_QUESTION:
            return State.SUPERSEDED
        return State.APPROVED if self.decision.verdict is Verdict.APPROVE else State.REJECTED

    @property
    def requirements(self) -> Requirements:
        """What holds: the stricter of the question and the operator's policy. An escalation adds approvers."""
        question = self.question
        if question.quorum_if:
            people, _ = raised(question.quorum_if, question.evidence)
            question = replace(question, quorum=max(question.quorum, people))
        if question.approvers and self.reminded(ReminderKind.ESCALATION) is not None:
            further = question.escalate_to
            needs = tuple(replace(need, of=(*need.of, *further)) for need in question.needs)
            question = replace(question, approvers=(*question.approvers, *further), needs=needs)
        return stricter(question, self.policy_rule)

    @property
    def shard_value(self) -> str | None:
        """What its shard of a foreach works on; None outside of any."""
        return self.question.shard.value if self.question.shard else None

    @property
    def obligations(self) -> tuple[Obligation, ...]:
        """What is owed with the approval, numbered from 1: of each person whose vote made it, or of who decided."""
        return tuple(one.obligation for one in self._owing if one.obligation is not None)

    @property
    def _owing(self) -> tuple[GivenAnswer, ...]:
        """The answers that somebody owes something with."""
        if self.state is not State.APPROVED or self.decision is None:
            return ()
        given: tuple[GivenAnswer, ...] = self.votes if self.decision.voters else (self.decision,)
        return tuple(one for one in given if one.verdict is Verdict.APPROVE and one.obligation is not None)

    def promise(self, number: int) -> "Promise":
        """Say what an obligation shares with the same one of other approvals."""
        given = self._owing[number - 1]
        if given.obligation is None:
            raise LookupError(number)
        path, owed = self.pathspec, given.obligation
        return Promise(
            *(path.flow, path.run, path.step),
            *(str(given.by.origin), given.by.id),
            *(str(owed.owner.origin), owed.owner.id, owed.text, owed.due),
        )

    @property
    def open_obligations(self) -> dict[int, Obligation]:
        """Those that nobody has closed yet, by number."""
        done = {one.number for one in self.follow_ups if one.kind is FollowUpKind.DONE}
        return {number: one for number, one in enumerate(self.obligations, start=1) if number not in done}

    def reminded(self, kind: ReminderKind) -> Reminder | None:
        """Return the newest reminder of a kind."""
        return next((one for one in self.reminders if one.kind is kind), None)

    @property
    def lets_run(self) -> bool:
        """Whether the gated step may start: approved, or rejected with ``on_reject="continue"`` if that holds."""
        if self.decision is None or self.closing is not None:
            return False
        goes_on = self.question.on_reject is OnReject.CONTINUE and self.requirements.continue_allowed
        return self.decision.verdict is Verdict.APPROVE or goes_on

    def is_due(self, now: datetime) -> bool:
        """Whether the deadline has come and decides. With ``on_timeout="notify"`` it never does."""
        return self.deadline is not None and self.question.on_timeout is not OnTimeout.NOTIFY and now >= self.deadline

    @property
    def seconds_to_decide(self) -> float | None:
        return None if self.decision is None else (self.decision.at - self.requested_at).total_seconds()
