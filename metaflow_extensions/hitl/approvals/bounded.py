"""Maps that keep what is newest, within bounds of number and age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from metaflow_extensions.hitl.approvals.ports import Clock

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


def _nothing(_: Hashable) -> None:
    """Do nothing about a key that has gone."""


class BoundedMap(MutableMapping[_Key, _Value]):
    """A map of at most so many keys, oldest first. To set a key makes it the newest; ``popitem`` takes the oldest.

    It has no lock of its own: whoever shares one between threads holds theirs.

    Parameters
    ----------
    size : int
        How many keys are kept. One more, and the oldest goes.
    dropped : Callable[[Hashable], None]
        Called with the key that went.
    """

    def __init__(self, size: int, *, dropped: Callable[[_Key], None] = _nothing) -> None:
        self._size = size
        self._dropped = dropped
        self._items: OrderedDict[_Key, _Value] = OrderedDict()

    def __getitem__(self, key: _Key) -> _Value:
        return self._items[key]

    def __setitem__(self, key: _Key, value: _Value) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._size:
            self._dropped(self._items.popitem(last=False)[0])

    def __delitem__(self, key: _Key) -> None:
        del self._items[key]

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def touch(self, key: _Key) -> None:
        """Make a key the newest; KeyError if it is not there."""
        self._items.move_to_end(key)


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
        self._lock = Lock()
        self._held: BoundedMap[Hashable, tuple[datetime, _Value]] = BoundedMap(size)

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
        return value
