"""The tail and the history: markers beside the records."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.bucket import changes_from
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from tests.fixtures.approvals import NOW, after, approval, approving, pathspec
from tests.fixtures.watched_stores import WatchedStore
from tests.unit.approvals.ledger.acts import ID, decide, settle


def test_the_history_of_a_step_is_newest_first(ledger):
    """The last decision is the first of its flow and step; undecided ones and other steps are not there."""
    for n, run in enumerate(["1", "2", "3"]):
        decided = transitions.decide(approval(pathspec(run=run)), approving(at=after(n * 0.000001)))
        ledger.note_ended(decided)
        ledger.note_ended(decided)
    ledger.note_ended(transitions.decide(approval(pathspec(step="train")), approving()))
    ledger.note_ended(approval(pathspec(run="4")))
    newest_first = [pathspec(run=run).approval_id for run in ("3", "2", "1")]
    assert ledger.decided_ids("TrainFlow", "deploy", limit=10) == newest_first
    assert ledger.decided_ids("TrainFlow", "deploy", limit=2) == newest_first[:2]
    assert ledger.decided_ids("TrainFlow", "other", limit=2) == []


def test_the_tail_tells_what_was_written_since(ledger):
    """The tail is in the order of the writers' clocks, includes the moment asked for, and names the version."""
    ledger.begin(approval())
    decide(ledger, approving(at=after(2)))
    settle(ledger, at=after(3))
    assert [change.number for change in ledger.changes(NOW)] == [1, 2, 3]
    assert [change.number for change in ledger.changes(after(2))] == [2, 3]
    assert [change.number for change in ledger.changes(after(2.000001))] == [3]


def test_the_tail_passes_over_what_is_known(ledger):
    """Whoever follows it looks at each marker once."""
    ledger.begin(approval())
    decide(ledger, approving(at=after(2)))
    first, _ = ledger.changes(NOW)
    assert [change.number for change in ledger.changes(NOW, known={first.key})] == [2]


def test_the_tail_passes_over_what_is_no_change(ledger, store):
    """A key that somebody else left among the markers stops nobody who follows the tail."""
    ledger.begin(approval())
    for key in ("20261302T093000000000Z-deploy-1", "20260302T093000000000Z--1", "zzz", f"{'9' * 8}T{'9' * 12}Z-a-1"):
        store.mark(f"changes/{key}")
    store.mark(f"changes/20260302T093000000000Z-{'a' * 100}-1")
    assert [change.approval_id for change in ledger.changes(NOW)] == [ID]


def test_a_claim_is_one_holders_until_its_span_is_over(ledger):
    """The first who claims an act has it for the minute, the others don't; afterwards it is anybody's."""
    minute = timedelta(minutes=1)
    assert ledger.claim(ID, "post", "one", now=NOW, during=minute)
    assert ledger.claim(ID, "post", "one", now=after(29), during=minute)
    assert not ledger.claim(ID, "post", "other", now=after(29), during=minute)
    assert ledger.claim(ID, "remind", "other", now=after(29), during=minute)
    assert ledger.claim(ID, "post", "other", now=after(60), during=minute)


def test_what_is_claimed_at_the_end_of_a_span_is_held_in_the_next(ledger):
    """An act that begins a second before the minute is over meets no other's in the next; and the other way round."""
    minute = timedelta(minutes=1)
    assert ledger.claim(ID, "post", "one", now=after(59), during=minute)
    assert not ledger.claim(ID, "post", "other", now=after(61), during=minute)
    assert ledger.claim(ID, "post", "other", now=after(120), during=minute)
    assert not ledger.claim(ID, "post", "one", now=after(119), during=minute)


def test_a_claim_holds_for_whoever_has_another_clock(ledger):
    """Of two whose clocks differ by half a minute one holds the claim, wherever a span ends in between."""
    minute = timedelta(minutes=1)
    for n, second in enumerate((5, 31, 59)):
        assert ledger.claim(ID, f"act-{n}", "one", now=after(second), during=minute)
        assert not ledger.claim(ID, f"act-{n}", "behind", now=after(second - 30), during=minute)
        assert not ledger.claim(ID, f"act-{n}", "ahead", now=after(second + 30), during=minute)


def test_a_marker_that_the_store_did_not_take_is_written_later(store):
    """A settled record stays on the list of open ones until the tail names it, so that whoever tells of it hears."""
    away = [True]

    def refuse(request: str, key: str) -> None:
        if away[0] and request == "mark" and key.startswith("changes/"):
            raise StoreUnavailable(key)

    ledger = Ledger(WatchedStore(store, refuse))
    ledger.begin(approval())
    decide(ledger, approving(at=after(2)))
    settled = settle(ledger, at=after(3)).approval
    with pytest.raises(StoreUnavailable):
        ledger.finish(settled)
    assert list(ledger.open_ids()) == [ID]
    assert list(ledger.changes(NOW)) == []
    away[0] = False
    ledger.catch_up(after(60))
    assert sorted(change.number for change in ledger.changes(after(60))) == [1, 2, 3]
    assert list(ledger.open_ids()) == []


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=2))
def test_keys_of_the_tail_sort_as_time_does(offsets):
    """Earlier is smaller, so that a listing from a key on is a listing from a moment on."""
    first, second = (NOW + timedelta(milliseconds=offset) for offset in sorted(offsets))
    assert changes_from(first) <= changes_from(second)
