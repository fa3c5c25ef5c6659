"""The tail of changes: which markers are new to this process, and which name what is not written yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.bucket import Change
from metaflow_extensions.hitl.approvals.ledger import Ledger

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
        self._handled: OrderedDict[str, None] = OrderedDict()
        self._unwritten: OrderedDict[str, tuple[datetime, timedelta]] = OrderedDict()  # when to look again
        self._newest: datetime | None = None

    def begin(self, now: datetime) -> None:
        """Follow what is written from now on, unless it is followed already."""
        self._newest = self._newest or now

    def fresh(self, now: datetime) -> list[list[Change]]:
        """Return the markers that were not handled, by approval: a LIST for each 1,000 of the last minutes."""
        since = min(self._newest or now, now) - LOOK_BACK
        fresh: dict[str, list[Change]] = {}
        for change in self._ledger.changes(since, known=self._handled):
            if change.at > now + _LOOK_AHEAD:
                break
            if self._is_time(change.key, now):
                fresh.setdefault(change.approval_id, []).append(change)
        before = bucket.changes_from(since)
        while self._handled and (len(self._handled) > _REMEMBERED or next(iter(self._handled)) < before):
            self._handled.popitem(last=False)
        return list(fresh.values())

    def handle(self, changes: Iterable[Change], now: datetime) -> None:
        """Note that what these name was read: only now, so that a store that fails half-way leaves nothing out."""
        for change in changes:
            self._handled[change.key] = None
            self._unwritten.pop(change.key, None)
            self._newest = min(max(self._newest or now, change.at), now)

    def postpone(self, changes: Iterable[Change], now: datetime) -> None:
        """Look again later for what these name: it is about to be written, or its writer died before.

        With pauses that double, until the markers are too old to be looked at.
        """
        for change in changes:
            _, pause = self._unwritten.get(change.key, (now, _FIRST_PAUSE))
            self._unwritten[change.key] = (now + pause, pause * 2)
        while len(self._unwritten) > _UNWRITTEN:
            self._handled[self._unwritten.popitem(last=False)[0]] = None

    def _is_time(self, key: str, now: datetime) -> bool:
        waits = self._unwritten.get(key)
        return waits is None or waits[0] <= now
