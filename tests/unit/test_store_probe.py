"""Stores that break their promise do not pass the check that all of them share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import pytest

from metaflow_extensions.hitl.approvals.errors import KeyMissing, KeyTaken, StoreUnfit
from metaflow_extensions.hitl.stores import MemoryStore


class LastWins(MemoryStore):
    def create(self, key: str, body: bytes) -> None:
        self.unmark(key)
        super().create(key, body)


class SaysTakenAndOverwrites(MemoryStore):
    def create(self, key: str, body: bytes) -> None:
        try:
            super().create(key, body)
        except KeyTaken:
            self._bodies[key] = body
            raise


class ReadsLate(MemoryStore):
    def read(self, key: str) -> bytes:
        raise KeyMissing(key)


class ListsLate(MemoryStore):
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        return islice(super().list(prefix, after=after, limit=limit), 0)


class RefusesSilently(MemoryStore):
    def create(self, key: str, body: bytes) -> None:
        with suppress(KeyTaken):
            super().create(key, body)


@pytest.mark.parametrize("kind", [LastWins, SaysTakenAndOverwrites, ReadsLate, ListsLate, RefusesSilently])
def test_an_unfit_store_is_found_out(kind: type[MemoryStore]) -> None:
    """The check refuses the store, names it, says where to go, and leaves no probe."""
    store = kind()
    with pytest.raises(StoreUnfit, match=r"The store memory .*METAFLOW_HITL_ROOT"):
        store.check()
    assert store._bodies == {}
