"""The sweeper's rules: what an open approval needs next, and when.

It finishes what others began and could not end: it posts what is not posted, expires what is due, carries out what is
decided, closes what nobody waits for, and takes what is settled off the list of open ones. Every act is idempotent, so
several sweepers, or one that was killed half-way, do no harm.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import islice, tee
from typing import TYPE_CHECKING, Protocol, TypeVar

from metaflow_extensions.hitl.approvals.errors import (
    CorruptRecord,
    HitlError,
    NewerFormat,
    NoSuchApproval,
    NotifierBusy,
    OtherPathspec,
    RecordError,
    StoreError,
)
from metaflow_extensions.hitl.approvals.ledger import change_key, retention_start
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.approvals.use_cases import Outcome, unposted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import datetime

    from metaflow_extensions.hitl.approvals.ledger import Change, Entry
    from metaflow_extensions.hitl.approvals.ports import Clock, Policy
    from metaflow_extensions.hitl.approvals.record import Approval, EngineKind
    from metaflow_extensions.hitl.approvals.use_cases import UseCases

POST_AFTER = timedelta(seconds=10)  # whoever asks posts as well; this is for one that could not
GATHER_FOR = timedelta(seconds=2)  # gates that share a message are left to the sweeper, which waits for the others
CARRY_OUT_AFTER = timedelta(seconds=3)  # whoever decides carries it out as well; likewise
READ_ALL_EVERY = timedelta(minutes=10)
LOOK_BACK = timedelta(minutes=5)  # the tail carries the writers' clocks, which may be behind this one
RETRY_FIRST, RETRY_LAST = timedelta(seconds=3), timedelta(minutes=1)
_PACE = timedelta(seconds=1)
CLAIM_FOR = timedelta(minutes=1)  # longer than any attempt to post takes
_SLICE = 256  # approvals of a full read at once, so that a deadline never waits for all of them
_REMEMBERED = 100_000  # markers of the tail; one that was forgotten is read again, which costs a request and no more

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Act(str, Enum):
    """What a sweeper can do about an approval."""

    GOVERN = "govern"
    POST = "post"
    EXPIRE = "expire"
    CARRY_OUT = "carry out"
    REMIND = "remind"
    FINISH = "finish"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an approval needs next, and when."""

    act: Act
    at: datetime


def plan(
    approval: Approval, *, notifiers: Collection[str], engines: Collection[EngineKind], policy: Policy | None = None
) -> Plan | None:
    """Say what an open approval needs next, if nobody does anything before.

    Parameters
    ----------
    approval : Approval
        As it stands.
    notifiers : Collection[str]
        Those that can post from here.
    engines : Collection[EngineKind]
        Those that can be told from here.
    policy : Policy, optional
        What the operator demands, if that is known here.

    Returns
    -------
    Plan, optional
        None: it waits for a person without a deadline that decides, or for a sweeper that can do more.
    """
    if approval.settlement is not None:
        return Plan(act=Act.FINISH, at=approval.settlement.at)
    ended = approval.decision or approval.closing
    if ended is not None:
        if approval.decision is not None and approval.gate.engine not in engines:
            return None
        return Plan(act=Act.CARRY_OUT, at=ended.at + CARRY_OUT_AFTER)
    plans: list[Plan] = []
    if policy is not None and policy.rule_for(approval) != approval.policy_rule:
        plans.append(Plan(act=Act.GOVERN, at=approval.requested_at))
    if any(name in notifiers for name in unposted(approval)):
        patience = GATHER_FOR if approval.question.batch else POST_AFTER
        plans.append(Plan(act=Act.POST, at=approval.requested_at + patience))
    if approval.deadline is not None and approval.is_due(approval.deadline):
        plans.append(Plan(act=Act.EXPIRE, at=approval.deadline))
    return min(plans, key=lambda candidate: candidate.at, default=None)


class Witness(Protocol):
    """Told what a sweeper sees and does, for logs and metrics. Called from the threads of ``each``."""

    def saw(self, approval: Approval) -> None:
        """The newest version was read: it changed, or it is open and all that is open is being read."""
        ...

    def saw_all(self) -> None:
        """All that is open was seen since the last time."""
        ...

    def did(self, act: Act, approval: Approval) -> None:
        """Something was done, whole."""
        ...

    def failed(self, approval_id: str, error: HitlError) -> None:
        """Something could not be done. It is tried again, unless the record itself is what can't be used."""
        ...

    def broke(self, approval_id: str, error: Exception) -> None:
        """A defect showed. It is tried again, and the other approvals are not held up."""
        ...


class Reminders(Protocol):
    """Asks people again."""

    def next_at(self, approval: Approval) -> datetime | None:
        """Say when, or None if nobody is to be asked again."""
        ...

    def remind(self, entry: Entry) -> Outcome:
        """Do it if it is time, once whoever else is at it."""
        ...


class Follower(Protocol):
    """Told of every change, in the sweeper's own thread: it may note what it will do, and leave the doing to others."""

    def changed(self, entry: Entry) -> None:
        """A version was written that is the newest of its approval. The same may be told again."""
        ...

    def tick(self) -> None:
        """The sweeper has done everything that was due."""
        ...


class Each(Protocol):
    """The built-in ``map``, or a thread pool's: applies a function to everything, in order."""

    def __call__(self, function: Callable[[_In], _Out], things: Iterable[_In], /) -> Iterable[_Out]: ...


@dataclass(frozen=True, kw_only=True)
class _Tended:
    """What came of one approval's turn: nothing more to do, the next plan, or another attempt."""

    approval_id: str
    coming: datetime | None = None
    again: bool = False
    turn: Plan | None = None  # all that hinders is that others are before it, until then
    deadline: datetime | None = None  # that decides, whatever else is under way


class Sweeper:
    """Finishes what is open: reads all of it now and then, and follows the tail of changes in between.

    For one thread. Memory grows with what is open and has a time at which something is due, some 200 bytes each;
    requests grow with what changes, apart from the full read.

    Parameters
    ----------
    cases : UseCases
        What is carried out here, and its clock.
    witness : Witness
        Told of every act.
    name : str
        Of this sweeper among all that share the store.
    each : Each
        By default one approval after the other; a pool's ``map`` lets a slow call not hold up the rest.
    """

    def __init__(self, cases: UseCases, witness: Witness, *, name: str, each: Each = map) -> None:
        self._cases = cases
        self._clock: Clock = cases.clock
        self._witness = witness
        self._name = name
        self._each = each
        self._timed: list[tuple[datetime, str]] = []  # a heap; what _next does not confirm is passed over
        self._next: dict[str, datetime] = {}
        self._pauses: dict[str, timedelta] = {}  # of approvals whose last attempt failed
        self._turns: dict[str, Plan] = {}  # of those that a notifier was too busy for
        self._handled: OrderedDict[str, None] = OrderedDict()  # markers of the tail
        self._newest: datetime | None = None  # in the tail
        self._read_all_at: datetime | None = None
        self._reading: Iterator[tuple[str, Entry | RecordError]] | None = None  # a full read under way
        self._unwritten: set[str] = set()  # open without a record, at the full read before this one
        self._found_unwritten: set[str] = set()
        self._reminders: Reminders | None = None
        self._followers: tuple[Follower, ...] = ()
        self._unusable: set[str] = set()  # reported: once is enough

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
        self.read_all()
        self.follow()
        self.catch_up()
        for follower in self._followers:
            follower.tick()
        return self._clock() if self._reading is not None else self._next_at()

    def let_remind(self, reminders: Reminders) -> None:
        """Ask people again from now on, when it is time."""
        self._reminders = reminders

    def be_followed(self, *followers: Follower) -> None:
        """Tell them of every change from now on."""
        self._followers += followers

    def _tell(self, follower: Follower, entry: Entry) -> None:
        try:
            follower.changed(entry)
        except HitlError as error:
            self._witness.failed(entry.approval.id, error)

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
                self._report_unusable(approval_id, entry)
            elif entry.approval.settlement is not None:
                self._cases.ledger.finish(entry.approval)
                self._witness.did(Act.FINISH, entry.approval)
            else:
                self._learn(entry.approval)
                waiting.append(entry)
        for _ in self._each(self._look_for_its_run, waiting):
            pass
        if len(found) < _SLICE:
            self._reading = None
            self._unwritten = self._found_unwritten
            self._witness.saw_all()

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
                self._report_unusable(changes[0].approval_id, entry)
            elif entry is not None:
                self._learn(entry.approval)
                for follower in self._followers:
                    self._tell(follower, entry)
            # Only now: a store that failed half-way must not leave anything out.
            self._handled.update((change.key, None) for change in changes)
            self._newest = max(self._newest or now, *(change.at for change in changes))
        while self._handled and (len(self._handled) > _REMEMBERED or next(iter(self._handled)) < change_key(since)):
            self._handled.popitem(last=False)

    def _newest_of(self, changes: list[Change]) -> tuple[list[Change], Entry | RecordError | None]:
        number = max(change.number for change in changes)
        try:
            return changes, self._cases.ledger.read_version(changes[0].approval_id, number)
        except RecordError as error:
            return changes, error

    def catch_up(self) -> None:
        """Do what is due."""
        now = self._clock()
        due: list[str] = []
        while (next_at := self._next_at()) is not None and next_at <= now:
            due.append(heapq.heappop(self._timed)[1])
            del self._next[due[-1]]
        for tended in self._each(self._tend, due):
            self._note(tended)

    # The agenda.

    def _learn(self, approval: Approval) -> None:
        self._witness.saw(approval)
        if approval.id in self._pauses:
            return  # one that failed keeps its own pace; it may even be settled, and not off the list
        coming = self._plan(approval)
        turn = self._turns.get(approval.id)
        if coming is None or coming.act is Act.FINISH:
            self._turns.pop(approval.id, None)
            self._next.pop(approval.id, None)
        elif turn is not None and turn.act is coming.act:
            # What is seen again has no other turn for it: who comes before it is sent to the end of the queue.
            self._schedule(approval.id, _earliest(turn.at, _deadline(approval)))
        else:
            self._schedule(approval.id, coming.at)

    def _plan(self, approval: Approval) -> Plan | None:
        cases = self._cases
        coming = plan(approval, notifiers=cases.notifiers, engines=cases.engines, policy=cases.policy)
        at = self._reminders.next_at(approval) if self._reminders is not None else None
        if at is None or (coming is not None and coming.at <= at):
            return coming
        return Plan(act=Act.REMIND, at=at)

    def _schedule(self, approval_id: str, at: datetime) -> None:
        if self._next.get(approval_id) != at:
            self._next[approval_id] = at
            heapq.heappush(self._timed, (at, approval_id))

    def _next_at(self) -> datetime | None:
        while self._timed and self._next.get(self._timed[0][1]) != self._timed[0][0]:
            heapq.heappop(self._timed)
        return self._timed[0][0] if self._timed else None

    def _note(self, tended: _Tended) -> None:
        now = self._clock()
        if tended.turn is not None:
            self._pauses.pop(tended.approval_id, None)
            self._turns[tended.approval_id] = tended.turn
            self._schedule(tended.approval_id, _earliest(tended.turn.at, tended.deadline))
            return
        self._turns.pop(tended.approval_id, None)
        if tended.again:
            pause = self._pauses.get(tended.approval_id)
            self._pauses[tended.approval_id] = pause = min(pause * 2, RETRY_LAST) if pause else RETRY_FIRST
            self._schedule(tended.approval_id, _earliest(now + pause, tended.deadline))
            return
        self._pauses.pop(tended.approval_id, None)
        if tended.coming is not None:
            # What is due although it was just done (a notifier that leaves nothing to update) must not spin.
            self._schedule(tended.approval_id, max(tended.coming, now + _PACE))

    # One approval. These run in the threads of `each`, and keep their hands off the agenda.

    def _tend(self, approval_id: str) -> _Tended:
        try:
            outcome = self._act(self._cases.ledger.read(approval_id))
        except (CorruptRecord, NewerFormat, OtherPathspec, NoSuchApproval) as error:
            self._report_unusable(approval_id, error)
            return _Tended(approval_id=approval_id)
        except HitlError as error:
            self._witness.failed(approval_id, error)
            return _Tended(approval_id=approval_id, again=True)
        except Exception as error:  # noqa: BLE001 - a defect in one must not hold up the deadlines of all the others
            self._witness.broke(approval_id, error)
            return _Tended(approval_id=approval_id, again=True)
        if outcome is None:
            return _Tended(approval_id=approval_id, again=True)
        for problem in outcome.pending:
            self._witness.failed(approval_id, problem)
        coming = None if outcome.approval.settlement is not None else self._plan(outcome.approval)
        busy = [problem.seconds for problem in outcome.pending if isinstance(problem, NotifierBusy)]
        turn: Plan | None = None
        if coming is not None and busy and len(busy) == len(outcome.pending):
            turn = Plan(act=coming.act, at=self._clock() + timedelta(seconds=min(busy)))
        return _Tended(
            approval_id=approval_id,
            coming=None if coming is None else coming.at,
            again=bool(outcome.pending),
            turn=turn,
            deadline=_deadline(outcome.approval),
        )

    def _act(self, entry: Entry) -> Outcome | None:
        """Do what is due; None if another sweeper is at it."""
        approval, now = entry.approval, self._clock()
        coming = self._plan(approval)
        if coming is None or coming.at > now:
            return Outcome(approval=approval)
        if coming.act is Act.POST and approval.is_due(now):
            # What could not be posted until its deadline must not keep the deadline from deciding.
            coming = Plan(act=Act.EXPIRE, at=now)
        if coming.act is Act.POST:
            # A message that is posted twice can't be taken back: of several sweepers, one posts.
            if not self._cases.ledger.claim(approval.id, "post", self._name, now=now, during=CLAIM_FOR):
                return None
            outcome = self._cases.post(entry)
        elif coming.act is Act.REMIND and self._reminders is not None:
            outcome = self._reminders.remind(entry)
        elif coming.act is Act.GOVERN:
            outcome = self._cases.govern(entry)
        elif coming.act is Act.EXPIRE:
            outcome = self._cases.expire(entry)
        else:
            outcome = self._cases.carry_out(entry)
        if not outcome.pending:
            self._witness.did(coming.act, outcome.approval)
        return outcome

    def _look_for_its_run(self, entry: Entry) -> None:
        approval = entry.approval
        engine = self._cases.engines.get(approval.gate.engine)
        if engine is None or approval.decision is not None or approval.closing is not None:
            return
        try:
            why = engine.gone(approval)
            if why is not None:
                self._cases.close(entry, why)  # what it can't show now comes again through the tail
        except HitlError as error:
            self._witness.failed(approval.id, error)
        except Exception as error:  # noqa: BLE001 - as in _tend
            self._witness.broke(approval.id, error)

    # What can't be used.

    def _clear_marker(self, approval_id: str) -> None:
        # Open without a record: somebody is about to write it, or died before. The next full read will tell.
        if approval_id in self._unwritten:
            self._cases.ledger.store.unmark(f"open/{approval_id}")
        else:
            self._found_unwritten.add(approval_id)

    def _report_unusable(self, approval_id: str, error: RecordError) -> None:
        if approval_id not in self._unusable:
            self._unusable.add(approval_id)
            self._witness.failed(approval_id, error)


def _deadline(approval: Approval) -> datetime | None:
    """Return when an approval that is open is decided by its deadline, if it is."""
    if approval.state is not State.PENDING or approval.deadline is None or not approval.is_due(approval.deadline):
        return None
    return approval.deadline


def _earliest(moment: datetime, deadline: datetime | None) -> datetime:
    return moment if deadline is None else min(moment, deadline)
