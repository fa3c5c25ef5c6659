"""How decisions went: counts, and how long people took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from metaflow_extensions.hitl.approvals.record import Approval, State, Where


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


def _rank(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many percent of all do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
