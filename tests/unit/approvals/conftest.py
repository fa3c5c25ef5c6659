"""Use cases over parts in memory."""

from __future__ import annotations

import pytest

from tests.fixtures.approvals import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
