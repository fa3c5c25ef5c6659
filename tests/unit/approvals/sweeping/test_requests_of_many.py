"""What many open approvals, and many decisions, cost: requests, never seconds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.queries import History, Projection, Queries
from metaflow_extensions.hitl.approvals.record import Approval, TrailEvent
from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from tests.fixtures.approvals import NOW, Bench, approval, pathspec
from tests.fixtures.watched_stores import CountedStore
from tests.unit.approvals.sweeping.observer import Observer, decide


class Bot:
    """The parts of a bot that read, over a store that counts."""

    def __init__(self, bench: Bench, observer: Observer, *, most: int = 1_000) -> None:
        self.counted = CountedStore(bench.store)
        self.history = History(Ledger(self.counted), bench.clock, most=most)
        self.projection = Projection()
        self.bench = bench.on(self.counted, observers=(self.projection.learn, self.history.learn))
        self.ledger = self.bench.ledger
        self.sweeper = Sweeper(
            self.bench.cases, observer, name="first", projection=self.projection, history=self.history
        )
        self.queries = Queries(self.ledger, bench.clock, projection=self.projection, history=self.history)

    def start(self) -> None:
        while self.sweeper.tick() == self.bench.clock() or not self.history.follows:
            pass


class Told:
    """A subscriber that remembers what it is told."""

    def __init__(self) -> None:
        self.changes: list[Approval] = []

    def changed(self, entry: Entry) -> None:
        self.changes.append(entry.approval)

    def tick(self) -> None:
        """Do nothing."""


def record(bench: Bench, count: int) -> None:
    """Write so many open approvals as their first versions."""
    for number in range(count):
        one = approval(pathspec(task=str(number)))
        version = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=NOW, approval=one)
        bench.store.mark(bucket.open_key(one.id))
        bench.store.mark(bucket.change_key(NOW, one.id, 1))
        bench.store.create(bucket.version_key(one.id, 1), encode(version))


@pytest.mark.slow
def test_a_start_with_2500_open_takes_a_get_each_and_a_list_for_each_thousand(bench: Bench, observer: Observer) -> None:
    """No approval is listed by itself: the tail says which version is the newest."""
    record(bench, 2_500)
    bot = Bot(bench, observer)
    bot.start()
    assert bot.counted.requests["read"] <= 2_500 + 64 * 4
    ticks = 2_500 // 256 + 4
    assert bot.counted.requests["list"] <= (ticks + 3) * (2_500 // 1_000 + 1)
    assert len(bot.projection) == 2_500


def test_a_restarted_bot_takes_off_the_list_what_it_has_read_elsewhere(bench: Bench, observer: Observer) -> None:
    """Whoever settled it died before telling anybody, and a shared message reads the record before the bot looks."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.cases.carry_out(bench.ledger.read(asked.id))
    for key in list(bench.store.list(bucket_map.CHANGES.root))[1:]:
        bench.store.unmark(key)
    bench.store.mark(bucket.open_key(asked.id))
    bot = Bot(bench, observer)
    bot.sweeper.read_all()
    assert bot.ledger.read(asked.id).approval.settlement is not None
    bot.sweeper.probe()
    assert list(bench.ledger.open_ids()) == []


def test_a_restarted_bot_finds_a_decision_without_a_marker(bench: Bench, observer: Observer) -> None:
    """Whoever decided died before the tail's marker: the bot that comes next carries it out within moments."""
    asked = bench.ask()
    decide(bench, asked.id)
    last = max(bench.store.list(bucket_map.CHANGES.root))
    bench.store.unmark(last)
    bench.clock.forward(5)
    bot = Bot(bench, observer)
    bot.start()
    bench.clock.forward(5)
    bot.sweeper.tick()
    assert asked.id in bench.engine.released


def test_a_restarted_bot_goes_by_the_newest_version_where_the_tail_names_an_older_one(
    bench: Bench, observer: Observer
) -> None:
    """The markers of the decision and of what followed were lost: the bot tells nobody that the question waits."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.cases.carry_out(bench.ledger.read(asked.id))
    for key in sorted(bench.store.list(bucket_map.CHANGES.root))[1:]:
        bench.store.unmark(key)
    bot, told = Bot(bench, observer), Told()
    bot.sweeper = Sweeper(bot.bench.cases, observer, name="first", projection=bot.projection, subscribers=(told,))
    bot.sweeper.read_all()
    bot.sweeper.follow()
    assert [one.settlement is not None for one in told.changes] == [True]
    assert len(bot.projection) == 0


def test_what_this_process_left_undone_is_done_without_a_marker(bench: Bench, observer: Observer) -> None:
    """The marker of a decision could not be written, and its workflow not be reached: the sweeper knows."""
    bot = Bot(bench, observer)
    asked = bench.ask()
    bot.start()
    decide(bot.bench, asked.id)
    for key in list(bench.store.list(bucket_map.CHANGES.root)):
        bench.store.unmark(key)
    bot.sweeper.tick()
    bench.clock.forward(5)
    bot.sweeper.tick()
    assert asked.id in bench.engine.released


def test_a_list_costs_no_request(bench: Bench, observer: Observer) -> None:
    """What waits is in memory, the most urgent first, also what was asked and decided since."""
    record(bench, 300)
    bot = Bot(bench, observer)
    bot.start()
    urgent = bench.ask(pathspec(task="urgent"), timeout=60)
    decided = bench.ask(pathspec(task="decided"))
    decide(bench, decided.id)
    bot.sweeper.tick()
    bot.counted.requests.clear()
    found = bot.queries.open()
    assert bot.counted.requests.total() == 0
    assert found.waiting[0].id == urgent.id
    assert len(found.waiting) == 301
    assert decided.id in {one.id for one in bot.queries.decided(NOW - timedelta(days=1)).approvals}
    assert bot.counted.requests.total() == 0


def test_what_is_settled_leaves_the_projection(bench: Bench, observer: Observer) -> None:
    """Also where another process settled it, and where an older version is read afterwards."""
    bot = Bot(bench, observer)
    asked = bench.ask()
    bot.start()
    assert len(bot.projection) == 1
    older = bot.ledger.read(asked.id)
    decide(bench, asked.id)
    bench.cases.carry_out(bench.ledger.read(asked.id))
    bot.sweeper.tick()
    assert len(bot.projection) == 0
    bot.projection.learn(older)
    assert len(bot.projection) == 0


def test_a_full_round_costs_the_lists_and_a_bounded_number_of_checks(bench: Bench, observer: Observer) -> None:
    """Ten minutes later nothing is read anew but 256 that are checked."""
    record(bench, 1_200)
    bot = Bot(bench, observer)
    bot.start()
    for _ in range(1_200 // 64):
        bot.sweeper.tick()
    bench.clock.forward(601)
    bot.counted.requests.clear()
    bot.start()
    assert bot.counted.requests["read"] == 256
    assert bot.counted.requests["list"] <= 256 + 20


def test_what_the_tail_lost_is_found_by_a_full_round(bench: Bench, observer: Observer) -> None:
    """A decision whose marker somebody removed is carried out after the next round."""
    bot = Bot(bench, observer)
    asked = bench.ask()
    bot.start()
    decide(bench, asked.id)
    for key in list(bench.store.list(bucket_map.CHANGES.root)):
        bench.store.unmark(key)
    bot.sweeper.tick()
    assert not bench.engine.released
    bench.clock.forward(601)
    bot.start()
    bench.clock.forward(5)
    bot.sweeper.tick()
    assert asked.id in bench.engine.released


def test_beyond_its_bound_the_projection_knows_the_number_alone(bench: Bench) -> None:
    """What has no room is read when it is asked for, with one GET."""
    record(bench, 10)
    counted = CountedStore(bench.store)
    projection = Projection(most_bytes=4_000)
    ledger = Ledger(counted, observers=(projection.learn,))
    for one in list(ledger.open_ids()):
        ledger.read(one)
    projection.end_round(set(ledger.open_ids()))
    held, others, _ = projection.held()
    assert 0 < len(held) < 10
    assert len(held) + len(others) == 10
    counted.requests.clear()
    assert len(Queries(ledger, bench.clock, projection=projection).open().approvals) == 10
    assert counted.requests == {"read": len(others)}


# History.


def decided_on(bench: Bench, days_ago: int, count: int) -> None:
    now = bench.clock.now
    bench.clock.now = NOW - timedelta(days=days_ago)
    for number in range(count):
        asked = bench.ask(pathspec(task=f"{days_ago}-{number}", step=f"step{number % 7}"))
        decide(bench, asked.id)
        bench.cases.carry_out(bench.ledger.read(asked.id))
    bench.clock.now = now


def test_history_reads_a_digest_a_day(bench: Bench, observer: Observer) -> None:
    """After a bot has written them once, a week takes a request a day, and none the second time."""
    for days_ago in range(7):
        decided_on(bench, days_ago, 20)
    first = Bot(bench, observer)
    first.start()
    assert first.history.write_digests() == 31
    bot = Bot(bench, observer)
    bot.start()
    bot.history.write_digests()
    bot.counted.requests.clear()
    found = bot.queries.decided(NOW - timedelta(days=6, hours=1))
    assert (len(found.approvals), found.left_out) == (140, 0)
    assert bot.counted.requests.total() <= 7
    assert [one.decision.at for one in found.approvals] == sorted(
        (one.decision.at for one in found.approvals), reverse=True
    )
    bot.counted.requests.clear()
    figures, _ = bot.queries.statistics(NOW - timedelta(days=6, hours=1), sees=lambda _: True)
    assert figures.approved == 140
    assert bot.counted.requests.total() == 0


def test_history_holds_a_bounded_number_of_decisions(bench: Bench, observer: Observer) -> None:
    """What is beyond the bound is read again, a request a day, and nothing is missing."""
    for days_ago in range(7):
        decided_on(bench, days_ago, 20)
    bot = Bot(bench, observer, most=50)
    bot.start()
    bot.history.write_digests()
    for _ in range(2):
        bot.counted.requests.clear()
        assert len(bot.queries.decided(NOW - timedelta(days=6, hours=1)).approvals) == 140
        assert 0 < bot.counted.requests.total() <= 7
    assert [len(one.approvals) for one in bot.history._days.values()] == [20, 20]


def test_without_a_digest_the_records_are_read(bench: Bench) -> None:
    """A command line on a store without a bot sees the same history; so does one whose digest is damaged."""
    for days_ago in range(3):
        decided_on(bench, days_ago, 4)
    queries = Queries(bench.ledger, bench.clock)
    assert len(queries.decided(NOW - timedelta(days=5)).approvals) == 12
    bench.store.create(bucket.digest_key((NOW - timedelta(days=1)).date()), b'{"format": 1, "approvals": []}')
    assert len(Queries(bench.ledger, bench.clock).decided(NOW - timedelta(days=5)).approvals) == 12
    assert len(queries.decided(NOW - timedelta(days=5), flow="OtherFlow").approvals) == 0
