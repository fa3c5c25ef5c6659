"""A sweeper over parts in memory."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from tests.fixtures.approvals import Bench
from tests.unit.approvals.sweeping.witness import Witness


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def sweeper(bench: Bench, witness: Witness) -> Sweeper:
    return Sweeper(bench.cases, witness, name="first")
