"""Removing what only grows: the tail's old markers, and what was needed to carry out what is long settled."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, takewhile

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import NoSuchApproval, RecordError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Approval

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
    named = map(bucket.read_change_key, takewhile(lambda key: key < end, ledger.store.list(bucket.CHANGES.root)))
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
    except NoSuchApproval:
        approval = None  # its records were removed
    except RecordError:
        return set()
    if approval is not None and not _is_over(approval, before):
        return set()
    for prefix in (bucket.CLAIMS, bucket.SAID, bucket.WAITING):
        _remove(ledger, prefix.folder(approval_id))
    return {post.batch for post in approval.posts if post.batch} if approval is not None else set()


def _clean_batch(ledger: Ledger, batch_id: str, before: datetime) -> None:
    named = map(bucket.read_batch_member_key, ledger.store.list(bucket.batch_members_folder(batch_id)))
    for found in ledger.read_many(one[1] for one in named if one is not None):
        if isinstance(found, NoSuchApproval):
            continue
        if isinstance(found, RecordError) or not _is_over(found.approval, before):
            return
    _remove(ledger, bucket.claims_folder(batch_id))
    _remove(ledger, bucket.batch_folder(batch_id))


def _is_over(approval: Approval, before: datetime) -> bool:
    return approval.settlement is not None and approval.settlement.at < before


def _remove(ledger: Ledger, folder: str) -> None:
    for key in list(ledger.store.list(folder)):
        ledger.store.unmark(key)
