"""What is asked of people about one task, as its author wrote it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from .evidence.collected import Evidence

# The codec reads the annotations.


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
    counts: tuple[int, ...] = ()  # how many shards each of these foreachs has; empty: nobody knows


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked, of whom, and what happens without an answer."""

    message: str  # formatted with the incoming artifacts; plain text, not yet escaped for any medium
    markdown: str | None = (
        None  # the same, as its author formatted it, with the values escaped; None: without formatting
    )
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
    resume: str | None = None  # the command that goes on with an answer once nobody waits for it; None: there is none
    leaves: bool = False  # whether the run ends at its gates, so that nobody waits from the beginning
    follows: Earlier | None = None
    evidence: Evidence | None = None  # None: nothing was recorded
    links: dict[str, str] = field(default_factory=dict[str, str])  # where to look, by what is there
    auto_approve: str | None = None  # a condition over metrics that approves by itself
    auto_approve_mode: RuleMode = RuleMode.DECIDE
    quorum_if: dict[str, int] = field(default_factory=dict[str, int])  # conditions that ask for more people
    valid_for: int | None = None  # seconds from an approval to the start of its step
    what_happens: dict[str, str] = field(default_factory=dict[str, str])  # by answer, in the author's words
    obligations: bool = False  # whether approving asks for something that somebody owes with it
    supersede: bool = False  # whether the same question of a newer run takes the place of this one


# What holds for one approval: the stricter of what its step asks for and what the operator's policy demands.


class OnVeto(str, Enum):
    """What the first rejection does where several people must agree."""

    REJECT = "reject"
    COUNT = "count"  # it takes as many rejections as approvals


class Automatic(str, Enum):
    """Whether a condition over metrics may approve without a person."""

    ALLOWED = "allowed"
    SHADOW = "shadow"  # it may only note what it would have done
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class PolicyTerms:
    """What an operator's rule says about every approval that it matches. Each default demands nothing."""

    name: str = ""  # of the policy's rule; empty: none applies
    deciders: tuple[str, ...] = ()  # whoever decides is one of these; nobody named: no limit
    reason_required: bool = False  # of who approves; a rejection always has one
    channel: str | None = None
    command_line_counts: bool = True
    timeout_approves: bool = True  # whether the deadline may approve, where the step wants that
    automatic: Automatic = Automatic.ALLOWED
    self_approval_allowed: bool = True
    delegation_allowed: bool = True
    in_advance_allowed: bool = True  # whether shards of a foreach may be answered before they ask
    outsiders: tuple[str, ...] = ()  # guests and people of other workspaces that may decide, by id or address
    on_veto: OnVeto = OnVeto.REJECT
    continue_allowed: bool = True  # whether a step may go on after a rejection, where it wants that
    named_approvers: bool = False  # the step has to name its approvers
    obligations_offered: bool = False  # approving asks for something that somebody owes with it
    obligation_required: bool = False  # and does not do without
    claimed_requester_counts: bool = False  # who started a run is taken from the run's own word


@dataclass(frozen=True, kw_only=True)
class PolicyRule(PolicyTerms):
    """What an operator demands of the approvals that a rule matches."""

    needs: tuple[Need, ...] = ()  # who has to agree besides those that the step names
    quorum: int = 1  # different people, at least
    longest_timeout: int | None = None  # seconds


@dataclass(frozen=True, kw_only=True)
class Panel:
    """People who must agree, as one author wrote it. Nobody fills two places of a panel."""

    needs: tuple[Need, ...]
    quorum: int

    @classmethod
    def of(cls, needs: tuple[Need, ...], quorum: int) -> "Panel":
        """Build a panel with a place for everybody that the needs ask for."""
        return cls(needs=needs, quorum=max(quorum, sum(need.quorum for need in needs)))

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody named, once each, in the author's order."""
        return tuple(dict.fromkeys(name for need in self.needs for name in need.of))

    def missing(self, voters: Sequence[tuple[str, ...]]) -> tuple[Need, ...]:
        """Say who has yet to agree.

        Parameters
        ----------
        voters : Sequence[tuple[str, ...]]
            For each different person who agrees, the names that they stand for.

        Returns
        -------
        tuple[Need, ...]
            Empty: the panel agrees. Places are filled so that as few as possible stay empty.
        """
        members = [names for names in voters if any(_fits(names, need) for need in self.needs)]
        empty = _empty_places(self.needs, members)
        still = [Need(of=need.of, quorum=left) for need, left in zip(self.needs, empty, strict=True) if left]
        further = self.quorum - len(members) - sum(empty)
        if further > 0:
            everybody = () if any(not need.of for need in self.needs) else self.names
            still.append(Need(of=everybody, quorum=further))
        return tuple(still)


@dataclass(frozen=True, kw_only=True)
class Requirements(PolicyTerms):
    """What holds for one approval."""

    asked: Panel  # by the step's author
    demanded: Panel | None  # by the operator
    timeout: int | None  # seconds

    @property
    def is_about_people(self) -> bool:
        """Whether it matters who answers. Otherwise anybody may, and a name that nobody vouches for does."""
        return bool(self.names or self.deciders) or self.named_approvers or self.asks_several

    @property
    def is_about_who_approves(self) -> bool:
        """Whether it matters who approves; anybody who may answer may reject."""
        return self.is_about_people or not self.self_approval_allowed

    @property
    def lacks_named_approvers(self) -> bool:
        """Whether the operator demands that the step names its approvers, and it names none."""
        return self.named_approvers and self.is_open

    @property
    def panels(self) -> tuple[Panel, ...]:
        return (self.asked,) if self.demanded is None else (self.asked, self.demanded)

    @property
    def quorum(self) -> int:
        """How many different people must agree, at least."""
        return max(panel.quorum for panel in self.panels)

    @property
    def asks_several(self) -> bool:
        """Whether one approval does not do: votes are collected."""
        return self.quorum > 1 or self.demanded is not None

    @property
    def is_open(self) -> bool:
        """Whether the step names nobody: the people of the question's channel may answer."""
        return any(not need.of for need in self.asked.needs)

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody whose answer is asked for, once each."""
        return tuple(dict.fromkeys(name for panel in self.panels for name in panel.names))

    def missing(self, voters: Sequence[tuple[str, ...]]) -> tuple[Need, ...]:
        """Say who has yet to agree, as ``Panel.missing`` does. A person may count for both panels."""
        still = [need for panel in self.panels for need in panel.missing(voters)]
        # What the one asks for in any case, the other need not say again.
        most: dict[tuple[str, ...], int] = {}
        for need in still:
            most[need.of] = max(need.quorum, most.get(need.of, 0))
        if () in most:
            most[()] -= sum(quorum for of, quorum in most.items() if of)
        return tuple(Need(of=of, quorum=quorum) for of, quorum in most.items() if quorum > 0)

    def agree(self, voters: Sequence[tuple[str, ...]]) -> bool:
        """Whether everybody agrees who has to."""
        return all(not panel.missing(voters) for panel in self.panels)


_TERMS = tuple(term.name for term in fields(PolicyTerms))


def stricter(question: Question, demands: PolicyRule | None) -> Requirements:
    """Join what a step asks for with what the operator demands: what holds is never weaker than either.

    ``on_veto`` alone is the operator's: where nobody else says anything, the first rejection rejects.
    """
    asked = Panel.of(question.needs or (Need(of=question.approvers, quorum=question.quorum),), question.quorum)
    demands = demands or PolicyRule(name="")
    demanded = Panel.of(demands.needs or (Need(quorum=demands.quorum),), demands.quorum)
    timeouts = [seconds for seconds in (question.timeout, demands.longest_timeout) if seconds is not None]
    terms: dict[str, Any] = {name: getattr(demands, name) for name in _TERMS}
    terms["channel"] = demands.channel or question.channel
    terms["obligations_offered"] = demands.obligations_offered or demands.obligation_required or question.obligations
    terms["self_approval_allowed"] = demands.self_approval_allowed and question.allow_self_approval
    return Requirements(
        **terms,
        asked=asked,
        demanded=demanded if demands.needs or demands.quorum > 1 else None,
        timeout=min(timeouts, default=None),
    )


def _fits(names: tuple[str, ...], need: Need) -> bool:
    return not need.of or any(name in need.of for name in names)


def _empty_places(needs: Sequence[Need], voters: Sequence[tuple[str, ...]]) -> list[int]:
    """Give every voter a place such that as few as possible stay empty; return the empty ones of each need.

    One augmenting path a voter (Kuhn's algorithm): a voter takes a free place, or one whose holder finds another.
    """
    holders: list[list[int]] = [[] for _ in needs]

    def find_place(voter: int, tried: set[int]) -> bool:
        for place in _places(needs, voters[voter]):
            if place in tried:
                continue
            tried.add(place)
            if len(holders[place]) < needs[place].quorum:
                holders[place].append(voter)
                return True
            for position, other in enumerate(holders[place]):
                if find_place(other, tried):
                    holders[place][position] = voter
                    return True
        return False

    for voter in range(len(voters)):
        find_place(voter, set())
    return [need.quorum - len(held) for need, held in zip(needs, holders, strict=True)]


def _places(needs: Sequence[Need], names: tuple[str, ...]) -> Iterable[int]:
    return (place for place, need in enumerate(needs) if _fits(names, need))
