"""The trail proves itself: what was changed is found."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, HitlError, OtherPathspec, RecordError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import TrailEvent
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import BOB, NOW, after, approval, approving, pathspec, rejecting
from tests.unit.approvals.ledger.acts import ID, decide, post, settle


@pytest.fixture
def whole(ledger: Ledger) -> Ledger:
    ledger.begin(approval())
    post(ledger)
    decide(ledger, approving())
    settle(ledger)
    return ledger


def bodies(ledger: Ledger) -> list[bytes]:
    return [ledger.store.read(key) for key in ledger.store.list(f"approvals/{ID}/")]


def of(versions: list[bytes], *, first: int = 1) -> Ledger:
    """Return a ledger that holds these bodies as its versions."""
    store = MemoryStore()
    for number, body in enumerate(versions, start=first):
        store.create(f"approvals/{ID}/{number:05d}.json", body)
    return Ledger(store)


def test_a_whole_trail_is_proved(whole):
    """Each version holds the hash of the one before it, and what they add is told in order."""
    trail = whole.verify(ID)
    assert [entry.version.event for entry in trail] == [
        TrailEvent.REQUESTED,
        TrailEvent.POSTED,
        TrailEvent.DECIDED,
        TrailEvent.SETTLED,
    ]
    assert [entry.version.previous for entry in trail] == [None, *(entry.digest for entry in trail[:-1])]


@pytest.mark.parametrize("version", range(4))
def test_a_flipped_byte_in_any_version_is_found(whole, version):
    """Wherever a byte is changed, the trail is not whole, and the record is named."""
    body = bodies(whole)[version]
    for place in range(len(body)):
        changed = bodies(whole)
        changed[version] = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(RecordError, match=ID):
            of(changed).verify(ID)


@pytest.mark.parametrize("version", range(3))
def test_a_missing_version_is_found(whole, version):
    """A version that was removed leaves a gap."""
    store = MemoryStore()
    for number, body in enumerate(bodies(whole)):
        if number != version:
            store.create(f"approvals/{ID}/{number + 1:05d}.json", body)
    with pytest.raises(CorruptRecord, match=f"version {version + 1} is missing before it"):
        Ledger(store).verify(ID)


def test_closing_the_gap_of_a_missing_version_is_found(whole):
    """Versions that were moved up do not carry their own number any more."""
    first, _, *others = bodies(whole)
    with pytest.raises(CorruptRecord, match="says that it is version 3"):
        of([first, *others]).verify(ID)


@pytest.mark.parametrize("version", range(3))
def test_a_replaced_version_is_found(whole, version):
    """A version that was written anew, well formed and with another time, has another hash than the next one says."""
    forged = whole.trail(ID)[version].version
    versions = bodies(whole)
    versions[version] = encode(replace(forged, at=after(1)))
    with pytest.raises(CorruptRecord, match=f"hash in it is not that of version {version + 1}"):
        of(versions).verify(ID)


def test_swapped_versions_are_found(whole):
    """Two versions in each other's place do not carry their numbers."""
    first, second, third, fourth = bodies(whole)
    with pytest.raises(CorruptRecord, match="says that it is version 3"):
        of([first, third, second, fourth]).verify(ID)


FORGERIES = {
    "another verdict": lambda decided: replace(decided, decision=rejecting()),
    "another approver": lambda decided: replace(decided, decision=replace(decided.decision, by=BOB)),
    "no verdict": lambda decided: replace(decided, decision=None),
    "another question": lambda decided: replace(decided, question=replace(decided.question, message="Delete it?")),
    "another deadline": lambda decided: replace(decided, deadline=after(1)),
    "another requester": lambda decided: replace(decided, requester=BOB),
    "another problem": lambda decided: transitions.settle(
        replace(decided, settlement=None), NOW, "The workflow is gone."
    ),
    "no settlement": lambda decided: replace(decided, settlement=None),
    "a lost message": lambda decided: replace(decided, posts=()),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=list(FORGERIES))
def test_a_later_version_that_changes_what_was_settled_is_found(whole, forge):
    """With every hash right, a version that rewrites the question, the decision or a message is still refused."""
    last = whole.read(ID)
    forged = Version(number=5, previous=last.digest, event=TrailEvent.SETTLED, at=NOW, approval=forge(last.approval))
    with pytest.raises(CorruptRecord, match=r"00005\.json.*changes what an earlier version had settled"):
        of([*bodies(whole), encode(forged)]).verify(ID)


def test_an_answer_to_a_closed_question_is_found(ledger):
    """With every hash right, a version that forgets a closing, to answer after all, is refused."""
    ledger.begin(approval())
    closed = ledger.update(ID, TrailEvent.CLOSED, NOW, partial(transitions.close, reason="gone", now=NOW))
    answered = transitions.decide(approval(), approving())
    forged = Version(number=3, previous=closed.digest, event=TrailEvent.DECIDED, at=NOW, approval=answered)
    ledger.store.create(f"approvals/{ID}/00003.json", encode(forged))
    with pytest.raises(CorruptRecord, match="changes what an earlier version had settled"):
        ledger.verify(ID)


def test_a_question_that_begins_decided_is_found(whole):
    """A trail starts with a question: one that starts with its answer was not written by asking."""
    decided = transitions.decide(approval(), approving())
    forged = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=NOW, approval=decided)
    with pytest.raises(CorruptRecord, match=r"00001\.json"):
        of([encode(forged)]).verify(ID)


def test_another_record_under_this_id_is_refused(whole):
    """A record that was copied from another task opens nothing here."""
    other = Ledger(MemoryStore()).begin(approval(pathspec(run="18")))
    with pytest.raises(OtherPathspec, match="is about TrainFlow/18/deploy/42"):
        of([encode(other.version)]).read(ID)


@pytest.mark.parametrize("name", ["00001.json.tmp", "1.json", "latest", "00000x.json"])
def test_a_stray_object_beside_the_versions_closes_the_gate(whole, name):
    """What is no version, behind the newest one, makes the record untrustworthy and is named."""
    whole.store.create(f"approvals/{ID}/z{name}", b"")
    with pytest.raises(CorruptRecord, match=re.escape(name)):
        whole.read(ID)


@pytest.mark.parametrize("body", [b"", b"{", b'{"format": 99}'])
def test_a_bad_newest_version_closes_the_gate(whole, body):
    """Nobody falls back to an older version: that would undo what the newest one said."""
    whole.store.create(f"approvals/{ID}/00005.json", body)
    ask, answer = partial(whole.begin, approval()), partial(decide, whole, approving())
    for act in (partial(whole.read, ID), partial(whole.verify, ID), ask, answer):
        with pytest.raises(HitlError, match=r"00005\.json"):
            act()
