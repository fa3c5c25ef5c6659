"""What is asked of people about one task, as its author wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

# The codec reads the annotations.
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence


class OnTimeout(str, Enum):
    """What the deadline does to an approval that nobody answered."""

    APPROVE = "approve"
    REJECT = "reject"
    NOTIFY = "notify"


class OnReject(str, Enum):
    """What a rejection does to the gated step."""

    FAIL = "fail"
    CONTINUE = "continue"


class RuleMode(str, Enum):
    """What a condition that approves by itself may do."""

    DECIDE = "decide"
    SHADOW = "shadow"  # it only notes what it would have done


@dataclass(frozen=True, kw_only=True)
class Need:
    """A quorum of some people."""

    of: tuple[str, ...] = ()  # as approvers are named: user ids, groups, addresses; nobody named: everybody
    quorum: int = 1


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An approval of the same step that ended in a request for changes, before this run."""

    approval_id: str
    by: str  # the name of who asked for them
    reason: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Which task of a foreach asks."""

    place: tuple[int, ...]  # counted from 0, of every foreach around it, the outermost first
    value: str = ""  # what this shard works on, in words; plain text, not yet escaped for any medium


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, of whom, and what happens without an answer."""

    message: str  # formatted with the incoming artifacts; plain text, not yet escaped for any medium
    schema: dict[str, Any] | None = None  # JSON Schema of the input, fields in the author's order
    approvers: tuple[str, ...] = ()  # nobody named: everyone who can see the question
    notifiers: tuple[str, ...] = ()
    channel: str | None = None
    timeout: int | None = None  # seconds
    on_timeout: OnTimeout = OnTimeout.REJECT
    on_reject: OnReject = OnReject.FAIL
    run_url: str | None = None
    quorum: int = 1  # how many different people must agree
    needs: tuple[Need, ...] = ()  # a quorum for each of several groups; `approvers` then names them all
    allow_self_approval: bool = True
    allow_changes: bool = False
    remind_every: int | None = None  # seconds
    escalate_after: int | None = None  # seconds
    escalate_to: tuple[str, ...] = ()
    batch: bool | None = None  # None: from four shards on
    shard: Shard | None = None  # None: outside of any foreach
    tags: tuple[str, ...] = ()  # of the run
    run_again: str | None = None  # the command that starts such a run, for who may have to change it
    follows: Earlier | None = None
    evidence: Evidence | None = None  # None: nothing was recorded
    links: dict[str, str] = field(default_factory=dict[str, str])  # where to look, by what is there
    auto_approve: str | None = None  # a condition over metrics that approves by itself
    auto_approve_mode: RuleMode = RuleMode.DECIDE
    quorum_if: dict[str, int] = field(default_factory=dict[str, int])  # conditions that ask for more people
    valid_for: int | None = None  # seconds from an approval to the start of its step
    what_happens: dict[str, str] = field(default_factory=dict[str, str])  # by answer, in the author's words
    supersede: bool = False  # whether the same question of a newer run takes the place of this one
