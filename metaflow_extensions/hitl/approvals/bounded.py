"""Maps that keep what is newest, within bounds of number and age."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from datetime import datetime, timedelta
from itertools import count
from threading import Lock
from typing import Generic, TypeVar

from .ports import Clock

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")
_STRIPES = 32  # locks; two keys that share one wait for each other, which costs time and no more
_moments = count(1)


def _at_once() -> None:
    """Wait for nothing."""


def this_moment() -> int:
    """Return a number that is greater than that of every earlier moment, whatever the clocks say."""
    return next(_moments)


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

    def __contains__(self, key: object) -> bool:
        return key in self._items

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
        self._fetching = tuple(Lock() for _ in range(_STRIPES))
        self._held: BoundedMap[Hashable, tuple[int, datetime, _Value]] = BoundedMap(size)

    def get(
        self, key: Hashable, fetch: Callable[[], _Value], *, since: int = 0, turn: Callable[[], None] = _at_once
    ) -> _Value:
        """Return what is held, or fetch it. A failure is raised and not held.

        Parameters
        ----------
        since : int
            A moment (``this_moment``): only an answer that was asked for after it will do. Of several threads that need
            one at the same time, one asks and the others take its answer, if it asked late enough for them.
        turn : Callable[[], None]
            Waits until it may be asked. Who comes while another waits takes that one's answer.
        """
        found = self._find(key, since)
        if found is not None:
            return found[2]
        if not since:
            return self._fetch(key, fetch)
        with self._fetching[hash(key) % _STRIPES]:
            found = self._find(key, since)
            if found is not None:
                return found[2]
            turn()
            return self._fetch(key, fetch)

    def _find(self, key: Hashable, since: int) -> tuple[int, datetime, _Value] | None:
        now = self._clock()
        with self._lock:
            held = self._held.get(key)
        # A clock that was set back must not make an answer live for longer.
        fits = held is not None and held[0] > since and timedelta() <= now - held[1] < self._keep
        return held if fits else None

    def _fetch(self, key: Hashable, fetch: Callable[[], _Value]) -> _Value:
        moment, now = this_moment(), self._clock()
        value = fetch()
        with self._lock:
            self._held[key] = (moment, now, value)
        return value
