"""Counting decisions, and how long they took."""

from __future__ import annotations

from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.statistics import statistics
from tests.fixtures.approvals import NOW, after, approval, approving, pathspec, rejecting


def answered(seconds: float, task: str = "1") -> Approval:
    return transitions.decide(approval(pathspec(task=task)), approving(at=after(seconds)))


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=60))
def test_half_and_95_percent(seconds: list[int]) -> None:
    """At least half, or 95 %, of the decisions took no longer, and it is one of the times that they took."""
    counted = statistics([answered(one) for one in seconds], [], since=NOW)
    for share, rank in ((0.5, counted.median), (0.95, counted.p95)):
        assert rank in seconds
        assert sum(one <= rank for one in seconds) >= share * len(seconds)
        assert sum(one < rank for one in seconds) < share * len(seconds)


def test_the_clock_is_no_person() -> None:
    """What a deadline decided is counted by its verdict, and says nothing about how long people take."""
    expired = transitions.expire(approval(timeout=60), after(60))
    let_through = transitions.expire(approval(timeout=60, on_timeout=OnTimeout.APPROVE), after(60))
    counted = statistics([expired, let_through], [], since=NOW)
    assert (counted.expired, counted.approved, counted.rejected) == (1, 1, 0)
    assert counted.median is None
    assert counted.p95 is None


def test_what_was_asked_before_is_decided_now() -> None:
    """A decision counts when it was made; a question counts when it was asked, answered or not."""
    decided = transitions.decide(approval(pathspec(task="1")), rejecting(at=after(100)))
    open_ones = [approval(pathspec(task="2"), at=after(60)), approval(pathspec(task="3"), at=after(70))]
    counted = statistics([decided], open_ones, since=after(50))
    assert (counted.asked, counted.rejected) == (2, 1)
    assert counted.slowest_open == open_ones[0]
