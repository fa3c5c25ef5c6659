"""What there is to sweep: all that is open now and then, and the tail of changes in between."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice

from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.bucket import ChangeMarker
from metaflow_extensions.hitl.approvals.errors import (
    HitlError,
    NoSuchApproval,
    RecordError,
    StoreError,
    StoreUnavailable,
)
from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock, Each
from metaflow_extensions.hitl.approvals.queries import History, Projection
from metaflow_extensions.hitl.approvals.record import TrailEvent
from metaflow_extensions.hitl.approvals.use_cases import UseCases

from .worker import Act, Agenda, Observer, Reminders, Subscriber, Worker, clean

# The tail of changes: which markers are new to this process, and which name what is not written yet.

LOOK_BACK = timedelta(minutes=5)  # the tail carries the writers' clocks, which may be behind this one
_LOOK_AHEAD = timedelta(days=1)  # and ahead of it; what names a later moment is nobody's clock
_REMEMBERED = 100_000  # markers; one that was forgotten is read again, which costs a request and no more
_UNWRITTEN = 10_000  # markers of versions that are not there yet
_FIRST_PAUSE = timedelta(milliseconds=500)


class Tail:
    """Follows the tail from when it was made. For one thread.

    Parameters
    ----------
    ledger : Ledger
        Whose.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._handled: BoundedMap[str, None] = BoundedMap(_REMEMBERED)
        self._unwritten: BoundedMap[str, tuple[datetime, timedelta]] = BoundedMap(  # when to look again
            _UNWRITTEN, dropped=self._give_up
        )
        self._newest: datetime | None = None

    def begin(self, now: datetime) -> None:
        """Follow what is written from now on, unless it is followed already."""
        self._newest = self._newest or now

    def fresh(self, now: datetime) -> list[list[ChangeMarker]]:
        """Return the markers that were not handled, by approval: a LIST for each 1,000 of the last minutes."""
        since = min(self._newest or now, now) - LOOK_BACK
        fresh: dict[str, list[ChangeMarker]] = {}
        for change in self._ledger.changes(since, known=self._handled):
            if change.at > now + _LOOK_AHEAD:
                break
            if self._is_time(change.key, now):
                fresh.setdefault(change.approval_id, []).append(change)
        before = bucket.changes_from(since)
        while self._handled and next(iter(self._handled)) < before:
            self._handled.popitem()
        return list(fresh.values())

    def handle(self, changes: Iterable[ChangeMarker], now: datetime) -> None:
        """Note that what these name was read: only now, so that a store that fails half-way leaves nothing out."""
        for change in changes:
            self._handled[change.key] = None
            self._unwritten.pop(change.key, None)
            self._newest = min(max(self._newest or now, change.at), now)

    def postpone(self, changes: Iterable[ChangeMarker], now: datetime) -> None:
        """Look again later for what these name: it is about to be written, or its writer died before.

        With pauses that double, until the markers are too old to be looked at.
        """
        for change in changes:
            _, pause = self._unwritten.get(change.key, (now, _FIRST_PAUSE))
            self._unwritten[change.key] = (now + pause, pause * 2)

    def _give_up(self, key: str) -> None:
        self._handled[key] = None

    def _is_time(self, key: str, now: datetime) -> bool:
        waits = self._unwritten.get(key)
        return waits is None or waits[0] <= now


# What there is to sweep: all that is open now and then, and the tail of changes in between.

READ_ALL_EVERY = timedelta(minutes=10)
_SURPLUS_EVERY = timedelta(minutes=1)
_SLICE = 256  # approvals of a full read at once, so that a deadline never waits for all of them
_PROBED = 64  # approvals in one tick, a GET each
_VERIFIED = 256  # approvals that a full read reads once more although they are known


class Sweeper:
    """Finishes what is open: reads all of it now and then, and follows the tail of changes in between.

    For one thread. The first full read takes a LIST for each 1,000 that are open and a GET for each of them; later ones
    take the LISTs, and a few reads that check what is known. Everything else takes requests for what changes.

    Parameters
    ----------
    cases : UseCases
        What is carried out here, and its clock.
    observer : Observer
        Told of every act.
    name : str
        Of this sweeper among all that share the store.
    each : Each
        By default one approval after the other; a pool's ``map`` lets a slow call not hold up the rest.
    reminders : Reminders, optional
        Ask people again, when it is time.
    subscribers : Collection[Subscriber]
        Told of every change.
    intake : Intake, optional
        Takes over what was proposed, where only the bot writes records.
    projection : Projection, optional
        Kept up to date with what is open. Default: one of its own.
    history : History, optional
        Told when everything that was decided lately has been read.

    Attributes
    ----------
    saw_change : bool
        Whether the last look at the tail brought anything.
    """

    def __init__(
        self,
        cases: UseCases,
        observer: Observer,
        *,
        name: str,
        each: Each = map,
        reminders: Reminders | None = None,
        subscribers: Collection[Subscriber] = (),
        intake: Intake | None = None,
        projection: Projection | None = None,
        history: History | None = None,
    ) -> None:
        self._cases = cases
        self._intake = intake
        self._clock: Clock = cases.clock
        self._observer = observer
        self._each = each
        self._agenda = Agenda()
        self._worker = Worker(cases, observer, reminders, name=name)
        self._projection = projection if projection is not None else Projection()
        self._history = history
        self._tail = Tail(cases.ledger)
        self.saw_change = False  # at the last look at the tail
        self._open_ids: set[str] = set()  # at the beginning of the full read under way
        self._verified_to = ""
        self._unprobed: list[str] = []  # read by a hint, and yet to be looked at for a newer version
        self._hinted: dict[str, int] = {}  # the numbers of those versions
        self._lately: dict[str, None] = {}  # settled, and to be read for history
        self._read_all_at: datetime | None = None
        self._looked_for_surplus_at: datetime | None = None
        self._reading: Iterator[tuple[str, Entry | RecordError]] | None = None  # a full read under way
        self._unwritten: set[str] = set()  # open without a record, at the full read before this one
        self._found_unwritten: set[str] = set()
        self._subscribers = tuple(subscribers)

    def tick(self) -> datetime | None:
        """Do everything that is due now.

        Returns
        -------
        datetime, optional
            When something is due next, as far as is known; the present while a full read is under way. What the tail
            brings may be due before.

        Raises
        ------
        StoreError
            Nothing is lost. Call again later.
        """
        if self._intake is not None:
            self._intake.tick()  # first, so that what it takes over is posted in the same turn
        self.read_all()
        self.read_lately()
        self.follow()
        self.probe()
        self.catch_up()
        self.remove_surplus()
        for subscriber in self._subscribers:
            subscriber.tick()
        return self._clock() if self._reading is not None else self._agenda.next_at()

    def _tell(self, subscriber: Subscriber, entry: Entry) -> None:
        try:
            subscriber.changed(entry)
        except HitlError as error:
            self._observer.failed(entry.approval.id, error)
        except Exception as error:  # noqa: BLE001 - nor may one subscriber hold up the others
            self._observer.broke(entry.approval.id, error)

    # Three ways to learn of an approval.

    def read_all(self) -> None:
        """Read a slice of all that is open, if a full read is under way or its time has come."""
        now = self._clock()
        try:
            if self._reading is None:
                if self._read_all_at is not None and now < self._read_all_at + READ_ALL_EVERY:
                    return
                self._begin_to_read_all(now)
            self._read_slice()
        except StoreError:
            self._reading = self._read_all_at = None  # from the beginning, next time
            raise

    def read_lately(self) -> None:
        """Read a slice of what was settled before this process began and is in no digest yet, for history."""
        if self._history is None or self._reading is not None or not self._projection.is_complete:
            return
        if self._lately:
            ids = list(islice(self._lately, _SLICE))
            for entry in self._cases.ledger.read_many(ids):
                if not isinstance(entry, RecordError):
                    self._history.learn(entry)
            for approval_id in ids:
                del self._lately[approval_id]
        else:
            self._history.follow()

    def _lately_since(self, now: datetime) -> datetime:
        return now if self._history is None else self._history.since

    def _begin_to_read_all(self, now: datetime) -> None:
        ledger = self._cases.ledger
        clean(ledger, now - bucket_map.KEEP_MARKERS_FOR)
        self._tail.begin(now)  # what is written from now on is in the tail
        self._found_unwritten = set()
        self._projection.begin_round()
        ids = list(ledger.open_ids())
        self._open_ids = set(ids)
        first = not self._projection.is_complete
        tail = ledger.newest_changes() if first else {}
        hints = {approval_id: change.number for approval_id, change in tail.items()}
        if first:
            # What was decided lately and is settled: for history, after what is open.
            since, known = self._lately_since(now), self._open_ids
            self._hinted = {one: hints[one] for one in ids if one in hints}
            self._lately = {
                one.approval_id: None for one in tail.values() if one.at >= since and one.approval_id not in known
            }
        self._reading = self._read_open(ids, hints)
        self._read_all_at = now

    def _read_open(self, ids: list[str], hints: dict[str, int]) -> Iterator[tuple[str, Entry | RecordError]]:
        """Yield everything that is open: from memory what is known, and all others, and a few that are known, read."""
        again = self._to_verify([one for one in ids if self._projection.get(one) is not None])
        todo = iter(ids)
        while chunk := list(islice(todo, _SLICE)):
            known = {one: entry for one in chunk if (entry := self._projection.get(one)) and one not in again}
            yield from known.items()
            others = [one for one in chunk if one not in known]
            yield from zip(others, self._cases.ledger.read_many(others, hints=hints), strict=False)

    def _to_verify(self, known: list[str]) -> set[str]:
        """Choose what is read once more although it is known: whatever happens to the tail, nothing stays unseen."""
        later = [one for one in known if one > self._verified_to] or known
        chosen = later[:_VERIFIED]
        self._verified_to = chosen[-1] if chosen else ""
        return set(chosen)

    def _read_slice(self) -> None:
        found = list(islice(self._reading or (), _SLICE))
        waiting: list[Entry] = []
        for approval_id, entry in found:
            if isinstance(entry, NoSuchApproval):
                self._clear_marker(approval_id)
            elif isinstance(entry, RecordError):
                self._set_aside(approval_id, entry)
            elif self._take_off_or_learn(entry):
                waiting.append(entry)
        for _ in self._each(self._worker.look_for_its_run, waiting):
            pass
        if len(found) < _SLICE:
            self._reading = None
            self._unwritten = self._found_unwritten
            if not self._projection.is_complete:
                self._unprobed = sorted(self._open_ids)
            self._projection.end_round(self._open_ids)
            self._observer.saw_all()

    def follow(self) -> None:
        """Learn of what changed since the last time, by the tail."""
        now = self._clock()
        with suppress(StoreUnavailable):  # with the next tick; what is due must not wait for it
            self._cases.ledger.catch_up(now)
        self.saw_change = False
        for news in self._projection.take_news():
            self._learn(news)  # written in this process: what it could not carry out is done here, marker or not
        for changes, entry in self._each(self._newest_of, self._tail.fresh(now)):
            if entry is None:
                self._tail.postpone(changes, now)
                continue
            self.saw_change = True
            if isinstance(entry, RecordError):
                self._set_aside(changes[0].approval_id, entry)
            elif self._learn(entry):
                for subscriber in self._subscribers:
                    self._tell(subscriber, entry)
            self._tail.handle(changes, now)

    def _newest_of(self, changes: list[ChangeMarker]) -> tuple[list[ChangeMarker], Entry | RecordError | None]:
        approval_id, number = changes[0].approval_id, max(change.number for change in changes)
        known, ledger = self._projection.get(approval_id), self._cases.ledger
        if known is not None and known.number >= number:
            return changes, known  # read or written here
        try:
            if approval_id in self._lately:
                # Not on the list of open ones: a later version settled it, whether or not its marker was written.
                return changes, ledger.read(approval_id)
            return changes, ledger.read_version(approval_id, max(number, self._projection.number(approval_id)))
        except NoSuchApproval:
            return changes, None
        except RecordError as error:
            return changes, error

    def probe(self) -> None:
        """Look at some of what was read by a hint for a newer version: somebody died before its marker was written."""
        for approval_id, entry in self._each(self._after_newest, self._unprobed[-_PROBED:]):
            if isinstance(entry, RecordError):
                self._set_aside(approval_id, entry)
            elif entry is not None:
                self._take_off_or_learn(entry)
                for subscriber in self._subscribers:
                    self._tell(subscriber, entry)
        del self._unprobed[-_PROBED:]  # not before: the store may go away half-way

    def _after_newest(self, approval_id: str) -> tuple[str, Entry | RecordError | None]:
        known, ledger = self._projection.get(approval_id), self._cases.ledger
        try:
            if known is None:
                # Maybe somebody here read that it is settled, as a message of many gates does.
                return approval_id, ledger.read(approval_id) if approval_id in self._hinted else None
            if ledger.read_version(approval_id, known.number + 1) is not None:
                return approval_id, ledger.read(approval_id)
            # What was read elsewhere may be newer than what was planned for.
            return approval_id, known if known.number > self._hinted.get(approval_id, known.number) else None
        except RecordError as error:
            return approval_id, error

    def catch_up(self) -> None:
        """Do what is due."""
        due = self._agenda.take_due(self._clock())
        for attempt in self._each(self._worker.work_on, due):
            self._agenda.note(attempt, self._clock())

    def remove_surplus(self) -> None:
        """Remove the messages that stand beside those that records name, once a minute."""
        now = self._clock()
        if self._looked_for_surplus_at is not None and now < self._looked_for_surplus_at + _SURPLUS_EVERY:
            return
        self._looked_for_surplus_at = now
        keys = list(self._cases.ledger.store.list(bucket_map.SURPLUS.root, limit=_PROBED))
        for _ in self._each(self._worker.remove_surplus, keys):
            pass

    def _take_off_or_learn(self, entry: Entry) -> bool:
        """Take a settled approval off the list of open ones, or learn it; say whether it was learned."""
        if entry.approval.settlement is None:
            return self._learn(entry)
        self._cases.ledger.finish(entry.approval)
        self._hinted.pop(entry.approval.id, None)
        for subscriber in self._subscribers:
            self._tell(subscriber, entry)  # whoever settled it could take it off no more, or tell anybody
        self._projection.learn(entry)
        self._observer.did(Act.FINISH, entry.approval)
        return False

    def _learn(self, entry: Entry) -> bool:
        """Take in a version; say whether that could be done. What fails is this record's own fault."""
        self._projection.learn(entry)
        self._projection.notice(entry)
        if self._history is not None:
            self._history.learn(entry)
        # The tail may name an older version than is known here, which must not put an older plan in the newer one's
        # place.
        newest = self._projection.get(entry.approval.id)
        approval = newest.approval if newest is not None and newest.number > entry.number else entry.approval
        if approval.settlement is not None and entry.version.event == TrailEvent.POSTED:
            self._cases.posting.shown.expect_question(approval)
        try:
            self._observer.saw(approval)
            if not self._agenda.pauses(approval.id):
                self._agenda.learn(approval, self._worker.plan(approval))
        except HitlError as error:
            self._observer.failed(approval.id, error)
        except Exception as error:  # noqa: BLE001 - one record must not hold up all the others
            self._observer.broke(approval.id, error)
            self._projection.fail(approval.id, RecordError(f"The record {approval.id} can't be used: {error!r}."))
            return False
        return True

    def _set_aside(self, approval_id: str, error: RecordError) -> None:
        self._projection.fail(approval_id, error)
        self._worker.report_unusable(approval_id, error)

    def _clear_marker(self, approval_id: str) -> None:
        # Open without a record: somebody is about to write it, or died before. The next full read will tell.
        if approval_id in self._unwritten:
            self._cases.ledger.store.unmark(bucket.open_key(approval_id))
            self._open_ids.discard(approval_id)
        else:
            self._found_unwritten.add(approval_id)
