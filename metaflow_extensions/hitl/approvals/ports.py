"""What the domain asks of the world. The docstrings are promises; one contract suite a port holds every adapter to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Store(Protocol):
    """Bodies by key. A key is written once and never overwritten; only markers are ever removed."""

    @property
    def url(self) -> str:
        """Where it is, in words for people: ``s3://bucket/prefix`` or a path."""
        ...

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks for a key that is not there yet."""
        ...

    def create(self, key: str, body: bytes) -> None:
        """Write a new key. Of many writers one succeeds; the others get KeyTaken."""
        ...

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing."""
        ...

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield the keys that begin with a prefix, in the order of their code points, lazily.

        Parameters
        ----------
        prefix : str
            What the keys begin with; not a folder: ``open/a`` finds ``open/abc``.
        after : str
            Only keys that come after this whole key.
        limit : int, optional
            At most so many keys. A request brings up to 1,000.
        """
        ...

    def mark(self, key: str) -> None:
        """Write an empty marker. Writing it again is fine."""
        ...

    def unmark(self, key: str) -> None:
        """Remove a marker. One that is missing is fine."""
        ...

    def check(self) -> None:
        """Prove that a key can be created once and no more; raise StoreUnfit or StoreUnavailable."""
        ...
