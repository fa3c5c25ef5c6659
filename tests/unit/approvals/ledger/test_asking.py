"""The first version: one question about a task, whoever asks and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from metaflow_extensions.hitl.approvals.errors import OtherPathspec
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.record import TrailEvent
from tests.fixtures.approvals import NOW, after, approval, approving, pathspec
from tests.fixtures.watched_stores import WatchedStore
from tests.unit.approvals.ledger.acts import ID, decide, settle


def test_asking_writes_the_first_version(ledger, store):
    """A new approval is version 1, with nothing before it, and is on the list of open ones and in the tail."""
    entry = ledger.begin(approval())
    assert (entry.number, entry.version.previous, entry.version.event) == (1, None, TrailEvent.REQUESTED)
    assert ledger.read(ID) == entry
    assert list(ledger.open_ids()) == [ID]
    assert [(change.approval_id, change.number, change.at) for change in ledger.changes(NOW)] == [(ID, 1, NOW)]


def test_asking_again_finds_what_is_there(ledger):
    """A retry of the step, with another message and a later clock, finds the first question and its answer."""
    ledger.begin(approval())
    decided = decide(ledger, approving())
    assert ledger.begin(approval(at=after(60), message="Once more?")) == decided
    assert len(ledger.trail(ID)) == 2


def test_of_eight_who_ask_at_once_all_get_one_question(ledger):
    """The notify container and its retries agree on one record."""
    barrier = Barrier(8)

    def ask(n: int) -> Entry:
        asked = approval(message=f"Question {n}")
        barrier.wait()
        return ledger.begin(asked)

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(ask, range(8)))
    assert len({entry.digest for entry in entries}) == 1
    assert len(ledger.verify(ID)) == 1


def test_asking_about_another_task_under_the_same_id_is_refused(ledger, store):
    """If ever two pathspecs shared an id, the second would be refused and not take the first one's answer."""
    ledger.begin(approval())
    with pytest.raises(OtherPathspec, match="about TrainFlow/17/deploy/42, not about TrainFlow/18/deploy/42"):
        ledger.begin(replace(approval(pathspec(run="18")), id=ID))


def test_asking_again_about_a_settled_approval_leaves_it_settled(ledger):
    """What is settled does not come back on the list of open ones."""
    ledger.begin(approval())
    decide(ledger, approving())
    ledger.finish(settle(ledger).approval)
    ledger.begin(approval())
    assert list(ledger.open_ids()) == []


def test_the_open_marker_is_there_before_the_record(store):
    """Whoever dies between the two writes leaves a marker to clean, and no question that nobody would find."""
    written = []
    Ledger(WatchedStore(store, lambda request, key: written.append((request, key)))).begin(approval())
    assert written == [
        ("mark", f"open/{ID}"),
        ("create", f"approvals/{ID}/00001.json"),
        ("mark", f"changes/20260302T093000000000Z-{ID}-1"),
    ]
