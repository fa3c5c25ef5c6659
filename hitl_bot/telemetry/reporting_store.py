"""A store whose failures are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metaflow_extensions.hitl.approvals.errors import BadKey, KeyMissing, KeyTaken, StoreError
from metaflow_extensions.hitl.approvals.ports import Store

_ANSWERS = (KeyMissing, KeyTaken, BadKey)  # these say how things are, not that the store is ill


class ReportingStore:
    """Reports every failure of a store, and still raises it.

    Parameters
    ----------
    store : Store
        What keeps the keys.
    failed : Callable[[str, str], None]
        Called with the request (``create``, ``read``, …) and the kind: S3's error code, or what was raised.
    """

    def __init__(self, store: Store, failed: Callable[[str, str], None]) -> None:
        self._store = store
        self._failed = failed

    @property
    def url(self) -> str:
        """Where it is."""
        return self._store.url

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks for a key that is not there yet."""
        return self._store.poll_interval

    def create(self, key: str, body: bytes) -> None:
        """Write a new key."""
        with self._reporting("create"):
            self._store.create(key, body)

    def read(self, key: str) -> bytes:
        """Return the body."""
        with self._reporting("read"):
            return self._store.read(key)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys; a failure may come with any of them."""
        with self._reporting("list"):
            yield from self._store.list(prefix, after=after, limit=limit)

    def mark(self, key: str) -> None:
        """Write a marker."""
        with self._reporting("mark"):
            self._store.mark(key)

    def unmark(self, key: str) -> None:
        """Remove a marker."""
        with self._reporting("unmark"):
            self._store.unmark(key)

    def check(self) -> None:
        """Prove that a key can be created once."""
        with self._reporting("check"):
            self._store.check()

    @contextmanager
    def _reporting(self, request: str) -> Iterator[None]:
        try:
            yield
        except _ANSWERS:
            raise
        except StoreError as error:
            self._failed(request, _kind(error))
            raise


def _kind(error: StoreError) -> str:
    """Return S3's code (SlowDown, AccessDenied), botocore's own name for it (EndpointConnectionError), or ours."""
    cause = error.__cause__
    if cause is None:
        return type(error).__name__
    response = getattr(cause, "response", None)  # of botocore's ClientError, which takes a second to import
    code = (response.get("Error") or {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(cause).__name__)
