"""What was asked lately, within bounds of age and number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from metaflow_extensions.hitl.approvals.ports import Clock

_Value = TypeVar("_Value")


class BoundedCache(Generic[_Value]):
    """Remembers what was fetched, for a time, and the newest of it only. Threads may share it.

    Parameters
    ----------
    clock : Clock
        The present.
    keep : timedelta
        How old an answer may be.
    size : int
        How many are kept; the one fetched longest ago goes first.
    """

    def __init__(self, clock: Clock, *, keep: timedelta, size: int) -> None:
        self._clock = clock
        self._keep = keep
        self._size = size
        self._lock = Lock()
        self._held: OrderedDict[Hashable, tuple[datetime, _Value]] = OrderedDict()

    def get(self, key: Hashable, fetch: Callable[[], _Value]) -> _Value:
        """Return what is held, or fetch it. A failure is raised and not held; two threads may both fetch."""
        now = self._clock()
        with self._lock:
            held = self._held.get(key)
        # A clock that was set back must not make an answer live for longer.
        if held is not None and timedelta() <= now - held[0] < self._keep:
            return held[1]
        value = fetch()
        with self._lock:
            self._held[key] = (now, value)
            self._held.move_to_end(key)
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        return value
