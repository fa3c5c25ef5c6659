"""A copy of a bucket that somebody took, to be read as the bucket itself."""

from __future__ import annotations

from collections.abc import Iterator

from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ports import Store


class CopiedStore:
    """Reads a copy; writes nothing.

    Parameters
    ----------
    copy : Store
        Where the copy is.
    url : str
        The URL of what was copied: a signature names it, and counts for no other place.
    """

    def __init__(self, copy: Store, url: str) -> None:
        self._copy = copy
        self.url = url
        self.poll_interval = copy.poll_interval

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing."""
        return self._copy.read(key)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys in order."""
        return self._copy.list(prefix, after=after, limit=limit)

    def create(self, key: str, body: bytes) -> None:  # noqa: ARG002 - the port's
        """Refuse."""
        self._refuse(key)

    def mark(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def unmark(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def check(self) -> None:
        """Refuse: it would write."""
        self._refuse("")

    def _refuse(self, key: str) -> None:
        raise StoreUnavailable(f"{self._copy.url} is a copy of {self.url}, so {key or 'nothing'} is not written there.")
