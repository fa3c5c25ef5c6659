"""A ledger in memory."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ledger(store: MemoryStore) -> Ledger:
    return Ledger(store)
