"""A store in this process's memory: for tests and simulations, which end with the process."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from itertools import islice
from threading import Lock
from time import monotonic

from metaflow_extensions.hitl.approvals.errors import KeyMissing, KeyTaken

from . import keys
from .keys import prove

_PAGE = 1000


class MemoryStore:
    """Bodies by key, in a dictionary. Threads may share it.

    Parameters
    ----------
    seconds : Callable[[], float]
        Its own clock, in seconds from any moment.
    """

    url = "memory"
    poll_interval = 0.01

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._bodies: dict[str, bytes] = {}
        self._written: dict[str, float] = {}
        self._sorted: list[str] = []  # the same keys, so that a listing costs what it yields and not what there is

    def create(self, key: str, body: bytes) -> None:
        """Write a new key, or raise KeyTaken."""
        keys.checked(key)
        with self._lock:
            if key in self._bodies:
                raise KeyTaken(f"{key} already exists. Nothing was changed.")
            self._bodies[key] = bytes(body)
            self._written[key] = self._seconds()
            insort(self._sorted, key)

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing."""
        keys.checked(key)
        with self._lock:
            try:
                return self._bodies[key]
            except KeyError:
                raise KeyMissing(f"Nothing has been written at {key}.") from None

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys in order, a page at a time: what is written meanwhile, further on, is seen."""
        return islice(self._after(keys.checked_prefix(prefix), after), limit)

    def _after(self, prefix: str, after: str) -> Iterator[str]:
        while True:
            with self._lock:
                start = max(bisect_left(self._sorted, prefix), bisect_right(self._sorted, after))
                page = self._sorted[start : start + _PAGE]
            for key in page:
                if not key.startswith(prefix):
                    return
                yield key
            if not page:
                return
            after = page[-1]

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Yield keys with the seconds since they were written."""
        now = self._seconds()
        for key in self.list(prefix):
            yield key, now - self._written.get(key, now)

    def mark(self, key: str) -> None:
        """Write an empty marker, unless the key is there."""
        keys.checked(key)
        with self._lock:
            if key not in self._bodies:
                self._bodies[key] = b""
                self._written[key] = self._seconds()
                insort(self._sorted, key)

    def unmark(self, key: str) -> None:
        """Remove a marker, if it is there."""
        keys.checked(key)
        with self._lock:
            if self._bodies.pop(key, None) is not None:
                del self._sorted[bisect_left(self._sorted, key)]

    def check(self) -> None:
        """Prove that a key can be created once."""
        prove(self, "memory")
