"""The store of every bot that these tests run: in memory, and a test may step into its requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.stores import MemoryStore
from tests.fixtures.watched_stores import WatchedStore


@pytest.fixture
def interventions() -> list[Callable[[str, str], None]]:
    """Functions that the store calls before each request, with its name and key; a test adds what it needs."""
    return []


@pytest.fixture
def store(interventions: list[Callable[[str, str], None]]) -> Store:
    def intervene(request: str, key: str) -> None:
        for intervention in interventions:
            intervention(request, key)

    return WatchedStore(MemoryStore(), intervene)
