"""Doing what one approval needs, whichever sweeper comes first."""

from __future__ import annotations

from datetime import datetime, timedelta

from metaflow_extensions.hitl.approvals.errors import (
    CorruptRecord,
    HitlError,
    NewerFormat,
    NoSuchApproval,
    NotifierBusy,
    NotifierRefused,
    OtherPathspec,
    RecordError,
)
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.sweeping.agenda import RETRY_LAST, RETRY_REFUSED, Attempt
from metaflow_extensions.hitl.approvals.sweeping.planning import CLAIM_FOR, Act, Plan, deciding_deadline, plan
from metaflow_extensions.hitl.approvals.sweeping.ports import Observer, Reminders
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases


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
            approval, notifiers=cases.notifiers, engines=cases.engines, policy=cases.policy, shown=cases.shown
        )
        at = self._reminders.next_at(approval) if self._reminders is not None else None
        if at is None or (coming is not None and coming.at <= at):
            return coming
        return Plan(act=Act.REMIND, at=at)

    def work_on(self, approval_id: str) -> Attempt:
        try:
            outcome = self._act(self._cases.ledger.read(approval_id))
        except (CorruptRecord, NewerFormat, OtherPathspec, NoSuchApproval) as error:
            self.report_unusable(approval_id, error)
            return Attempt(approval_id=approval_id)
        except HitlError as error:
            self._observer.failed(approval_id, error)
            return Attempt(approval_id=approval_id, again=True)
        except Exception as error:  # noqa: BLE001 - a defect in one must not hold up the deadlines of all the others
            self._observer.broke(approval_id, error)
            return Attempt(approval_id=approval_id, again=True)
        if outcome is None:
            return Attempt(approval_id=approval_id, again=True)
        for problem in outcome.pending:
            self._observer.failed(approval_id, problem)
        coming = None if outcome.approval.settlement is not None else self.plan(outcome.approval)
        busy = [problem.seconds for problem in outcome.pending if isinstance(problem, NotifierBusy)]
        turn: Plan | None = None
        if coming is not None and busy and len(busy) == len(outcome.pending):
            turn = Plan(act=coming.act, at=self._clock() + timedelta(seconds=min(busy)))
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
        if coming.act in {Act.POST, Act.GOVERN, Act.SHOW} and approval.is_due(now):
            # What could not be posted or shown until its deadline must not keep the deadline from deciding.
            coming = Plan(act=Act.EXPIRE, at=now)
        outcome: Outcome | None
        if coming.act is Act.POST:
            outcome = self._post(entry, now)
        elif coming.act is Act.REMIND and self._reminders is not None:
            outcome = self._reminders.remind(entry)
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

    def _post(self, entry: Entry, now: datetime) -> Outcome | None:
        return self._cases.post(entry) if self._may_post(entry.approval, now) else None

    def _carry_out(self, entry: Entry, now: datetime) -> Outcome | None:
        """Carry out a decision; where the policy does not accept it and nobody was asked, people are told first."""
        if self._cases.is_unreported(entry.approval):
            if not self._may_post(entry.approval, now):
                return None
            reported = self._cases.report(entry)
            if any(not isinstance(problem, NotifierRefused) for problem in reported.pending):
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
        except HitlError as error:
            self._observer.failed(approval.id, error)
        except Exception as error:  # noqa: BLE001 - as in work_on
            self._observer.broke(approval.id, error)

    def report_unusable(self, approval_id: str, error: RecordError) -> None:
        if approval_id not in self._unusable:
            self._unusable.add(approval_id)
            self._observer.failed(approval_id, error)


def _patience(outcome: Outcome) -> timedelta:
    """Return the longest pause before another attempt: long where all is done but what an operator keeps from showing.

    A question that can't be asked is tried every minute: people wait for it.
    """
    decided = outcome.approval.decision or outcome.approval.closing
    refused = all(isinstance(problem, NotifierRefused) for problem in outcome.pending)
    return RETRY_REFUSED if decided is not None and refused else RETRY_LAST
