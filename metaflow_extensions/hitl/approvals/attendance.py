"""Whether anybody waits for an answer: who does leaves a heartbeat beside the record.

Only a local run waits in a process, which may die without a word. What waits on Argo is looked up in the cluster.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from . import bucket, bucket_map
from .errors import StoreUnavailable
from .ports import Clock, Store

OFTEN, SELDOM = 30, 60  # seconds between two heartbeats: a PUT and a DELETE each
_OFTEN_FOR = 600.0  # seconds
_LATE = 20.0  # seconds that one may be late beyond the next: a store that was slow, a machine that was busy


class Heartbeat:
    """Says from time to time that somebody waits. The wait goes on while the store is away.

    Parameters
    ----------
    store : Store
        Where the record is.
    approval_id : str
        What is waited for.
    clock : Clock
        The present.
    monotonic : Callable[[], float]
        Seconds from any moment.
    """

    def __init__(self, store: Store, approval_id: str, *, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._id = approval_id
        self._clock = clock
        self._seconds = monotonic
        self._began = self._due = monotonic()
        self._key: str | None = None

    def beat(self) -> None:
        """Say so, if it is time."""
        now = self._seconds()
        if now < self._due:
            return
        pause = OFTEN if now - self._began < _OFTEN_FOR else SELDOM
        self._due = now + pause
        key, before = bucket.heartbeat_key(self._id, self._clock(), pause), self._key
        with suppress(StoreUnavailable):
            self._store.mark(key)
            self._key = key
            if before is not None and before != key:
                self._store.unmark(before)

    def close(self) -> None:
        """Say nothing more, because the wait is over."""
        if self._key is not None:
            with suppress(StoreUnavailable):
                self._store.unmark(self._key)
            self._key = None


def last_seen(store: Store, approval_id: str | None = None) -> dict[str, tuple[bool, float]]:
    """Say of what is waited for, or was, whether somebody still does, and how many seconds ago they said so.

    Parameters
    ----------
    approval_id : str, optional
        Of this one alone. Default: of everything. One LIST for each 1,000 heartbeats.

    Returns
    -------
    dict
        By id. What is missing has never been waited for, or was to the end.
    """
    folder = bucket_map.WAITING.root if approval_id is None else bucket.heartbeats_folder(approval_id)
    seen: dict[str, tuple[bool, float]] = {}
    for key, age in store.ages(folder):
        beat = bucket.read_heartbeat_key(key)
        if beat is None:
            continue
        waits = age <= 2 * min(beat[1], SELDOM) + _LATE
        before = seen.get(beat[0])
        if before is None or age <= before[1]:
            seen[beat[0]] = (waits, age)
    return seen


def nobody_since(store: Store, approval_id: str, now: datetime) -> datetime | None:
    """Return since when nobody has been waiting for an answer; None: somebody is, or it isn't known."""
    waits, age = last_seen(store, approval_id).get(approval_id, (True, 0.0))
    return None if waits else now - timedelta(seconds=age)
