"""How metrics developed: which decisions count, and what it costs to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.earlier_runs import compared
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric, Plot
from metaflow_extensions.hitl.approvals.evidence.course import Became, courses
from metaflow_extensions.hitl.approvals.evidence.pictures import pictures_of
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Post, TrailEvent, Verdict, Where
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import ALICE, NOW, Bench, pathspec, question
from tests.fixtures.watched_stores import CountedStore
from tests.sizes import soak


def evidence(value: Any) -> Evidence:
    return Evidence(metrics=(Metric(name="accuracy", value=value), Metric(name="label", value="v7")))


def asked(bench: Bench, run: str, value: Any, channel: str = "C1", **parts: Any) -> Approval:
    """Ask in a channel."""
    approval = bench.ask(pathspec(run=run), evidence=evidence(value), **parts)
    post = Post(notifier="slack", at=NOW, channel=channel, ts=run)
    return bench.ledger.update(
        approval.id, TrailEvent.POSTED, NOW, lambda one: replace(one, posts=(*one.posts, post))
    ).approval


def answered(bench: Bench, approval: Approval, verdict: Verdict = Verdict.APPROVE) -> None:
    bench.clock.forward(60)
    bench.cases.decide(approval.id, Answer(verdict=verdict, reason="why"), who=ALICE, where=Where.BUTTON)
    bench.clock.forward(60)


def test_decisions_of_the_same_channel_and_the_one_compared_with_count() -> None:
    """Oldest first, this question last; another channel's run counts only where the table names it anyway."""
    bench = Bench()
    answered(bench, asked(bench, "1", 0.90))
    answered(bench, asked(bench, "2", 0.80), Verdict.REJECT)
    answered(bench, asked(bench, "3", 0.10, "C2"))
    answered(bench, asked(bench, "4", None))
    answered(bench, asked(bench, "5", 0.92, "C2"))
    now = asked(bench, "6", 0.95)
    (course,) = courses(bench.ledger, now, "C1")
    assert [(one.run, one.became, one.value) for one in course.points] == [
        ("1", Became.APPROVED, 0.90),
        ("2", Became.REJECTED, 0.80),
        ("4", Became.APPROVED, None),
        ("5", Became.APPROVED, 0.92),
        ("6", Became.OPEN, 0.95),
    ]
    assert "0.8 (run 2, rejected), no value (run 4, approved)" in course.in_words


def test_the_first_question_has_no_course() -> None:
    """One point is none."""
    bench = Bench()
    assert courses(bench.ledger, asked(bench, "1", 0.9), "C1") == ()


@pytest.mark.soak
@pytest.mark.parametrize("before", [300, soak(3_000, 100_000)])
def test_what_was_decided_long_ago_costs_no_request(before: int) -> None:
    """A question is compared, and its course known, by as many requests as if there were thirty decisions."""

    def cost(older: int) -> int:
        store = MemoryStore()
        bench = Bench(store=store)
        # In the order of the keys, newest first, so that the store need not make room for each.
        places = [(pathspec(run=f"old{number}"), NOW - timedelta(days=9, seconds=number)) for number in range(older)]
        for place, at in places:
            folder = bucket.approved_folder(place.flow, place.step, None)
            store.mark(bucket.newest_first_key(folder, place.approval_id, at))
        for place, at in places:
            store.mark(bucket.decided_key(place.flow, place.step, place.approval_id, at))
        for run in range(3):
            answered(bench, asked(bench, str(run), 0.9))
        now = asked(bench, "99", 0.95)
        counted = CountedStore(store)
        ledger = Ledger(counted)
        found = compared(ledger, now.pathspec, question(evidence=evidence(0.95)))
        assert found.evidence is not None
        assert found.evidence.baseline is not None
        assert len(courses(ledger, now, "C1")[0].points) == 4
        return counted.requests.total()

    assert cost(before) == cost(30)


def test_a_stored_picture_says_in_words_what_each_metric_has_come_to() -> None:
    """For who can't see the card's pictures: names and last values, those before, and the words in the run's own."""
    bench = Bench()
    answered(bench, asked(bench, "1", 0.90))
    now = asked(bench, "2", 0.95)
    evidence_ = compared(bench.ledger, now.pathspec, now.question).evidence
    assert evidence_ is not None
    plots = tuple(
        Plot(name=name, sha256=sha256(name.encode()).hexdigest(), shows=shows)
        for name, shows in (("ROC", "true by false"), ("Photo", ""))
    )
    shown = replace(now, question=replace(now.question, evidence=replace(evidence_, plots=plots)))
    bench.store.create(bucket.course_key(now.id), b"course")
    for plot in plots:
        bench.store.create(bucket.plot_key(now.id, plot.sha256), plot.name.encode())
    assert [one.alt for one in pictures_of(bench.store, shown)] == [
        "Metrics over the last runs. accuracy: 0.95, after 0.9 in run 1.",
        "ROC: true by false",
        "Photo, a picture that says nothing in words",
    ]
