"""What much costs: requests to the store and time, by the number of records, over a store in memory that counts.

A request to S3 takes some ten milliseconds, so that its count says more than the time that a store in memory takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from benchmarks.rows import Row
from hitl_bot.sweeper import IDLE_EVERY, TAIL_EVERY
from metaflow_extensions.hitl.approvals import bucket, transitions
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.queries import History, Projection, Queries
from metaflow_extensions.hitl.approvals.record import Answer, EngineKind, TrailEvent, Verdict, Where
from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.approvals.waiting import wait
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.stores import MemoryStore
from metaflow_extensions.hitl.stores.s3 import S3Store
from tests.fixtures.approvals import ALICE, NOW, Directory, HandClock, approval, approving, pathspec
from tests.fixtures.watched_stores import CountedStore
from tests.unit.approvals.sweeping.observer import Observer

SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "1000,10000,100000").split(","))
MOST_OPEN = 10_000  # of them; the bot holds some 40,000 in memory, and reads what is beyond each time
_DAYS = 30
_DECISIONS = 300
_IDLE_LISTS = 15.0  # a minute
_DAY = 24 * 3600


def measure() -> Iterator[Row]:
    """Decide, list, show Home, history and statistics; sweep an idle minute; wait a day."""
    yield _decisions()
    for size in SIZES:
        yield from _of(size)
    yield from _waiting()


class _Place:
    """The parts of a bot that read, over a store that counts, with so many decided and open."""

    def __init__(self, decided: int, waiting: int) -> None:
        self.clock = HandClock()
        store = MemoryStore()
        for number in range(waiting):
            _record_open(store, number)
        for number in range(decided):
            _record_decided(store, number)
        self.counted = CountedStore(store)
        self.history = History(Ledger(self.counted), self.clock)
        self.projection = Projection()
        self.ledger = Ledger(self.counted, observers=(self.projection.learn, self.history.learn))
        self.cases = UseCases(
            self.ledger,
            engines={EngineKind.LOCAL: LocalEngine()},
            notifiers={},
            people=Directory(),
            check_input=validate,
            clock=self.clock,
        )
        self.queries = Queries(self.ledger, self.clock, projection=self.projection, history=self.history)
        self.sweeper = Sweeper(self.cases, Observer(), name="bench", projection=self.projection, history=self.history)

    def measured(self, act: Callable[[], object]) -> tuple[float, int]:
        """Return the milliseconds and the requests of an act."""
        self.counted.requests.clear()
        begin = time.perf_counter()
        act()
        return (time.perf_counter() - begin) * 1000, sum(self.counted.requests.values())

    def start(self) -> None:
        while self.sweeper.tick() == self.clock() or not self.history.follows:
            pass


def _record_open(store: MemoryStore, number: int) -> None:
    at = NOW - timedelta(days=1)
    one = approval(pathspec(task=f"open-{number}"), at=at, notifiers=())
    version = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=at, approval=one)
    store.mark(bucket.open_key(one.id))
    store.mark(bucket.change_key(at, one.id, 1))
    store.create(bucket.version_key(one.id, 1), encode(version))


def _record_decided(store: MemoryStore, number: int) -> None:
    at = NOW - timedelta(days=1 + number % _DAYS, seconds=number)
    one = approval(pathspec(task=f"decided-{number}"), at=at - timedelta(minutes=5), notifiers=())
    one = transitions.settle(transitions.decide(one, approving(at=at)), at)
    store.mark(bucket.decided_key(one.pathspec.flow, one.pathspec.step, one.id, at))
    version = Version(number=1, previous=None, event=TrailEvent.SETTLED, at=at, approval=one)
    store.create(bucket.version_key(one.id, 1), encode(version))


def _of(size: int) -> Iterator[Row]:
    waiting = min(size, MOST_OPEN)
    place = _Place(size, waiting)
    took, asked = place.measured(place.start)
    name = f"start of a bot, {size:,} decided, {waiting:,} open"
    yield Row.of(f"{name}: requests (ratio: for each open)", [asked], "requests", asked / waiting, 1.1)
    yield Row.of(f"{name}: time", [took], "ms")
    took, asked = place.measured(place.history.write_digests)
    yield Row.of(f"digests of {_DAYS} days, {size:,} decided: time", [took], "ms")
    for _ in range(waiting // 64 + 2):  # what was read by a hint is looked at once more, some in each tick
        place.sweeper.tick()
    week, month = NOW - timedelta(days=7), NOW - timedelta(days=_DAYS + 1)

    acts: dict[str, Callable[[], object]] = {
        "list": place.queries.open,
        "Home": lambda: (place.queries.open(), place.queries.decided(week)),
        "history of 7 days": lambda: place.queries.decided(week),
        "statistics of 30 days": lambda: place.queries.statistics(month, sees=lambda _: True),
    }
    for name, act in acts.items():
        took, asked = place.measured(act)
        yield Row.of(f"{name}, {size:,} records: requests, the first time", [asked], "requests", goal=float(_DAYS + 5))
        again, asked_again = place.measured(act)
        yield Row.of(f"{name}, {size:,} records: requests, again", [asked_again], "requests", goal=1.0)
        yield Row.of(f"{name}, {size:,} records: time, the first time", [took], "ms")
        yield Row.of(f"{name}, {size:,} records: time, again", [again], "ms")
    ticks = int(60 / IDLE_EVERY)
    for name, number in (("an idle minute of the sweeper", ticks), ("a lively minute", int(60 / TAIL_EVERY))):

        def minute(number: int = number) -> None:
            for _ in range(number):
                place.clock.forward(60 / number)
                place.sweeper.tick()

        took, asked = place.measured(minute)
        goal = _IDLE_LISTS if number == ticks else None
        yield Row.of(f"{name}, {waiting:,} open: requests", [asked], "requests", goal=goal)
        yield Row.of(f"{name}, {waiting:,} open: time", [took], "ms")


def _decisions() -> Row:
    """Decide one approval after the other, each with its record, its engine and its settlement."""
    place = _Place(0, _DECISIONS)
    ids = list(place.ledger.open_ids())
    begin = time.perf_counter()
    for approval_id in ids:
        place.cases.decide(approval_id, Answer(verdict=Verdict.APPROVE), who=ALICE, where=Where.BUTTON)
    return Row.of("decisions a second, one after the other", [len(ids) / (time.perf_counter() - begin)], "1/s")


def _waiting() -> Iterator[Row]:
    """Let a local run on S3 wait for a day, by a clock that only its sleeping moves; beside a look every second."""
    place = _Place(0, 1)
    (waiting,) = place.ledger.open_ids()
    pauses: list[float] = []

    class Over(Exception):
        """The day is over."""

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        place.clock.forward(seconds)
        if place.clock() >= NOW + timedelta(seconds=_DAY):
            raise Over

    place.counted.requests.clear()
    try:
        interval = S3Store.poll_interval
        wait(place.cases, waiting, poll_interval=interval, adapts=True, sleep=sleep, on_trouble=lambda _: None)
    except Over:
        asked = sum(place.counted.requests.values())
    yield Row.of("a day of waiting on S3: requests (ratio: to a look a second)", [asked], "requests", asked / _DAY, 0.5)
    yield Row.of("a run's pause between two looks, first minute", pauses[:30], "s", goal=1.0)
    yield Row.of("a run's pause between two looks, after hours", pauses[-30:], "s")
