"""What only grew has an end: it goes a week after the last change of the record it belongs to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.auditing import audit_alone
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.record import Approval, Post, TrailEvent
from metaflow_extensions.hitl.approvals.sweeping.worker import AT_ONCE, clean
from tests.fixtures.approvals import NOW, Bench, pathspec
from tests.fixtures.watched_stores import CountedStore
from tests.unit.approvals.sweeping.observer import decide

BATCH = "deploy-abcdefghij-1"
MINUTE = timedelta(minutes=1)


def leave_traces(bench: Bench, approval: Approval) -> None:
    """Write what carrying out an approval leaves behind, and put it on a message of many gates."""
    store = bench.store
    bench.ledger.claim(approval.id, "post", "one", now=NOW, during=MINUTE)
    bench.ledger.claim(BATCH, "post", "one", now=NOW, during=MINUTE)
    store.mark(bucket.said_key(approval.id, 3))
    store.mark(bucket.batch_post_key(BATCH))
    store.mark(bucket.batch_member_key(BATCH, approval.id))
    store.mark(bucket.batch_reminded_key(BATCH, NOW, "reminder"))
    post = Post(notifier="elsewhere", at=NOW, batch=BATCH)
    bench.ledger.update(approval.id, TrailEvent.POSTED, NOW, lambda one: replace(one, posts=(*one.posts, post)))


def settle(bench: Bench, approval: Approval) -> None:
    decide(bench, approval.id)
    bench.cases.carry_out(bench.ledger.read(approval.id))


def traces(bench: Bench) -> list[str]:
    roots = (bucket_map.CLAIMS, bucket_map.SAID, bucket_map.BATCHES, bucket_map.CHANGES)
    return [key for prefix in roots for key in bench.store.list(prefix.root)]


def test_what_belongs_to_settled_records_goes_after_a_week(bench: Bench) -> None:
    """Claims, notes and batches go with the tail's markers; the records, and history, do not."""
    asked = bench.ask()
    leave_traces(bench, asked)
    settle(bench, asked)
    before = list(bench.store.list(bucket_map.APPROVALS.root))
    assert clean(bench.ledger, NOW) == 0
    assert traces(bench)
    clean(bench.ledger, NOW + timedelta(seconds=1))
    assert traces(bench) == []
    assert list(bench.store.list(bucket_map.APPROVALS.root)) == before
    assert list(bench.store.list(bucket_map.DECIDED.root))


def test_what_is_open_keeps_everything_but_its_old_markers(bench: Bench) -> None:
    """A batch of which one gate waits keeps its message, and who is on it."""
    done, open_one = bench.ask(pathspec(task="1")), bench.ask(pathspec(task="2"))
    for one in (done, open_one):
        leave_traces(bench, one)
    settle(bench, done)
    clean(bench.ledger, NOW + timedelta(days=8))
    left = traces(bench)
    assert bucket.batch_member_key(BATCH, done.id) in left
    assert bucket.batch_post_key(BATCH) in left
    assert bucket.said_key(open_one.id, 3) in left
    assert bucket.said_key(done.id, 3) not in left
    settle(bench, open_one)
    clean(bench.ledger, NOW + timedelta(days=8))
    assert traces(bench) == []


def test_a_round_is_bounded_and_the_next_goes_on(bench: Bench) -> None:
    """However much there is, one round removes so many markers; what dies half-way is done again."""
    asked = bench.ask()
    settle(bench, asked)
    for number in range(AT_ONCE):
        bench.store.mark(bucket.change_key(NOW - timedelta(seconds=number), asked.id, 1))
    counted = CountedStore(bench.store)
    assert clean(bench.on(counted).ledger, NOW + timedelta(seconds=1)) == AT_ONCE
    assert counted.requests["unmark"] == AT_ONCE
    assert clean(bench.ledger, NOW + timedelta(seconds=1)) > 0
    assert traces(bench) == []


def test_of_the_approvals_to_compare_with_twenty_are_kept(bench: Bench) -> None:
    """Of each step, and of each shard by itself, whoever asks next finds the newest; none goes within a week."""
    evidence = Evidence(metrics=(Metric(name="accuracy", value=0.9),))
    places = {"deploy": 23, "train": 3}
    approved: dict[str, list[str]] = {step: [] for step in places}
    for step, count in places.items():
        for run in range(count):
            asked = bench.ask(pathspec(step=step, run=str(run)), evidence=evidence)
            approved[step].append(asked.id)
            decide(bench, asked.id)
            bench.cases.carry_out(bench.ledger.read(asked.id))
            bench.clock.forward(60)
    settled = bench.clock()
    clean(bench.ledger, NOW)
    assert len(list(bench.store.list(bucket_map.APPROVED.root))) == 26
    clean(bench.ledger, settled)
    kept = {step: bench.ledger.approved_ids("TrainFlow", step, None, limit=100) for step in places}
    assert kept == {"deploy": approved["deploy"][:2:-1], "train": approved["train"][::-1]}
    found = bench.ask(pathspec(run="next"), evidence=evidence).question.evidence
    assert found is not None
    assert found.baseline is not None
    assert found.baseline.run == "22"
    assert audit_alone(bench.ledger, approved["deploy"][0]).is_intact
