"""What there is to sweep: all that is open now and then, and the tail of changes in between."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import islice, tee

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval, RecordError, StoreError
from metaflow_extensions.hitl.approvals.intake import Intake
from metaflow_extensions.hitl.approvals.ledger import Change, Entry, change_key, open_key, retention_start
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.sweeping.agenda import Agenda
from metaflow_extensions.hitl.approvals.sweeping.planning import Act
from metaflow_extensions.hitl.approvals.sweeping.ports import Each, Observer, Reminders, Subscriber
from metaflow_extensions.hitl.approvals.sweeping.worker import Worker
from metaflow_extensions.hitl.approvals.use_cases import UseCases

READ_ALL_EVERY = timedelta(minutes=10)
LOOK_BACK = timedelta(minutes=5)  # the tail carries the writers' clocks, which may be behind this one
_SLICE = 256  # approvals of a full read at once, so that a deadline never waits for all of them
_REMEMBERED = 100_000  # markers of the tail; one that was forgotten is read again, which costs a request and no more


class Sweeper:
    """Finishes what is open: reads all of it now and then, and follows the tail of changes in between.

    For one thread. Memory grows with what is open and has a time at which something is due, some 200 bytes each;
    requests grow with what changes, apart from the full read.

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
    ) -> None:
        self._cases = cases
        self._intake = intake
        self._clock: Clock = cases.clock
        self._observer = observer
        self._each = each
        self._agenda = Agenda()
        self._worker = Worker(cases, observer, reminders, name=name)
        self._handled: BoundedMap[str, None] = BoundedMap(_REMEMBERED)  # markers of the tail
        self._newest: datetime | None = None  # in the tail
        self._read_all_at: datetime | None = None
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
        self.follow()
        self.catch_up()
        for subscriber in self._subscribers:
            subscriber.tick()
        return self._clock() if self._reading is not None else self._agenda.next_at()

    def _tell(self, subscriber: Subscriber, entry: Entry) -> None:
        try:
            subscriber.changed(entry)
        except HitlError as error:
            self._observer.failed(entry.approval.id, error)

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

    def _begin_to_read_all(self, now: datetime) -> None:
        ledger = self._cases.ledger
        ledger.forget_changes(retention_start(now))
        self._newest = self._newest or now  # what is written from now on is in the tail
        self._found_unwritten = set()
        ids, again = tee(ledger.open_ids())
        self._reading = zip(again, ledger.read_many(ids), strict=False)
        self._read_all_at = now

    def _read_slice(self) -> None:
        found = list(islice(self._reading or (), _SLICE))
        waiting: list[Entry] = []
        for approval_id, entry in found:
            if isinstance(entry, NoSuchApproval):
                self._clear_marker(approval_id)
            elif isinstance(entry, RecordError):
                self._worker.report_unusable(approval_id, entry)
            elif entry.approval.settlement is not None:
                self._cases.ledger.finish(entry.approval)
                self._observer.did(Act.FINISH, entry.approval)
            else:
                self._learn(entry.approval)
                waiting.append(entry)
        for _ in self._each(self._worker.look_for_its_run, waiting):
            pass
        if len(found) < _SLICE:
            self._reading = None
            self._unwritten = self._found_unwritten
            self._observer.saw_all()

    def follow(self) -> None:
        """Learn of what changed since the last time, by the tail."""
        now = self._clock()
        since = min(self._newest or now, now) - LOOK_BACK
        fresh: dict[str, list[Change]] = {}
        for change in self._cases.ledger.changes(since):
            if change.key not in self._handled:
                fresh.setdefault(change.approval_id, []).append(change)
        for changes, entry in self._each(self._newest_of, fresh.values()):
            if isinstance(entry, RecordError):
                self._worker.report_unusable(changes[0].approval_id, entry)
            elif entry is not None:
                self._learn(entry.approval)
                for subscriber in self._subscribers:
                    self._tell(subscriber, entry)
            # Only now: a store that failed half-way must not leave anything out.
            self._handled.update((change.key, None) for change in changes)
            self._newest = max(self._newest or now, *(change.at for change in changes))
        while self._handled and next(iter(self._handled)) < change_key(since):
            self._handled.popitem()

    def _newest_of(self, changes: list[Change]) -> tuple[list[Change], Entry | RecordError | None]:
        number = max(change.number for change in changes)
        try:
            return changes, self._cases.ledger.read_version(changes[0].approval_id, number)
        except RecordError as error:
            return changes, error

    def catch_up(self) -> None:
        """Do what is due."""
        due = self._agenda.take_due(self._clock())
        for attempt in self._each(self._worker.work_on, due):
            self._agenda.note(attempt, self._clock())

    def _learn(self, approval: Approval) -> None:
        self._observer.saw(approval)
        if not self._agenda.pauses(approval.id):
            self._agenda.learn(approval, self._worker.plan(approval))

    def _clear_marker(self, approval_id: str) -> None:
        # Open without a record: somebody is about to write it, or died before. The next full read will tell.
        if approval_id in self._unwritten:
            self._cases.ledger.store.unmark(open_key(approval_id))
        else:
            self._found_unwritten.add(approval_id)
