"""Asking from an Argo workflow while the store is away."""

from __future__ import annotations

import importlib
import warnings

import pytest

from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.question import Question
from tests.fixtures.approvals import REQUESTER, Bench, gate, pathspec
from tests.fixtures.watched_stores import WatchedStore


@pytest.fixture(scope="module")
def insist():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.argo.asking").insist


@pytest.fixture
def bench():
    return Bench()


def away_for(times: int, bench: Bench) -> Bench:
    """Return the bench as it is with a store that fails the first requests."""
    left = iter(range(times))

    def fail(request: str, key: str) -> None:
        if next(left, None) is not None:
            raise StoreUnavailable(f"{request} did not work")

    return bench.on(WatchedStore(bench.store, before=fail))


def test_a_store_that_comes_back_gets_the_question(insist, bench):
    """It is asked again after growing pauses, and once in the end."""
    pauses = []
    cases = away_for(3, bench).cases
    outcome = insist(lambda: cases.ask(pathspec(), Question(message="Go?"), gate(), REQUESTER), pauses.append)
    assert pauses == [1, 2, 4]
    assert bench.ledger.read(outcome.approval.id).approval == outcome.approval


def test_a_store_that_stays_away_fails_the_pod(insist, bench):
    """After half a minute: Argo starts another pod, and then the run fails."""
    pauses = []
    cases = away_for(1000, bench).cases
    with pytest.raises(StoreUnavailable):
        insist(lambda: cases.ask(pathspec(), Question(message="Go?"), gate(), REQUESTER), pauses.append)
    assert sum(pauses) == 31
    assert list(bench.ledger.open_ids()) == []
