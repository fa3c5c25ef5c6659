"""Waiting where only a bot writes records: for its word about the question that was proposed here, and no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.proposing import check_same_question
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval, State
from metaflow_extensions.hitl.approvals.refusals import NotTakenOver
from metaflow_extensions.hitl.approvals.use_cases import UseCases, passed

# After a deadline, the time in which the bot may still say what follows.
TO_APPROVE = timedelta(seconds=10)  # where the signed question says that the deadline approves
TO_REJECT = timedelta(minutes=10)
UNHEARD_AFTER = timedelta(seconds=15)  # the person at the terminal hears that no bot has come


def wait_for_bot(
    cases: UseCases,
    asked: Approval,
    *,
    poll_interval: float,
    sleep: Callable[[float], object],
    on_trouble: Callable[[StoreUnavailable], object],
    on_posted: Callable[[Approval], object],
    on_unheard: Callable[[Approval], object],
) -> Approval:
    """Wait for an answer that a bot signed, and return the approval if its task may start. One request a look.

    Parameters
    ----------
    cases : UseCases
        Its ledger is watched and holds each version to the keys that are trusted here; its clock tells the deadline.
    asked : Approval
        What was proposed, or the record that was found.
    poll_interval : float
        Seconds between two looks.
    sleep : Callable[[float], object]
        Called with seconds.
    on_trouble : Callable[[StoreUnavailable], object]
        Told when the store did not answer. The wait goes on.
    on_posted : Callable[[Approval], object]
        Told of the question where it is posted; the same may be told again.
    on_unheard : Callable[[Approval], object]
        Told once, after 15 seconds in which no bot took over the question.

    Raises
    ------
    Rejected, Closed, NotTakenOver, NotDecidedByTheBot, RecordError
        The task may not start.
    """
    entry: Entry | None = None
    heard = False
    while True:
        now = cases.clock()
        newer: Entry | None = None
        try:
            newer = cases.ledger.read_version(asked.id, 1 if entry is None else entry.number + 1)
        except StoreUnavailable as error:
            on_trouble(error)
        if newer is not None:
            # Each version by itself: what is signed and asks something else is as good as nothing.
            check_same_question(asked, newer.approval)
            entry = newer
            if entry.approval.posts:
                on_posted(entry.approval)
            if entry.approval.state is not State.PENDING:
                return passed(entry.approval)
            continue
        if entry is not None:
            if _is_silent(entry.approval, now):
                return transitions.without_the_bot(entry.approval, now)
        else:
            if not heard and now - asked.requested_at >= UNHEARD_AFTER:
                heard = True
                on_unheard(asked)
            if asked.is_due(now - TO_REJECT):
                raise NotTakenOver(asked)
        sleep(poll_interval)


def _is_silent(approval: Approval, now: datetime) -> bool:
    """Whether the bot would have said by now what follows from the deadline."""
    approves = approval.question.on_timeout is OnTimeout.APPROVE and approval.rule.timeout_approves
    return approval.is_due(now - (TO_APPROVE if approves else TO_REJECT))
