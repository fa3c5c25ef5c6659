"""How decisions went: counts, how long people took, and how often a rule on trial said what they said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .question import RuleMode
from .record import Approval, State, Verdict, Where

_NOT_PEOPLE = frozenset({Where.TIMEOUT, Where.RULE, Where.NEWER_QUESTION, Where.IN_ADVANCE})


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What became of the approvals of a span of time.

    Attributes
    ----------
    asked : int
        Asked in it, and answered since or still open. What was closed because its run was gone is not counted.
    approved, rejected, expired : int
        Decided in it, whenever they were asked. An approval by timeout counts as approved.
    median, p95 : float, optional
        Seconds from the question to the decision, of those that a person decided; None if nobody decided any. The
        second is the nearest rank: 19 of 20 took no longer.
    slowest_open : Approval, optional
        What has waited for the longest time, of all that still wait.
    """

    asked: int
    approved: int
    rejected: int
    expired: int
    median: float | None
    p95: float | None
    slowest_open: Approval | None


def statistics(decided: Sequence[Approval], waiting: Iterable[Approval], *, since: datetime) -> Statistics:
    """Count.

    Parameters
    ----------
    decided : Sequence[Approval]
        Those that were decided since then.
    waiting : Iterable[Approval]
        Those that are open; what is answered and not yet settled may be among both.
    since : datetime
        When the span began.
    """
    pending = [one for one in waiting if one.state is State.PENDING]
    states = [one.state for one in decided]
    by_people = (one for one in decided if one.decision is not None and one.decision.where is not Where.TIMEOUT)
    seconds = sorted(one.seconds_to_decide or 0.0 for one in by_people)
    return Statistics(
        asked=sum(one.requested_at >= since for one in [*decided, *pending]),
        approved=states.count(State.APPROVED),
        rejected=states.count(State.REJECTED),
        expired=states.count(State.EXPIRED),
        median=_rank(seconds, 50),
        p95=_rank(seconds, 95),
        slowest_open=min(pending, key=lambda one: one.requested_at, default=None),
    )


@dataclass(frozen=True, kw_only=True)
class RuleScore:
    """How a rule in shadow mode compares with the people who decided.

    Attributes
    ----------
    flow, step, condition : str
        The rule. Another condition, or the same one on another step, is another rule.
    agreed : int
        The rule would have approved what people approved, or left to people what they did not approve.
    misses : tuple of Approval
        The rest, newest first: what it would have approved and people did not comes before what it would have left to
        people and they approved.
    no_answer : int
        The condition had no answer, or something else kept it from deciding, so there is nothing to compare.
    """

    flow: str
    step: str
    condition: str
    agreed: int
    misses: tuple[Approval, ...]
    no_answer: int

    @property
    def compared(self) -> int:
        """How many decisions were compared."""
        return self.agreed + len(self.misses)

    @property
    def wrong_approvals(self) -> int:
        """How many of the misses people did not approve."""
        return sum(not _was_approved(miss) for miss in self.misses)


def rule_scores(decided: Iterable[Approval]) -> list[RuleScore]:
    """Compare each rule in shadow mode with what people decided; the rules with the most decisions come first.

    An approval counts once, however often it is among those given. What a deadline, a rule or a newer question decided
    says nothing, nor does a decision that the operator's policy did not accept.
    """
    by_rule: dict[tuple[str, str, str], list[Approval]] = {}
    for one in {one.id: one for one in decided}.values():
        judgement, decision = one.judgement, one.decision
        if judgement is None or judgement.mode is not RuleMode.SHADOW:
            continue
        if decision is None or decision.where in _NOT_PEOPLE or one.closing is not None:
            continue
        by_rule.setdefault((one.pathspec.flow, one.pathspec.step, judgement.condition), []).append(one)
    scores = [_score(rule, approvals) for rule, approvals in by_rule.items()]
    return sorted(scores, key=lambda score: (-score.compared, score.flow, score.step, score.condition))


def _score(rule: tuple[str, str, str], approvals: Sequence[Approval]) -> RuleScore:
    said = [(one, _would_approve(one)) for one in approvals]
    misses = [one for one, would in said if would is not None and would is not _was_approved(one)]
    flow, step, condition = rule
    return RuleScore(
        flow=flow,
        step=step,
        condition=condition,
        agreed=sum(would is _was_approved(one) for one, would in said),
        misses=tuple(sorted(misses, key=lambda one: (_was_approved(one), -_decided_at(one), one.id))),
        no_answer=sum(would is None for _, would in said),
    )


def _would_approve(approval: Approval) -> bool | None:
    """Return what a rule would have done; None where the condition alone did not settle that."""
    judgement = approval.judgement
    if judgement is None or (judgement.holds and judgement.why):
        return None
    return judgement.holds


def _was_approved(approval: Approval) -> bool:
    return approval.decision is not None and approval.decision.verdict is Verdict.APPROVE


def _decided_at(approval: Approval) -> float:
    return approval.decision.at.timestamp() if approval.decision is not None else 0.0


def _rank(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many percent of all do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
