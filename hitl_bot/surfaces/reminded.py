"""When those who share a message were reminded last, so that many gates ring people once a period and not once each.

A marker for each reply below the message that reminds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, ReminderKind

GATHER_FOR = timedelta(seconds=3)  # the gates of a foreach come due within moments
_APART = timedelta(minutes=30)  # an escalation, or a last call, of gates that were not asked together


class RemindedTogether:
    """Keeps what was said in the threads of batches."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def last(self, batch_id: str) -> dict[str, datetime]:
        """Return when the newest reminder of each kind came."""
        found: dict[str, datetime] = {}
        for key in self._store.list(bucket.batch_reminded_folder(batch_id)):
            reminded = bucket.read_batch_reminded_key(key)
            if reminded is not None:
                at, kind = reminded
                found[kind] = at
        return found

    def note(self, batch_id: str, kinds: Iterable[ReminderKind], now: datetime) -> None:
        """Note that a reply reminds."""
        for kind in kinds:
            self._store.mark(bucket.batch_reminded_key(batch_id, now, _name(kind)))


def is_covered(approval: Approval, kind: ReminderKind, last: dict[str, datetime], now: datetime) -> bool:
    """Whether the reminder of another gate has done for this one. What somebody asks for by hand is said always."""
    reminder, before = approval.reminded(kind), last.get(_name(kind))
    if before is None or reminder is None or reminder.by is not None:
        return False
    every = approval.question.remind_every
    return now - before < (timedelta(seconds=every) / 2 if every else _APART)


def _name(kind: ReminderKind) -> str:
    return kind.name.lower().replace("_", "")
