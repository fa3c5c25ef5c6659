"""Finding approvals by what people give, and reading many."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.errors import AmbiguousId, CorruptRecord, NoSuchApproval, StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.record import BadId, TrailEvent
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import NOW, approval, pathspec
from tests.fixtures.watched_stores import WatchedStore, unavailable
from tests.unit.approvals.ledger.acts import ID


def ask_many(ledger: Ledger, *ids_begin: str) -> list[str]:
    return [ledger.begin(approval(pathspec(step=step))).approval.id for step in ids_begin]


def test_an_approval_is_found_by_its_id_a_beginning_or_its_pathspec(ledger):
    """A person may give whichever is at hand; space around it does not matter."""
    deploy, train = ask_many(ledger, "deploy", "train")
    assert ledger.resolve(deploy) == deploy
    assert ledger.resolve(f" {train}\n") == train
    assert ledger.resolve("d") == deploy
    assert ledger.resolve("train-") == train
    assert ledger.resolve("TrainFlow/17/train/42") == train


def test_a_beginning_of_several_names_them(ledger):
    """Who gives too little is shown what there is, up to five, and told to give more."""
    ids = sorted(ask_many(ledger, *(f"deploy_{n}" for n in range(7)), "train"))
    with pytest.raises(AmbiguousId) as refusal:
        ledger.resolve("deploy")
    assert [each for each in ids if each in str(refusal.value)] == ids[:5]
    assert "Enter more of the ID" in str(refusal.value)


def test_a_whole_id_means_itself(ledger):
    """An approval can be named although six others begin with its whole id."""
    short = ask_many(ledger, "deploy")[0]
    others = ask_many(ledger, *(f"{short.replace('-', '_')}_{n}" for n in range(6)))
    assert all(other.startswith(short) for other in others)
    assert ledger.resolve(short) == short


def test_an_unknown_id_says_where_it_was_looked_for(ledger):
    """Nothing begins like this: the message names the store and the way to a list."""
    ask_many(ledger, "deploy")
    with pytest.raises(NoSuchApproval, match=r"No approval deploy-x was found in memory\. `hitl list --all`"):
        ledger.resolve("deploy-x")
    with pytest.raises(NoSuchApproval):
        ledger.read("deploy-x")
    with pytest.raises(NoSuchApproval):
        ledger.verify("deploy-x")
    with pytest.raises(NoSuchApproval):
        ledger.update("deploy-x", TrailEvent.DECIDED, NOW, lambda newest: newest)


@pytest.mark.parametrize(
    "text", ["", "../", "../../open", "deploy/../x", "Deploy", "deploy\0", "deploy\nx", "-", "a/b/c"]
)
def test_what_can_be_no_id_touches_no_store(text):
    """A path, a control character or an empty text is refused before a key is made of it."""
    ledger = Ledger(WatchedStore(MemoryStore(), unavailable))
    with pytest.raises(BadId):
        ledger.resolve(text)
    if "/" not in text:
        with pytest.raises(BadId):
            ledger.read(text)


def test_only_open_approvals_are_listed(ledger):
    """What is settled is off the list, and what stands there without being an id is passed over."""
    ids = ask_many(ledger, "deploy", "train")
    ledger.finish(ledger.read(ids[0]).approval)
    ledger.store.mark("open/Not an id")
    assert list(ledger.open_ids()) == [ids[1]]


def test_many_are_read_in_order_and_a_bad_one_is_its_own_error(ledger, store):
    """One record that can't be read does not hide the others."""
    ids = ask_many(ledger, *(f"step_{n}" for n in range(40)))
    bad = ids[7]
    store.create(f"approvals/{bad}/00002.json", b"{}")
    read = list(ledger.read_many([*ids, "not-there"]))
    assert [entry.approval.id for entry in read if isinstance(entry, Entry)] == [each for each in ids if each != bad]
    assert isinstance(read[7], CorruptRecord)
    assert isinstance(read[-1], NoSuchApproval)


def test_a_store_that_is_away_is_no_bad_record(ledger, store):
    """Reading many fails as a whole when the store does not answer, and says so."""
    with pytest.raises(StoreUnavailable):
        list(Ledger(WatchedStore(store, unavailable)).read_many([ID]))
