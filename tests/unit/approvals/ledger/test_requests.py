"""How many requests the ledger takes."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.errors import AmbiguousId
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import approval, approving, pathspec
from tests.fixtures.watched_stores import CountedStore
from tests.unit.approvals.ledger.acts import ID, decide


def crowd(store: MemoryStore, count: int) -> None:
    """Put other approvals around the one in question."""
    other = Ledger(store)
    for n in range(count):
        other.begin(approval(pathspec(task=str(n), step="deploy" if n % 2 else "a")))


def test_one_approval_costs_the_same_however_many_there_are(store):
    """Reading is one LIST and one GET, deciding adds one PUT for the record, and looking for an answer is one GET."""
    crowd(store, 1_500)
    Ledger(store).begin(approval())
    counted = CountedStore(store)
    ledger = Ledger(counted)

    seen = ledger.read(ID)
    assert counted.requests == {"list": 1, "read": 1}

    counted.requests.clear()
    assert ledger.read_version(ID, seen.number + 1) is None
    assert counted.requests == {"read": 1}

    counted.requests.clear()
    decide(ledger, approving(), seen=seen)
    assert counted.requests == {"create": 1, "mark": 1}

    counted.requests.clear()
    assert ledger.read_version(ID, seen.number + 1) is not None
    assert counted.requests == {"read": 1}

    counted.requests.clear()
    assert ledger.resolve(ID) == ID
    assert counted.requests == {"list": 1}


def test_asking_costs_three_requests(store):
    """A mark, the record, and a mark."""
    crowd(store, 100)
    counted = CountedStore(store)
    Ledger(counted).begin(approval())
    assert counted.requests == {"create": 1, "mark": 2}


def test_listing_costs_a_request_for_each_thousand_and_one_for_each_approval_read(store):
    """2,500 open approvals are three LISTs; ten of them are read with a LIST and a GET each."""
    for n in range(2_500):
        store.mark(f"open/step-{n:010d}")
    counted = CountedStore(store)
    ledger = Ledger(counted)
    assert len(list(ledger.open_ids())) == 2_500
    assert counted.requests == {"list": 3}

    ids = [ledger.begin(approval(pathspec(task=str(n)))).approval.id for n in range(10)]
    counted.requests.clear()
    assert len(list(ledger.read_many(ids))) == 10
    assert counted.requests == {"list": 10, "read": 10}


def test_a_beginning_costs_two_requests_more_than_what_it_finds(store):
    """Resolving never reads through all versions: each approval that is found costs one LIST, at most five do."""
    crowd(store, 300)
    counted = CountedStore(store)
    with pytest.raises(AmbiguousId):
        Ledger(counted).resolve("deploy")
    assert counted.requests == {"list": 6}
