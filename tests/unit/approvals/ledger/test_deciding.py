"""Later versions: who is first wins, and nothing is overwritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import TooManyWriters
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Post, State, TrailEvent
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, ApprovalError, TooLate
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.any_approval import approvals
from tests.fixtures.approvals import ALICE, BOB, NOW, after, approval, approving, pathspec, rejecting
from tests.fixtures.watched_stores import WatchedStore, unavailable
from tests.unit.approvals.ledger.acts import ID, decide, post


def test_of_eight_deciders_one_wins_and_seven_are_told_who(ledger):
    """Eight people with eight answers at the same moment make one decision, and everybody learns of that one."""
    seen = ledger.begin(approval())
    barrier = Barrier(8)
    people = [replace(ALICE, id=f"U{n}", name=f"Person {n}") for n in range(8)]

    def answer(n: int) -> Entry:
        decision = approving(people[n], input={"n": n})
        barrier.wait()
        return decide(ledger, decision, seen=seen)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(answer, n) for n in range(8)]
    winner = ledger.read(ID).approval.decision
    refusals = [refusal for answer in answers if (refusal := answer.exception()) is not None]
    assert [type(refusal) for refusal in refusals] == [AlreadyDecided] * 7
    assert all(refusal.standing == winner for refusal in refusals)
    assert [entry.version.event for entry in ledger.verify(ID)] == [TrailEvent.REQUESTED, TrailEvent.DECIDED]


def test_of_eight_with_the_same_answer_all_have_approved(ledger):
    """Eight clicks on Approve are one decision, and nobody is told that there was a conflict."""
    seen = ledger.begin(approval())
    barrier = Barrier(8)

    def answer(n: int) -> Entry:
        barrier.wait()
        return decide(ledger, approving(replace(ALICE, id=f"U{n}")), seen=seen)

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(answer, range(8)))
    assert len({entry.digest for entry in entries}) == 1


def test_an_answer_and_the_deadline_never_both_win(ledger):
    """An answer from just before the deadline and an expiry, at the same moment, many times: one of them stands."""
    for run in range(50):
        task = pathspec(run=str(run))
        seen = ledger.begin(approval(task, timeout=60))
        barrier = Barrier(2)

        def answer(seen=seen, barrier=barrier) -> Entry:
            barrier.wait()
            change = partial(transitions.decide, decision=approving(at=after(59)))
            return ledger.update(seen.approval.id, TrailEvent.DECIDED, after(59), change, seen=seen)

        def expire(seen=seen, barrier=barrier) -> Entry:
            barrier.wait()
            return ledger.update(
                seen.approval.id, TrailEvent.TIMED_OUT, after(60), partial(transitions.expire, now=after(60)), seen=seen
            )

        with ThreadPoolExecutor(2) as pool:
            by_person, by_clock = pool.submit(answer), pool.submit(expire)
        stands = ledger.verify(task.approval_id)[-1]
        assert stands.number == 2
        if stands.approval.state is State.APPROVED:
            assert (by_person.result(), by_clock.result()) == (stands, stands)
        else:
            assert isinstance(by_person.exception(), TooLate)
            assert by_clock.result() == stands


def test_what_was_seen_may_be_old(ledger):
    """An answer by somebody who saw the question before it was posted goes behind the version that they did not see."""
    old = ledger.begin(approval())
    posted = post(ledger)
    decided = decide(ledger, approving(), seen=old)
    assert (decided.number, decided.version.previous) == (3, posted.digest)
    assert decided.approval.posts == posted.approval.posts


def test_the_same_answer_by_somebody_who_saw_an_old_version_is_fine(ledger):
    """Who saw the question open and clicks what was answered meanwhile gets that answer, even after the deadline."""
    old = ledger.begin(approval(timeout=60))
    decided = decide(ledger, approving(at=after(59)))
    assert decide(ledger, approving(BOB, at=after(61)), seen=old) == decided


def test_a_refusal_speaks_of_the_newest_version(ledger):
    """Who saw the question open and comes too late is told who decided, and not that nobody had."""
    old = ledger.begin(approval(timeout=60))
    decide(ledger, approving(at=after(59)))
    with pytest.raises(AlreadyDecided, match="approved by Alice Adams"):
        decide(ledger, rejecting(at=after(61)), seen=old)


def test_a_change_that_changes_nothing_is_not_written(ledger):
    """The trail has no versions that add nothing; what was seen is read again before that is said."""
    old = ledger.begin(approval(timeout=60))
    decided = decide(ledger, approving())
    assert (
        ledger.update(ID, TrailEvent.TIMED_OUT, after(60), partial(transitions.expire, now=after(60)), seen=decided)
        == decided
    )
    assert ledger.update(ID, "nothing", NOW, lambda newest: newest, seen=old) == decided
    assert len(ledger.trail(ID)) == 2


def test_a_writer_that_keeps_losing_gives_up(ledger):
    """If others write first 20 times in a row, nothing is written and the person is told to try again."""
    ledger.begin(approval())
    rivals = iter(range(1_000))

    def slow(newest):
        post(ledger, f"rival {next(rivals)}")
        return transitions.decide(newest, approving())

    with pytest.raises(
        TooManyWriters, match=f"{ID} was being changed by others at the same time. Nothing was written; try again"
    ):
        ledger.update(ID, TrailEvent.DECIDED, NOW, slow)
    assert ledger.verify(ID)[-1].number == 21
    assert ledger.read(ID).approval.state is State.PENDING


def test_settling_twice_is_one_version(ledger):
    """Two who finish the same approval, each with an old view, leave one settlement."""
    ledger.begin(approval())
    seen = decide(ledger, approving())
    first = ledger.update(ID, TrailEvent.SETTLED, after(1), partial(transitions.settle, now=after(1)), seen=seen)
    second = ledger.update(ID, TrailEvent.SETTLED, after(2), partial(transitions.settle, now=after(2)), seen=seen)
    assert second == first


def test_an_answer_stands_although_the_tail_could_not_be_written(store):
    """The tail only says what is new. If its marker fails, nobody is told that their answer does not count."""

    def no_tail(request, key):
        if key.startswith("changes/"):
            unavailable(request, key)

    flaky = Ledger(WatchedStore(store, no_tail))
    flaky.begin(approval())
    assert decide(flaky, approving()) == flaky.read(ID)
    assert list(store.list("changes/")) == []
    assert list(flaky.open_ids()) == [ID]


steps = st.one_of(
    st.tuples(
        st.just("decide"),
        st.sampled_from((approving(), approving(BOB, input={"n": 2}), rejecting(), rejecting(ALICE, reason="No."))),
    ),
    st.tuples(st.sampled_from(["expire", "close", "settle", "post", "begin"]), st.none()),
)


@given(st.sampled_from(OnTimeout), st.lists(st.tuples(steps, st.integers(0, 120), st.integers(0, 20)), max_size=15))
def test_any_interleaving_leaves_one_whole_trail_with_one_outcome(on_timeout, happening):
    """Whatever people, clocks and sweepers do, in any order, each with any old view: first written wins for good."""
    ledger = Ledger(MemoryStore())
    views = [ledger.begin(approval(timeout=60, on_timeout=on_timeout))]
    refused = []
    for (act, decision), seconds, view in happening:
        now, seen = after(seconds), views[min(view, len(views) - 1)]
        try:
            match act:
                case "decide":
                    change = partial(transitions.decide, decision=replace(decision, at=now))
                case "expire":
                    change = partial(transitions.expire, now=now)
                case "close":
                    change = partial(transitions.close, reason="gone", now=now)
                case "settle":
                    change = partial(transitions.settle, now=now)
                case "post":
                    change = partial(transitions.posted, post=Post(notifier=f"notifier {seconds % 3}", at=now))
                case "begin":
                    views.append(ledger.begin(approval(at=now)))
                    continue
            views.append(ledger.update(ID, act, now, change, seen=seen))
        except ApprovalError as refusal:
            refused.append((refusal.approval, ledger.read(ID).approval))
    trail = ledger.verify(ID)
    outcomes = [(entry.approval.decision, entry.approval.closing) for entry in trail]
    ended = [outcome for outcome in outcomes if outcome != (None, None)]
    assert len(set(map(repr, ended))) <= 1
    assert outcomes == [(None, None)] * (len(outcomes) - len(ended)) + ended
    assert all(entry in trail for entry in views)
    # Everybody is refused for what the newest version says.
    assert all(told == newest for told, newest in refused)


@pytest.mark.slow
@given(approvals())
def test_whatever_is_recorded_is_read_back(recorded):
    """A record holds any text that a flow or a person may come up with."""
    ledger = Ledger(MemoryStore())
    entry = ledger.begin(recorded)
    assert ledger.read(recorded.id) == entry
    assert ledger.read_version(recorded.id, 1) == entry
