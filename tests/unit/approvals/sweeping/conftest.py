"""A sweeper over parts in memory."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from tests.fixtures.approvals import Bench
from tests.unit.approvals.sweeping.observer import Observer


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def sweeper(bench: Bench, observer: Observer) -> Sweeper:
    return Sweeper(bench.cases, observer, name="first")
