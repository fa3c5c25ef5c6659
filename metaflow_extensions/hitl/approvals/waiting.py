"""Waiting for an answer where nothing else does: a local run, or the machine that launches pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.use_cases import passed

if TYPE_CHECKING:
    from collections.abc import Callable

    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases

_PATIENCE = 3_600  # seconds that a store may be away behind the deadline before the wait gives up


def wait(
    cases: UseCases,
    approval_id: str,
    *,
    poll_interval: float,
    sleep: Callable[[float], object],
    on_trouble: Callable[[StoreUnavailable], object],
) -> Approval:
    """Wait for the answer, or for the deadline, and return the approval if its task may start.

    Looks for the next version's key only: one request a look, whatever the store holds.

    Parameters
    ----------
    cases : UseCases
        Its ledger is watched; its clock tells the deadline.
    approval_id : str
        A whole id.
    poll_interval : float
        Seconds between two looks.
    sleep : Callable[[float], object]
        Called with seconds.
    on_trouble : Callable[[StoreUnavailable], object]
        Told when the store did not answer. The wait goes on: a lost connection is no answer.

    Raises
    ------
    Rejected, Superseded
        The task may not start.
    StoreUnavailable
        The store stayed away for an hour after the deadline.
    """
    entry = cases.ledger.read(approval_id)
    while entry.approval.decision is None and entry.approval.closing is None:
        approval = entry.approval
        now = cases.clock()
        try:
            if approval.is_due(now):
                return passed(cases.expire(entry).approval)
            newer = cases.ledger.read_version(approval_id, entry.number + 1)
        except StoreUnavailable as error:
            if approval.deadline is not None and (now - approval.deadline).total_seconds() > _PATIENCE:
                raise
            on_trouble(error)
            newer = None
        if newer is not None:
            entry = newer
            continue
        pause = poll_interval
        if approval.deadline is not None and not approval.is_due(now):
            pause = max(0.01, min(pause, (approval.deadline - now).total_seconds()))
        sleep(pause)
    return passed(entry.approval)
