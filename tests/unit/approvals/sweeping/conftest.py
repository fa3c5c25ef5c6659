"""A sweeper over parts in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from tests.unit.approvals.sweeping.witness import Witness

if TYPE_CHECKING:
    from tests.fixtures.approvals import Bench


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def sweeper(bench: Bench, witness: Witness) -> Sweeper:
    return Sweeper(bench.cases, witness, name="first")
