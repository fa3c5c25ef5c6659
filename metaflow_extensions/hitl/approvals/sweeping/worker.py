"""Doing what one approval needs, whichever sweeper comes first."""

import heapq
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from itertools import islice, takewhile
from typing import Protocol

from metaflow_extensions.hitl.approvals import bucket, bucket_map, errors
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock, Policy
from metaflow_extensions.hitl.approvals.posting import unposted
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, State
from metaflow_extensions.hitl.approvals.shown import Shown
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases

# What a sweeper works with, and whom it tells.


class Observer(Protocol):
    """Told what a sweeper sees and does, for logs and metrics. Called from the threads of ``each``."""

    def saw(self, approval: Approval) -> None:
        """The newest version was read: it changed, or it is open and all that is open is being read."""
        ...

    def saw_all(self) -> None:
        """All that is open was seen since the last time."""
        ...

    def did(self, act: "Act", approval: Approval) -> None:
        """Something was done, whole."""
        ...

    def failed(self, approval_id: str, error: errors.HitlError) -> None:
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


class Subscriber(Protocol):
    """Told of every change, in the sweeper's own thread: it may note what it will do, and leave the doing to others."""

    def changed(self, entry: Entry) -> None:
        """A version was written that is the newest of its approval. The same may be told again."""
        ...

    def tick(self) -> None:
        """The sweeper has done everything that was due."""
        ...


# What an open approval needs next, and when: pure rules.

POST_AFTER = timedelta(seconds=10)  # whoever asks posts as well; this is for one that could not
GATHER_FOR = timedelta(seconds=2)  # gates that share a message are left to the sweeper, which waits for the others
CARRY_OUT_AFTER = timedelta(seconds=3)  # whoever decides carries it out as well; likewise
SHOW_AGAIN_AFTER = timedelta(seconds=35)  # longer than a run waits for any message to change
CLAIM_FOR = timedelta(minutes=1)  # longer than any attempt to post takes
LATE_WITHIN = 2 * CLAIM_FOR  # of asking: an approval that is settled sooner may get a message that was on its way


class Act(str, Enum):
    """What a sweeper can do about an approval."""

    GOVERN = "govern"
    JUDGE = "judge"
    POST = "post"
    EXPIRE = "expire"
    SHOW = "show"
    CARRY_OUT = "carry out"
    REMIND = "remind"
    LOOK_AGAIN = "look again"
    FINISH = "finish"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an approval needs next, and when."""

    act: Act
    at: datetime


def plan(
    approval: Approval,
    *,
    notifiers: Collection[str],
    engines: Collection[EngineKind],
    policy: Policy | None = None,
    shown: Shown | None = None,
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
    shown : Shown, optional
        What messages are known to show.

    Returns
    -------
    Plan, optional
        None: it waits for a person without a deadline that decides, or for a sweeper that can do more.
    """
    if approval.settlement is not None:
        return _once_settled(approval, approval.settlement.at, notifiers, shown or Shown())
    ended = approval.decision or approval.closing
    if ended is not None:
        if approval.decision is not None and approval.gate.engine not in engines:
            return None
        return Plan(act=Act.CARRY_OUT, at=ended.at + CARRY_OUT_AFTER)
    plans: list[Plan] = []
    if policy is not None and policy.rule_for(approval) != approval.policy_rule:
        plans.append(Plan(act=Act.GOVERN, at=approval.requested_at))
    if approval.question.auto_approve is not None and approval.judgement is None:
        plans.append(Plan(act=Act.JUDGE, at=approval.requested_at))
    if any(name in notifiers for name in unposted(approval)) or (shown is not None and shown.unnoted(approval)):
        # Of what the bot signed, nobody else posts.
        alone = POST_AFTER if approval.vouched_by is None else timedelta(0)
        patience = GATHER_FOR if approval.question.batch else alone
        plans.append(Plan(act=Act.POST, at=approval.requested_at + patience))
    if shown is not None and not shown.is_up_to_date(approval, notifiers):
        plans.append(Plan(act=Act.SHOW, at=max(one.at for one in approval.votes) + CARRY_OUT_AFTER))
    if approval.deadline is not None and approval.is_due(approval.deadline):
        plans.append(Plan(act=Act.EXPIRE, at=approval.deadline))
    return min(plans, key=lambda candidate: candidate.at, default=None)


def _once_settled(approval: Approval, at: datetime, notifiers: Collection[str], shown: Shown) -> Plan:
    if shown.unnoted(approval):
        return Plan(act=Act.POST, at=approval.requested_at)
    if shown.showed_less(approval):
        return Plan(act=Act.SHOW, at=approval.requested_at)
    if shown.may_show_less(approval):
        return Plan(act=Act.SHOW, at=at + SHOW_AGAIN_AFTER)
    if _may_come_late(approval, at, notifiers) and not shown.looked_again(approval.id):
        return Plan(act=Act.LOOK_AGAIN, at=at + SHOW_AGAIN_AFTER)
    return Plan(act=Act.FINISH, at=at)


def _may_come_late(approval: Approval, at: datetime, notifiers: Collection[str]) -> bool:
    """Whether its run may have been posting the question when it was settled, and nobody knew of that message."""
    return at - approval.requested_at < LATE_WITHIN and any(name in notifiers for name in unposted(approval))


def deciding_deadline(approval: Approval) -> datetime | None:
    """Return when an approval that is open is decided by its deadline, if it is."""
    if approval.state is not State.PENDING or approval.deadline is None or not approval.is_due(approval.deadline):
        return None
    return approval.deadline


# Removing what only grows: the tail's old markers, and what was needed to carry out what is long settled.

AT_ONCE = 500  # of the tail's markers: the work of one round is bounded


def clean(ledger: Ledger, before: datetime) -> int:
    """Remove the tail's markers that are older, and what belongs to records that were settled before as well.

    Claims, notes of what a thread or a message shows, and batches go with the last change of their record. What is
    still open keeps all of it. Bounded: the next round goes on where this one ends.

    Returns
    -------
    int
        How many markers of the tail were removed.
    """
    end = bucket.changes_from(before)
    named = map(bucket.read_change_key, takewhile(lambda key: key < end, ledger.store.list(bucket_map.CHANGES.root)))
    changes = list(islice((one for one in named if one is not None), AT_ONCE))
    batches: set[str] = set()
    for approval_id in dict.fromkeys(change.approval_id for change in changes):
        batches |= _clean_one(ledger, approval_id, before)
    for batch_id in sorted(batches):
        _clean_batch(ledger, batch_id, before)
    # The tail's markers go last: whoever dies before comes back to them.
    for change in changes:
        ledger.store.unmark(change.key)
    return len(changes)


def _clean_one(ledger: Ledger, approval_id: str, before: datetime) -> set[str]:
    """Remove what belongs to one record, if it is long settled; return the batches it was in."""
    try:
        approval = ledger.read(approval_id).approval
    except errors.NoSuchApproval:
        approval = None  # its records were removed
    except errors.RecordError:
        return set()
    if approval is not None and not _is_over(approval, before):
        return set()
    for prefix in (
        bucket_map.CLAIMS,
        bucket_map.SAID,
        bucket_map.SURPLUS,
        bucket_map.WAITING,
        bucket_map.PLOTS,
        bucket_map.PICTURES,
    ):
        _remove(ledger, prefix.folder(approval_id))
    _remove(ledger, bucket.sent_events_folder(approval_id))
    if approval is not None and approval.question.evidence is not None:
        _forget_older(ledger, approval)
    return {post.batch for post in approval.posts if post.batch} if approval is not None else set()


def _forget_older(ledger: Ledger, approval: Approval) -> None:
    """Remove the markers of approvals that no question is compared with any longer: there are newer ones."""
    folder = bucket.approved_folder(approval.pathspec.flow, approval.pathspec.step, approval.shard_value)
    for key in list(ledger.store.list(folder, limit=bucket_map.KEPT_APPROVED + AT_ONCE))[bucket_map.KEPT_APPROVED :]:
        ledger.store.unmark(key)


def _clean_batch(ledger: Ledger, batch_id: str, before: datetime) -> None:
    named = map(bucket.read_batch_member_key, ledger.store.list(bucket.batch_members_folder(batch_id)))
    for found in ledger.read_many(one[1] for one in named if one is not None):
        if isinstance(found, errors.NoSuchApproval):
            continue
        if isinstance(found, errors.RecordError) or not _is_over(found.approval, before):
            return
    _remove(ledger, bucket.claims_folder(batch_id))
    _remove(ledger, bucket.in_advance_folder(batch_id))
    _remove(ledger, bucket.batch_folder(batch_id))


def _is_over(approval: Approval, before: datetime) -> bool:
    lately = [one.at for one in approval.follow_ups if one.at >= before]
    return (
        approval.settlement is not None
        and approval.settlement.at < before
        and not (lately or approval.open_obligations)
    )


def _remove(ledger: Ledger, folder: str) -> None:
    for key in list(ledger.store.list(folder)):
        ledger.store.unmark(key)


# The sweeper's agenda: which open approval is due when, and how long one that failed has to wait.

RETRY_FIRST, RETRY_LAST = timedelta(seconds=3), timedelta(minutes=1)
RETRY_REFUSED = timedelta(minutes=30)  # the longest pause where only an operator can help, and nobody waits for it
_PACE = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A turn that a notifier promised.

    Attributes
    ----------
    plan : Plan
        What is done then, and when that is.
    queue : str
        Those of one queue may change places; empty: this one may not.
    urgency : tuple
        Of several in a queue the highest comes first.
    deadline : datetime, optional
        That decides, whatever else is under way.
    """

    plan: Plan
    queue: str
    urgency: tuple[bool, float]
    deadline: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one approval's turn: nothing more to do, the next plan, or another attempt."""

    approval_id: str
    coming: datetime | None = None
    again: bool = False
    longest: timedelta = RETRY_LAST  # pause between two attempts
    turn: Turn | None = None  # all that hinders is that others are before it, until then
    deadline: datetime | None = None  # that decides, whatever else is under way


class Agenda:
    """Holds a time for each approval at which something is due. For one thread; some 200 bytes for each."""

    def __init__(self) -> None:
        self._timed: list[tuple[datetime, str]] = []  # a heap; what _next does not confirm is passed over
        self._next: dict[str, datetime] = {}
        self._pauses: dict[str, timedelta] = {}  # of approvals whose last attempt failed
        self._turns: dict[str, Turn] = {}  # of those that a notifier was too busy for
        self._queues: dict[str, set[str]] = {}  # by the name of a queue

    def pauses(self, approval_id: str) -> bool:
        """Whether it failed: it keeps its own pace then; it may even be settled, and not off the list."""
        return approval_id in self._pauses

    def learn(self, approval: Approval, coming: Plan | None) -> None:
        """Take in what an approval needs next, as it stands now."""
        turn = self._turns.get(approval.id)
        if coming is None or coming.act is Act.FINISH:
            self._leave_queue(approval.id)
            self._next.pop(approval.id, None)
        elif turn is not None and turn.plan.act is coming.act:
            # What is seen again has no other turn for it: who comes before it is sent to the end of the queue.
            self._schedule(approval.id, _earliest(turn.plan.at, deciding_deadline(approval)))
        else:
            self._leave_queue(approval.id)
            self._schedule(approval.id, coming.at)

    def take_due(self, now: datetime) -> list[str]:
        """Take off the agenda what is due, and return the ids."""
        due: list[str] = []
        while (next_at := self.next_at()) is not None and next_at <= now:
            due.append(self._most_urgent(heapq.heappop(self._timed)[1]))
            del self._next[due[-1]]
        return due

    def _most_urgent(self, approval_id: str) -> str:
        """Return whose turn this is; one that is less urgent changes places with it."""
        turn = self._turns.get(approval_id)
        if turn is None or self._next[approval_id] != turn.plan.at:
            return approval_id  # it is due for another reason, such as its deadline
        waiting = [one for one in self._queues.get(turn.queue, ()) if self._next.get(one) == self._turns[one].plan.at]
        first = max(waiting, key=lambda one: self._turns[one].urgency, default=approval_id)
        if self._turns[first].urgency <= turn.urgency:
            return approval_id
        later = self._turns[first]
        self._turns[first], self._turns[approval_id] = replace(later, plan=turn.plan), replace(turn, plan=later.plan)
        self._next[first] = turn.plan.at
        del self._next[approval_id]  # its entry was taken off, so that even at the same time it needs another
        self._schedule(approval_id, _earliest(later.plan.at, turn.deadline))
        return first

    def _leave_queue(self, approval_id: str) -> None:
        turn = self._turns.pop(approval_id, None)
        if turn is not None and turn.queue:
            self._queues[turn.queue].discard(approval_id)

    def note(self, attempt: Attempt, now: datetime) -> None:
        """Take in what came of the turn of one that was due."""
        if attempt.turn is not None:
            self._pauses.pop(attempt.approval_id, None)
            self._leave_queue(attempt.approval_id)
            self._turns[attempt.approval_id] = attempt.turn
            if attempt.turn.queue:
                self._queues.setdefault(attempt.turn.queue, set()).add(attempt.approval_id)
            self._schedule(attempt.approval_id, _earliest(attempt.turn.plan.at, attempt.deadline))
            return
        self._leave_queue(attempt.approval_id)
        if attempt.again:
            pause = self._pauses.get(attempt.approval_id)
            self._pauses[attempt.approval_id] = pause = min(pause * 2, attempt.longest) if pause else RETRY_FIRST
            self._schedule(attempt.approval_id, _earliest(now + pause, attempt.deadline))
            return
        self._pauses.pop(attempt.approval_id, None)
        if attempt.coming is not None:
            # What is due although it was just done (a notifier that leaves nothing to update) must not spin.
            self._schedule(attempt.approval_id, max(attempt.coming, now + _PACE))

    def next_at(self) -> datetime | None:
        """Return when the next of all is due."""
        while self._timed and self._next.get(self._timed[0][1]) != self._timed[0][0]:
            heapq.heappop(self._timed)
        return self._timed[0][0] if self._timed else None

    def _schedule(self, approval_id: str, at: datetime) -> None:
        if self._next.get(approval_id) != at:
            self._next[approval_id] = at
            heapq.heappush(self._timed, (at, approval_id))


def _earliest(moment: datetime, deadline: datetime | None) -> datetime:
    return moment if deadline is None else min(moment, deadline)


# Doing what one approval needs, whichever sweeper comes first.


class Worker:
    """Works on one approval at a time, in the threads of the sweeper's ``each``; so it leaves the agenda alone.

    Parameters
    ----------
    cases : UseCases
        What is carried out here, and its clock.
    observer : Observer
        Told of every act.
    reminders : Reminders, optional
        Ask people again.
    name : str
        Of this sweeper among all that share the store.
    """

    def __init__(self, cases: UseCases, observer: Observer, reminders: Reminders | None, *, name: str) -> None:
        self._reminders = reminders
        self._cases = cases
        self._clock: Clock = cases.clock
        self._observer = observer
        self._name = name
        self._unusable: set[str] = set()  # reported: once is enough

    def plan(self, approval: Approval) -> Plan | None:
        """Say what an open approval needs next, asking people again included."""
        cases = self._cases
        coming = plan(
            approval,
            notifiers=cases.posting.notifiers,
            engines=cases.engines,
            policy=cases.policy,
            shown=cases.posting.shown,
        )
        at = self._reminders.next_at(approval) if self._reminders is not None else None
        if at is None or (coming is not None and coming.at <= at):
            return coming
        return Plan(act=Act.REMIND, at=at)

    def work_on(self, approval_id: str) -> Attempt:
        try:
            outcome = self._act(self._cases.ledger.read(approval_id))
        except (errors.CorruptRecord, errors.NewerFormat, errors.OtherPathspec, errors.NoSuchApproval) as error:
            self.report_unusable(approval_id, error)
            return Attempt(approval_id=approval_id)
        except errors.HitlError as error:
            self._observer.failed(approval_id, error)
            return Attempt(approval_id=approval_id, again=True)
        except Exception as error:  # noqa: BLE001 - a defect in one must not hold up the deadlines of all the others
            self._observer.broke(approval_id, error)
            return Attempt(approval_id=approval_id, again=True)
        if outcome is None:
            return Attempt(approval_id=approval_id, again=True)
        for problem in outcome.pending:
            self._observer.failed(approval_id, problem)
        coming = self.plan(outcome.approval)
        if coming is not None and coming.act is Act.FINISH:
            coming = None  # whoever settled it has done that, or notes that it could not
        busy = [problem for problem in outcome.pending if isinstance(problem, errors.NotifierBusy)]
        turn: Turn | None = None
        if coming is not None and busy and len(busy) == len(outcome.pending):
            first = min(busy, key=lambda problem: problem.seconds)
            plan = Plan(act=coming.act, at=self._clock() + timedelta(seconds=first.seconds))
            deadline = deciding_deadline(outcome.approval)
            turn = Turn(plan=plan, queue=first.queue, urgency=_urgency(outcome.approval), deadline=deadline)
        return Attempt(
            approval_id=approval_id,
            coming=None if coming is None else coming.at,
            again=bool(outcome.pending),
            longest=_patience(outcome),
            turn=turn,
            deadline=deciding_deadline(outcome.approval),
        )

    def _act(self, entry: Entry) -> Outcome | None:
        """Do what is due; None if another sweeper is at it."""
        approval, now = entry.approval, self._clock()
        coming = self.plan(approval)
        if coming is None or coming.at > now:
            return Outcome(approval=approval)
        is_open = approval.state is State.PENDING
        if coming.act in {Act.POST, Act.GOVERN, Act.SHOW} and is_open and approval.is_due(now):
            # What could not be posted or shown until its deadline must not keep the deadline from deciding.
            coming = Plan(act=Act.EXPIRE, at=now)
        outcome: Outcome | None
        if coming.act is Act.REMIND and self._reminders is not None:
            outcome = self._reminders.remind(entry)
        elif approval.settlement is not None:
            outcome = self._act_on_settled(entry, coming.act)
        elif coming.act is Act.POST:
            outcome = self._cases.post(entry) if self._may_post(approval, now) else None
        elif coming.act is Act.JUDGE:
            outcome = self._cases.judge(entry)
        elif coming.act is Act.GOVERN:
            outcome = self._cases.govern(entry)
        elif coming.act is Act.EXPIRE:
            outcome = self._cases.expire(entry)
        else:
            outcome = self._carry_out(entry, now)
        if outcome is not None and not outcome.pending:
            self._observer.did(coming.act, outcome.approval)
        return outcome

    def _act_on_settled(self, entry: Entry, act: Act) -> Outcome:
        """Do what its messages may still need."""
        posting = self._cases.posting
        if act is Act.POST:
            entry, failed = posting.note_unnoted(entry)
        elif act is Act.LOOK_AGAIN:
            entry, failed = posting.look_again(entry)
        elif act is Act.SHOW:
            failed = posting.show_end(entry.approval)
        else:
            return self._cases.carry_out(entry)
        return Outcome(approval=entry.approval, pending=tuple(failed))

    def _carry_out(self, entry: Entry, now: datetime) -> Outcome | None:
        """Carry out a decision; where the policy does not accept it and nobody was asked, people are told first."""
        if self._cases.is_unreported(entry.approval):
            if not self._may_post(entry.approval, now):
                return None
            reported = self._cases.report(entry)
            if any(not isinstance(problem, errors.NotifierRefused) for problem in reported.pending):
                return reported
            entry = self._cases.ledger.read(entry.approval.id)
        return self._cases.carry_out(entry)

    def _may_post(self, approval: Approval, now: datetime) -> bool:
        # A message that is posted twice can't be taken back: of several sweepers, one posts.
        return self._cases.ledger.claim(approval.id, "post", self._name, now=now, during=CLAIM_FOR)

    def look_for_its_run(self, entry: Entry) -> None:
        approval = entry.approval
        engine = self._cases.engines.get(approval.gate.engine)
        if engine is None or approval.decision is not None or approval.closing is not None:
            return
        try:
            why = engine.gone(approval)
            if why is not None:
                self._cases.close(entry, why)  # what it can't show now comes again through the tail
        except errors.HitlError as error:
            self._observer.failed(approval.id, error)
        except Exception as error:  # noqa: BLE001 - as in work_on
            self._observer.broke(approval.id, error)

    def remove_surplus(self, key: str) -> None:
        try:
            self._cases.posting.withdraw_noted(key)
        except errors.HitlError as error:
            self._observer.failed(bucket.read_surplus_key(key) or key, error)
        except Exception as error:  # noqa: BLE001 - as in work_on
            self._observer.broke(bucket.read_surplus_key(key) or key, error)

    def report_unusable(self, approval_id: str, error: errors.RecordError) -> None:
        if approval_id not in self._unusable:
            self._unusable.add(approval_id)
            self._observer.failed(approval_id, error)


def _urgency(approval: Approval) -> tuple[bool, float]:
    """Rank messages that wait to be changed, by how wrong they are and whether somebody looks; the highest is first.

    What was decided a moment ago somebody looks at, and it still has its buttons.
    """
    ended = approval.decision or approval.closing
    return (True, ended.at.timestamp()) if ended is not None else (False, approval.requested_at.timestamp())


def _patience(outcome: Outcome) -> timedelta:
    """Return the longest pause before another attempt: long where all is done but what an operator keeps from showing.

    A question that can't be asked is tried every minute: people wait for it.
    """
    decided = outcome.approval.decision or outcome.approval.closing
    refused = all(isinstance(problem, errors.NotifierRefused) for problem in outcome.pending)
    return RETRY_REFUSED if decided is not None and refused else RETRY_LAST
