"""What the sweeper costs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from tests.fixtures.approvals import NOW, Bench, pathspec
from tests.fixtures.watched_stores import CountedStore
from tests.unit.approvals.sweeping.observer import Observer


def test_a_quiet_tick_costs_one_listing(bench: Bench, observer: Observer) -> None:
    """With 300 open approvals and nothing new, a tick is one request: a page of the tail."""
    for number in range(300):
        bench.ask(pathspec(task=str(number)), timeout=3600)
    counted = CountedStore(bench.store)
    sweeper = Sweeper(bench.on(counted).cases, observer, name="first")
    while sweeper.tick() == bench.clock():
        pass
    for _ in range(6):
        sweeper.tick()  # looks for what the tail left out
    counted.requests.clear()
    bench.clock.forward(1)
    sweeper.tick()
    assert counted.requests.total() == 1


def test_a_change_costs_one_read(bench: Bench, observer: Observer) -> None:
    """A new version is read by its number: one request beyond the listing of the tail."""
    counted = CountedStore(bench.store)
    sweeper = Sweeper(bench.on(counted).cases, observer, name="first")
    sweeper.tick()
    bench.ask(timeout=3600)
    counted.requests.clear()
    sweeper.tick()
    assert counted.requests == {"list": 1, "read": 1}


def test_old_markers_of_the_tail_are_removed(bench: Bench, sweeper: Sweeper) -> None:
    """A week later the markers are gone; the record is not."""
    asked = bench.ask()
    bench.clock.forward(8 * 86_400)
    sweeper.tick()
    assert list(bench.store.list("changes/")) == []
    assert bench.ledger.read(asked.id).approval == bench.ledger.verify(asked.id)[-1].approval


def test_a_large_backlog_is_read_in_slices(bench: Bench, sweeper: Sweeper) -> None:
    """A deadline that comes while a large backlog is being read does not wait for the end of it."""
    for number in range(600):
        bench.ask(pathspec(task=str(number)))
    assert sweeper.tick() == bench.clock()
    soon = bench.ask(pathspec(task="soon"), timeout=1)
    bench.clock.forward(1)
    assert sweeper.tick() == bench.clock()
    assert bench.ledger.read(soon.id).approval.state is State.EXPIRED


def test_it_works_on_several_at_once(bench: Bench, observer: Observer) -> None:
    """With a pool's map fifty deadlines at one instant are all kept in one tick."""
    asked = [bench.ask(pathspec(task=str(number)), timeout=5) for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        sweeper = Sweeper(bench.cases, observer, name="first", each=pool.map)
        sweeper.tick()
        bench.clock.now = NOW + timedelta(seconds=5)
        sweeper.tick()
    assert {bench.ledger.read(one.id).approval.state for one in asked} == {State.EXPIRED}
    assert set(bench.engine.refused) == {one.id for one in asked}
