"""Counting decisions, and how long they took."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st

from metaflow_extensions.hitl.approvals import bucket, transitions
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.queries import History, Queries
from metaflow_extensions.hitl.approvals.question import OnTimeout, RuleMode
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Verdict, Where
from metaflow_extensions.hitl.approvals.statistics import RuleScore, rule_scores, statistics
from tests.fixtures.approvals import ALICE, NOW, Bench, after, approval, approving, pathspec, rejecting


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


# Rules in shadow mode.

RULE = "accuracy > 0.9"
NO = Answer(verdict=Verdict.REJECT, reason="not yet")


def tried(run: int, accuracy: float | None, **parts: object) -> Approval:
    """Return a question that a rule in shadow mode has judged."""
    evidence = Evidence(metrics=(Metric(name="accuracy", value=accuracy),))
    rule = {"auto_approve": RULE, "auto_approve_mode": RuleMode.SHADOW, "evidence": evidence, **parts}
    return transitions.judge(approval(pathspec(run=str(run)), **rule), {}, "", NOW)


def test_a_rule_agrees_if_it_would_have_done_what_people_did() -> None:
    """Approving with people and leaving a rejection to people agree; the other two are misses, the wrong yes first."""
    both_yes = transitions.decide(tried(1, 0.95), approving())
    both_no = transitions.decide(tried(2, 0.5), rejecting())
    too_careful = transitions.decide(tried(3, 0.5), approving(at=after(20)))
    wrong_yes = transitions.decide(tried(4, 0.95), rejecting(at=after(10)))
    (score,) = rule_scores([both_yes, both_no, too_careful, wrong_yes])
    assert (score.flow, score.step, score.condition) == ("TrainFlow", "deploy", RULE)
    assert (score.agreed, score.compared, score.wrong_approvals) == (2, 4, 1)
    assert score.misses == (wrong_yes, too_careful)


def test_only_people_are_compared_with() -> None:
    """A deadline's decision, one that the policy did not accept, and a rule that decided say nothing about a rule."""
    expired = transitions.expire(tried(1, 0.95, timeout=60), after(60))
    unaccepted = transitions.not_accept(transitions.decide(tried(2, 0.95), approving()), "two people", NOW)
    deciding = transitions.decide(tried(3, 0.5, auto_approve_mode=RuleMode.DECIDE), approving())
    assert rule_scores([expired, unaccepted, deciding]) == []


def test_a_condition_without_an_answer_neither_agrees_nor_misses() -> None:
    """A metric was missing, or the form needed a person: it is counted apart."""
    missing = transitions.decide(tried(1, None), approving())
    form = transitions.decide(
        transitions.judge(replace(tried(2, 0.95), judgement=None), None, "a form", NOW), rejecting()
    )
    (score,) = rule_scores([missing, form])
    assert (score.compared, score.no_answer) == (0, 2)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from([0.5, 0.95, None]), st.booleans()), min_size=1, max_size=8),
    st.data(),
)
def test_a_record_counts_once_however_often_and_in_whatever_order_it_is_learned(
    runs: list[tuple[float | None, bool]], data: st.DataObject
) -> None:
    """Versions learned again, out of order, before or after their day has a digest, or by none: one score."""
    bench = Bench()
    entries: list[Entry] = []
    for run, (accuracy, approved) in enumerate(runs):
        evidence = Evidence(metrics=(Metric(name="accuracy", value=accuracy),))
        asked = bench.ask(
            pathspec(run=str(run)), auto_approve=RULE, auto_approve_mode=RuleMode.SHADOW, evidence=evidence
        )
        bench.cases.decide(asked.id, Answer(verdict=Verdict.APPROVE) if approved else NO, who=ALICE, where=Where.BUTTON)
        entries += bench.ledger.trail(asked.id)
        bench.clock.forward(3_600 * 6)
    history = History(bench.ledger, bench.clock)
    queries = Queries(bench.ledger, bench.clock, history=history)
    history.follow()
    for entry in [*data.draw(st.permutations(entries)), *data.draw(st.lists(st.sampled_from(entries), max_size=10))]:
        history.learn(entry)
        if data.draw(st.booleans()):
            history.write_digests()
    since = NOW - timedelta(days=1)
    expected = rule_scores(bench.ledger.read(entry.approval.id).approval for entry in entries)
    fresh = Queries(Ledger(bench.store), bench.clock)  # of a command line: digests, then records
    for found, left_out in (queries.rule_scores(since, sees=bool), fresh.rule_scores(since, sees=bool)):
        assert left_out == 0
        assert [_figures(one) for one in found] == [_figures(one) for one in expected]
    assert sum(one.compared + one.no_answer for one in expected) == len(runs)


def _figures(score: RuleScore) -> tuple[object, ...]:
    return score.condition, score.agreed, score.no_answer, [miss.id for miss in score.misses]


def test_a_day_that_is_over_says_what_could_not_be_read(bench: Bench) -> None:
    """Of two decisions of a day one can't be read: its digest has the other, and says so, as the records do."""
    good, bad = [bench.ask(pathspec(run=str(run))) for run in range(2)]
    for one in (good, bad):
        bench.cases.decide(one.id, NO, who=ALICE, where=Where.BUTTON)
    bench.store.create(bucket.version_key(bad.id, bench.ledger.read(bad.id).number + 1), b"{")
    since = bench.clock() - timedelta(days=1)
    bench.clock.forward(3_600 * 48)
    from_records = History(bench.ledger, bench.clock).decided(since)
    assert History(bench.ledger, bench.clock).write_digests()
    from_digest = History(bench.ledger, bench.clock).decided(since)
    for found in (from_records, from_digest):
        assert [one.id for one in found.approvals] == [good.id]
        assert len(found.problems) == 1
    assert "1 of the decisions of 2026-" in str(from_digest.problems[0])
