"""An audit finds what was changed, moved, dropped or planted, and names it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals import bucket, bucket_map, transitions
from metaflow_extensions.hitl.approvals.auditing import COLUMNS, audit_all, audit_alone, document, is_exported, row
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.errors import NoSuchApproval
from metaflow_extensions.hitl.approvals.evidence.binding import question_digest
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Origin, Person, TrailEvent, Where
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.messages import terminal as words
from metaflow_extensions.hitl.stores.directory import CopiedStore
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import BOB, NOW, after, approval, approving, pathspec, rejecting

KEY, OTHER = PrivateKey(bytes(32)), PrivateKey(bytes([1] * 32))
BOT, AUDITOR = Trust.of((), SigningKeys([KEY])), Trust.of([KEY.public_key])
EVIDENCE = Evidence(metrics=(Metric(name="accuracy", value=0.94),))
LAPTOP = Person(origin=Origin.CLAIM, id="carl", name="carl")


def decided(ledger: Ledger, run: str = "17", *, by: Person = BOB, at=NOW, **parts) -> str:
    """Ask, approve and settle, as the use cases do."""
    asked = ledger.begin(approval(pathspec(run=run), at=at, evidence=EVIDENCE)).approval
    decision = approving(by, at=at, question_digest=question_digest(asked), **parts)
    ledger.update(asked.id, TrailEvent.DECIDED, at, partial(transitions.decide, decision=decision))
    ledger.note_ended(ledger.read(asked.id).approval)
    settled = ledger.update(asked.id, TrailEvent.SETTLED, at, partial(transitions.settle, now=at))
    ledger.finish(settled.approval)
    return asked.id


def copied(store: MemoryStore, changed: dict[str, bytes | None]) -> MemoryStore:
    """Return a copy in which these keys hold something else, or nothing."""
    bodies = {key: store.read(key) for key in store.list("")} | changed
    copy = MemoryStore()
    for key, body in bodies.items():
        if body is not None:
            copy.create(key, body)
    return copy


def faults(store: MemoryStore, trust: Trust, since=None) -> list[tuple[str, str]]:
    found = audit_all(Ledger(store, trust), since)
    return [(fault.key, fault.problem) for one in found for fault in one.faults]


@pytest.fixture(params=["open", "sealed"])
def world(request) -> tuple[MemoryStore, Trust, str]:
    """Two decided records, and a third that waits; who reads them knows the bot's key in the sealed mode."""
    store = MemoryStore()
    bot, reader = (OPEN, OPEN) if request.param == "open" else (BOT, AUDITOR)
    ledger = Ledger(store, bot)
    first = decided(ledger)
    decided(ledger, "18", at=after(60))
    ledger.begin(approval(pathspec(run="19")))
    return store, reader, first


def test_whole_records_have_no_faults(world):
    """What was asked, decided and settled is whole, together with its markers; so is what waits."""
    store, trust, approval_id = world
    found = list(audit_all(Ledger(store, trust)))
    assert [one.faults for one in found] == [(), (), ()]
    assert sorted(len(one.versions) for one in found) == [1, 3, 3]
    assert audit_alone(Ledger(store, trust), approval_id).is_intact


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_changed_byte_is_found_in_its_version(world, number):
    """Wherever a byte differs, the version that it is in is named."""
    store, trust, approval_id = world
    key = bucket.version_key(approval_id, number)
    body = store.read(key)
    for place in range(0, len(body), 97):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert faults(copied(store, {key: changed}), trust)[0][0] == key, place


def test_versions_in_each_others_place_are_found(world):
    """The first that carries another number than its name is named."""
    store, trust, approval_id = world
    second, third = (bucket.version_key(approval_id, number) for number in (2, 3))
    swapped = {second: store.read(third), third: store.read(second)}
    assert faults(copied(store, swapped), trust)[0] == (second, "it says that it is version 3")


@pytest.mark.parametrize("number", [1, 2])
def test_a_dropped_version_is_found(world, number):
    """A gap is named by the version after it."""
    store, trust, approval_id = world
    dropped = copied(store, {bucket.version_key(approval_id, number): None})
    expected = (bucket.version_key(approval_id, number + 1), f"version {number} is missing before it")
    assert faults(dropped, trust)[0] == expected


def test_the_newest_versions_dropped_are_found(world):
    """The tail knows for a week that they were written; the history knows for ever that there was a decision."""
    store, trust, approval_id = world
    newest = {bucket.version_key(approval_id, number): None for number in (2, 3)}
    reopened = copied(store, {**newest, bucket.open_key(approval_id): b""})
    written = (bucket.version_key(approval_id, 3), "the tail says that it was written, but it is missing")
    assert written in faults(reopened, trust)
    later = copied(reopened, dict.fromkeys(store.list(bucket_map.CHANGES.root)))
    assert {problem for _, problem in faults(later, trust)} == {"the record says otherwise"}


def test_a_dropped_record_is_found(world):
    """The history still says that it was decided."""
    store, trust, approval_id = world
    gone = dict.fromkeys(store.list(bucket.versions_folder(approval_id)))
    ((key, problem),) = faults(copied(store, gone), trust)
    assert approval_id in key
    assert problem == "it says that this was decided or closed, and there is no record of it"


def test_another_runs_record_is_found(world):
    """A record that was copied from another run opens nothing, and is named with the run it is from."""
    store, trust, approval_id = world
    other = pathspec(run="18").approval_id
    replayed = {
        bucket.version_key(approval_id, number): store.read(bucket.version_key(other, number)) for number in (1, 2, 3)
    }
    key, problem = faults(copied(store, replayed), trust)[0]
    assert key == bucket.version_key(approval_id, 1)
    assert problem == f"it is a record about another task, {pathspec(run='18')}"


def test_an_answer_to_another_question_is_found():
    """Where whoever can write the store rewrites question and all hashes, the answer still names the old question."""
    store = MemoryStore()
    first = Ledger(store).begin(approval(message="Drop the table?")).approval
    digest = question_digest(approval(message="Deploy?"))
    decision = approving(question_digest=digest)
    Ledger(store).update(first.id, TrailEvent.DECIDED, NOW, partial(transitions.decide, decision=decision))
    assert faults(store, OPEN)[0] == (bucket.version_key(first.id, 2), "its answer was given to another question")


@pytest.mark.parametrize("forger", [None, OTHER], ids=["nobody's", "another key"])
def test_a_decided_version_without_the_key_is_found(forger):
    """With every hash right, a decision that the bot did not sign is named, whoever signed it."""
    store = MemoryStore()
    asked = Ledger(store, BOT).begin(approval())
    forged = transitions.decide(asked.approval, approving())
    version = Version(
        number=2, previous=asked.digest, event=TrailEvent.DECIDED, at=NOW, approval=forged,
        key=forger.public_key.id if forger else None,
    )  # fmt: skip
    trust = Trust.of((), SigningKeys([forger])) if forger else OPEN
    store.create(bucket.version_key(forged.id, 2), encode(version, trust, store=store.url))
    ((key, problem),) = faults(store, AUDITOR)
    assert key == bucket.version_key(forged.id, 2)
    assert problem == (f"its key '{OTHER.public_key.id}' is not trusted here" if forger else "no bot signed it")


def test_markers_are_held_to_the_records(world):
    """A marker that is missing, that nothing stands for, or that has another form is named."""
    store, trust, approval_id = world
    (marker,) = [key for key in store.list(bucket_map.DECIDED.root) if approval_id in key]
    missing = copied(store, {marker: None})
    assert faults(missing, trust) == [(marker, "this marker is missing, so lists and history leave the record out")]
    waiting = pathspec(run="19")
    planted = bucket.decided_key(waiting.flow, waiting.step, waiting.approval_id, NOW)
    assert faults(copied(store, {planted: b""}), trust) == [(planted, "the record says otherwise")]
    for stray, problem in {
        "decided/x": "no marker has such a name",
        "approvals/x": "no record has such a name",
        f"approvals/{approval_id}/latest": "no version has such a name",
    }.items():
        assert faults(copied(store, {stray: b""}), trust) == [(stray, problem)]


def test_a_span_leaves_out_what_was_decided_before(world):
    """What is older is not read; what waits, and what no index knows, always is."""
    store, trust, approval_id = world
    damaged = copied(store, {bucket.version_key(approval_id, 1): b""})
    found = list(audit_all(Ledger(damaged, trust), after(30)))
    assert {one.approval.pathspec.run for one in found} == {"18", "19"}
    assert all(one.is_intact for one in found)
    unlisted = copied(damaged, dict.fromkeys(damaged.list(bucket_map.DECIDED.root)))
    assert bucket.version_key(approval_id, 1) in [key for key, _ in faults(unlisted, trust, after(30))]


def test_each_version_has_who_vouches_for_it():
    """A key by its id, a name that is only claimed, or nobody; a key that was not checked vouches for nothing."""
    store = MemoryStore()
    by_claim = decided(Ledger(store), by=LAPTOP, where=Where.COMMAND_LINE)
    (found,) = audit_all(Ledger(store))
    assert found.approval_id == by_claim
    assert words.audited(found).split("  ")[-1] == "1: only a claim (rita); 2: only a claim (carl); 3: nobody"
    signed = MemoryStore()
    decided(Ledger(signed, BOT), by=LAPTOP, where=Where.COMMAND_LINE)
    key = KEY.public_key.id
    (found,) = audit_all(Ledger(signed, AUDITOR))
    assert words.audited(found).endswith(f"1 to 3: the bot's key {key}")
    (found,) = audit_all(Ledger(signed))
    assert words.audited(found).endswith(f"1 to 3: nobody here (signed with the key {key}, which was not checked)")


def test_a_copy_is_checked_as_what_it_is_a_copy_of():
    """A signature names the store that it is for: elsewhere it counts only for who says what was copied."""
    store = MemoryStore()
    store.url = "s3://bucket/hitl"
    decided(Ledger(store, BOT))
    elsewhere = copied(store, {})
    assert "signed for another store" in faults(elsewhere, AUDITOR)[0][1]
    assert faults(CopiedStore(elsewhere, "s3://bucket/hitl"), AUDITOR) == []


def test_an_exported_decision_has_what_auditors_ask_for():
    """Question, evidence, people, input, reason and hashes, once as a document and once as cells."""
    store = MemoryStore()
    decided(Ledger(store, BOT), input={"traffic": 10}, reason="=1+1")
    (found,) = audit_all(Ledger(store, AUDITOR))
    exported = document(found)
    assert exported["question"] == "Accuracy: 93.1%. Deploy?"
    assert exported["metrics"] == {"accuracy": 0.94}
    assert exported["decided_by"] == {"id": "U0BOB", "name": "Bob Brown", "origin": "slack", "email": "bob@example.com"}
    assert (exported["input"], exported["reason"], exported["verdict"]) == ({"traffic": 10}, "=1+1", "approved")
    assert exported["record_sha256"] == found.versions[-1].sha256
    assert (exported["vouched_by"], exported["intact"], exported["faults"]) == (KEY.public_key.id, True, [])
    assert set(exported) == set(COLUMNS)
    cells = dict(zip(COLUMNS, row(exported), strict=True))
    assert cells["reason"] == "'=1+1"  # a spreadsheet would calculate it
    assert cells["input"] == '{"traffic": 10}'


def test_an_export_leaves_out_what_waits_and_keeps_what_can_not_be_read(world):
    """One line a decision of the span, and one for each record that something is wrong with."""
    store, trust, approval_id = world
    damaged = copied(store, {bucket.version_key(approval_id, 1): b""})
    found = [one for one in audit_all(Ledger(damaged, trust)) if is_exported(one, None)]
    assert {one.approval_id for one in found} == {approval_id, pathspec(run="18").approval_id}
    (unreadable,) = [row(document(one)) for one in found if not one.is_intact]
    assert f"approvals/{approval_id}/00001.json: it is not JSON" in unreadable[-1]
    late = [one for one in audit_all(Ledger(store, trust)) if is_exported(one, NOW + timedelta(seconds=30))]
    assert [one.approval.pathspec.run for one in late] == ["18"]


def test_a_rejection_needs_no_marker_of_approvals():
    """Only what was approved, and has evidence, is what the next question is compared with."""
    store = MemoryStore()
    ledger = Ledger(store)
    asked = ledger.begin(approval(evidence=EVIDENCE)).approval
    ledger.update(asked.id, TrailEvent.DECIDED, NOW, partial(transitions.decide, decision=rejecting()))
    ledger.note_ended(ledger.read(asked.id).approval)
    ledger.finish(ledger.update(asked.id, TrailEvent.SETTLED, NOW, partial(transitions.settle, now=NOW)).approval)
    assert faults(store, OPEN) == []


def test_what_was_closed_without_an_answer_is_intact():
    """It is in the history at the moment when it was closed."""
    store = MemoryStore()
    ledger = Ledger(store)
    asked = ledger.begin(approval()).approval
    close = partial(transitions.close, reason="The run has ended.", now=NOW)
    ledger.note_ended(ledger.update(asked.id, TrailEvent.CLOSED, NOW, close).approval)
    ledger.finish(ledger.update(asked.id, TrailEvent.SETTLED, NOW, partial(transitions.settle, now=NOW)).approval)
    assert faults(store, OPEN) == []


def test_one_record_that_is_not_there_is_an_error():
    """Nothing is damaged."""
    with pytest.raises(NoSuchApproval):
        audit_alone(Ledger(MemoryStore()), pathspec().approval_id)
