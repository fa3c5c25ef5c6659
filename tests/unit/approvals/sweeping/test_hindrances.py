"""What must not stop the sweeper."""

from __future__ import annotations

from contextlib import suppress

import pytest

from metaflow_extensions.hitl.approvals.errors import RecordError, StoreUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, State
from metaflow_extensions.hitl.approvals.sweeping import READ_ALL_EVERY, Sweeper
from tests.fixtures.approvals import Bench, pathspec
from tests.fixtures.watched_stores import Crash, FailingOnce, WatchedStore
from tests.unit.approvals.sweeping.observer import Observer, decide


def test_a_corrupt_record_is_reported_once_and_stops_nobody(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """A record that can't be read is skipped, in the full read and in the tail; the others are served."""
    broken, good = bench.ask(pathspec(task="1")), bench.ask(pathspec(task="2"), timeout=60)
    bench.store.create(f"approvals/{broken.id}/00003.json", b"{")
    bench.store.mark(f"changes/20260302T093000000001Z-{broken.id}-3")
    for _ in range(3):
        sweeper.tick()
        bench.clock.forward(READ_ALL_EVERY.total_seconds())
    assert bench.ledger.read(good.id).approval.state is State.EXPIRED
    assert [isinstance(error, RecordError) for error in observer.failures] == [True]
    assert broken.id in bench.ledger.open_ids()


def test_a_marker_without_a_record_is_cleared_at_the_second_full_read(bench: Bench, sweeper: Sweeper) -> None:
    """Somebody who is about to write the record is given ten minutes; who died before leaves nothing for ever."""
    bench.store.mark("open/gate-aaaaaaaaaa")
    sweeper.tick()
    assert list(bench.ledger.open_ids()) == ["gate-aaaaaaaaaa"]
    bench.clock.forward(READ_ALL_EVERY.total_seconds())
    sweeper.tick()
    assert list(bench.ledger.open_ids()) == []


def test_foreign_objects_are_passed_over(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """A file that a person left among the markers is not an approval and causes no trouble."""
    bench.store.mark("open/README.md")
    bench.store.mark("changes/notes")
    asked = bench.ask(timeout=5)
    sweeper.tick()
    bench.clock.forward(5)
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.EXPIRED
    assert observer.failures == []


def test_a_defect_in_one_stops_no_other(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """If carrying out one approval breaks, the others that are due in the same tick are carried out."""
    broken, good = bench.ask(pathspec(task="1")), bench.ask(pathspec(task="2"))
    for one in (broken, good):
        decide(bench, one.id)
    carry_out = bench.engine.carry_out

    def break_one(decided: Approval) -> str:
        if decided.id == broken.id:
            raise ZeroDivisionError
        return carry_out(decided)

    bench.engine.carry_out = break_one  # type: ignore[method-assign]
    bench.clock.forward(10)
    sweeper.tick()
    assert list(bench.engine.released) == [good.id]
    assert [type(error) for error in observer.defects] == [ZeroDivisionError]
    bench.engine.carry_out = carry_out  # type: ignore[method-assign]
    bench.clock.forward(3)
    sweeper.tick()
    assert broken.id in bench.engine.released


def test_a_store_that_fails_anywhere_loses_nothing(bench: Bench, observer: Observer) -> None:
    """Whichever request of the first ticks fails, the deadline of the one and the decision of the other are served."""
    for n in range(1, 200):
        world = Bench()
        due, decided = world.ask(pathspec(task="1"), timeout=5), world.ask(pathspec(task="2"))
        decide(world, decided.id)
        trouble = FailingOnce(n, StoreUnavailable)
        sweeper = Sweeper(world.on(WatchedStore(world.store, trouble)).cases, observer, name="first")
        for _ in range(40):
            with suppress(StoreUnavailable):
                sweeper.tick()
            world.clock.forward(1)
        assert world.ledger.read(due.id).approval.settlement is not None, n
        assert world.ledger.read(decided.id).approval.settlement is not None, n
        assert list(world.engine.released) == [decided.id], n
        assert list(world.ledger.open_ids()) == [], n
        if not trouble.fired:
            return
    pytest.fail("the ticks made more requests than were tried")


def test_a_sweeper_that_dies_anywhere_leaves_all_to_the_next(observer: Observer) -> None:
    """Whichever request it dies before, the next sweeper brings everything to its end, and no gate opens twice."""
    for n in range(1, 200):
        world = Bench()
        due, decided = world.ask(pathspec(task="1"), timeout=5), world.ask(pathspec(task="2"))
        decide(world, decided.id)
        crash = FailingOnce(n, Crash)
        first = Sweeper(world.on(WatchedStore(world.store, crash)).cases, observer, name="first")
        for _ in range(8):
            try:
                first.tick()
            except Crash:
                break
            world.clock.forward(1)
        world.clock.forward(60)
        second = Sweeper(world.cases, observer, name="second")
        for _ in range(10):
            second.tick()
            world.clock.forward(1)
        assert world.ledger.read(due.id).approval.settlement is not None, n
        assert world.ledger.read(decided.id).approval.settlement is not None, n
        assert world.ledger.verify(decided.id)
        assert list(world.ledger.open_ids()) == [], n
        if not crash.fired:
            return
    pytest.fail("the ticks made more requests than were tried")
