"""Records that a bot signs: what counts, and what is refused whoever wrote it where."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from dataclasses import replace

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version, decode, encode, with_checksum
from metaflow_extensions.hitl.approvals.deciding.delegation import Delegations
from metaflow_extensions.hitl.approvals.errors import (
    CorruptRecord,
    NeedsNewer,
    NotVouchedFor,
    OnlyTheBotWrites,
    RecordError,
)
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Answer, Verdict, Where
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.notifiers.terminal import TerminalNotifier
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import ALICE, BOB, CAROL, NOW, Bench, after, approval, approving, pathspec
from tests.sizes import soak

KEY = PrivateKey(bytes(32))
BOT = Trust.of((), SigningKeys([KEY]))
FLOW = Trust.of([KEY.public_key])


def decided(ledger):
    entry = ledger.begin(approval())
    return ledger.update(entry.approval.id, "decided", NOW, lambda one: transitions.decide(one, approving()))


def test_a_flow_reads_what_the_bot_signed():
    """Each version is signed; a reader that knows the public key finds out which key vouches for it."""
    store = MemoryStore()
    entry = decided(Ledger(store, BOT))
    for number in (1, 2):
        read = Ledger(store, FLOW).read_version(entry.approval.id, number)
        assert read.approval.vouched_by == KEY.public_key.id
    assert Ledger(store, FLOW).read(entry.approval.id) == entry
    assert Ledger(store, FLOW).verify(entry.approval.id)[-1] == entry


def test_in_the_open_mode_nobody_vouches():
    """Without keys a signature says nothing, and neither does a record about itself."""
    store = MemoryStore()
    entry = decided(Ledger(store, BOT))
    assert Ledger(store).read(entry.approval.id).approval.vouched_by is None
    plain = Version(number=1, previous=None, event="requested", at=NOW, approval=replace(approval(), vouched_by="me"))
    assert decode("k", encode(plain)).approval.vouched_by is None
    assert b"vouched" not in encode(plain)


def test_a_flow_writes_no_record():
    """Only a bot with a key writes; a bot without one does not go on with a record that was signed."""
    store = MemoryStore()
    entry = decided(Ledger(store, BOT))
    for trust in (FLOW, OPEN):
        with pytest.raises(OnlyTheBotWrites):
            Ledger(store, trust).update(
                entry.approval.id, "settled", NOW, lambda one: transitions.settle(one, NOW), seen=entry
            )
    with pytest.raises(OnlyTheBotWrites):
        Ledger(MemoryStore(), FLOW).begin(approval())


def test_an_unsigned_version_counts_for_nothing():
    """A forged decision, with the right hash of the version before it, is refused by flow and bot alike."""
    store = MemoryStore()
    Ledger(store, BOT).begin(approval())
    entry = Ledger(store).read(approval().id)
    forged = transitions.decide(entry.approval, approving())
    version = Version(number=2, previous=entry.digest, event="decided", at=NOW, approval=forged)
    store.create(f"approvals/{forged.id}/00002.json", encode(version))
    for trust in (FLOW, BOT):
        with pytest.raises(NotVouchedFor, match="no bot signed it"):
            Ledger(store, trust).read(forged.id)


def test_another_key_counts_for_nothing():
    """A version signed with a key of the forger's own, under its own id or under the bot's, is refused."""
    store, theirs = MemoryStore(), PrivateKey.new()
    entry = decided(Ledger(store, Trust.of((), SigningKeys([theirs]))))
    with pytest.raises(NotVouchedFor, match="is not trusted here"):
        Ledger(store, FLOW).read(entry.approval.id)
    forged = replace(entry.version, key=KEY.public_key.id)
    body = encode(forged, Trust.of((), _Impostor(theirs)), store=store.url)
    with pytest.raises(NotVouchedFor, match="its signature is not that of the key"):
        decode("k", body, FLOW, store=store.url)


class _Impostor:
    """Signs with its own key, whichever is asked for."""

    def __init__(self, key):
        self._key = key
        self.public_keys = (key.public_key,)

    def sign(self, _, message):
        return self._key.sign(message)


def test_a_signed_version_counts_only_at_its_place():
    """What the bot signed is refused under another number, for another task, and in another store."""
    store = MemoryStore()
    bot = Ledger(store, BOT)
    entry = decided(bot)
    first = store.read(f"approvals/{entry.approval.id}/00001.json")
    store.create(f"approvals/{entry.approval.id}/00003.json", first)
    with pytest.raises(CorruptRecord, match="it says that it is version 1"):
        Ledger(store, FLOW).read(entry.approval.id)
    with pytest.raises(NotVouchedFor, match="signed for another store"):
        decode("k", first, FLOW, store="s3://another/hitl")


def test_a_delegation_is_not_a_version():
    """What was signed as one kind of object never counts as another."""
    text = b'{\n "a": 1\n}'
    signed = BOT.sign("delegation", KEY.public_key.id, text)
    assert FLOW.check("k", "delegation", KEY.public_key.id, signed) == KEY.public_key.id
    with pytest.raises(NotVouchedFor):
        FLOW.check("k", "version", KEY.public_key.id, signed)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_no_change_of_a_signed_version_is_read(record_property):
    """Every change of bytes, with a right checksum where it can have one, is refused; 30,000 of them in a soak."""
    rng = random.Random(10)
    store = MemoryStore()
    entry = decided(Ledger(store, BOT))
    body = store.read(f"approvals/{entry.approval.id}/00002.json")
    refused = 0
    while refused < soak(500, 30_000):
        changed = _mutated(rng, body)
        if changed == body:
            continue
        with pytest.raises(RecordError):
            decode("k", changed, FLOW, store=store.url)
        refused += 1
    record_property("figure", f"changes of a sealed record: {refused:,} tried, 0 read")


def _mutated(rng: random.Random, body: bytes) -> bytes:
    place = rng.randrange(len(body))
    how = rng.randrange(3)
    if how == 0:
        changed = body[:place] + bytes([rng.randrange(256)]) + body[place + 1 :]
    elif how == 1:
        changed = body[:place] + body[place + rng.randrange(1, 20) :]
    else:
        changed = body[:place] + rng.randbytes(rng.randrange(1, 8)) + body[place:]
    end = changed.rfind(b',\n "sha256": "')
    if end < 0 or rng.randrange(4) == 0:
        return changed
    digest = hashlib.sha256(changed[:end] + b"\n}").hexdigest().encode()
    return changed[:end] + b',\n "sha256": "' + digest + b'"\n}'


def test_every_field_of_a_version_is_signed():
    """A change of any value, with checksum and the old signature, is refused."""
    store = MemoryStore()
    entry = decided(Ledger(store, BOT))
    document = json.loads(store.read(f"approvals/{entry.approval.id}/00002.json"))
    signature = document.pop("signature")
    del document["sha256"]
    for name in document:
        for value in (None, "x", 7, {}):
            if document[name] == value:
                continue
            body = encode_with(({**document, name: value}), signature)
            with pytest.raises(RecordError):
                decode("k", body, FLOW, store=store.url)


def encode_with(document, signature):
    class Old:
        public_keys = (KEY.public_key,)

        def sign(self, *_):
            return base64.b64decode(signature)

    return with_checksum(document, trust=Trust.of((), Old()), kind="version")


def test_a_question_survives_a_rotation():
    """The bot goes on with the key that began a record, as long as it has it, so that flows with the older key open."""
    store, newer = MemoryStore(), PrivateKey.new()
    entry = Ledger(store, BOT).begin(approval())
    rotated = Trust.of((), SigningKeys([newer, KEY]))
    Ledger(store, rotated).update(entry.approval.id, "decided", NOW, lambda one: transitions.decide(one, approving()))
    assert Ledger(store, FLOW).read(entry.approval.id).approval.lets_run
    retired = Trust.of([KEY.public_key], SigningKeys([newer]))
    Ledger(store, retired).update(entry.approval.id, "settled", NOW, lambda one: transitions.settle(one, NOW))
    both = Trust.of([KEY.public_key, newer.public_key])
    assert Ledger(store, both).read(entry.approval.id).approval.vouched_by == newer.public_key.id


def test_a_planted_delegation_gives_nobody_a_say():
    """Only a delegation that the bot signed counts; a planted one does not hide the one that holds, either."""
    store = MemoryStore()
    until = after(3_600)
    Delegations(store).delegate(ALICE, BOB, until, NOW)  # as whoever can write the bucket would
    assert list(Delegations(store, FLOW).absent_for(BOB, NOW)) == []
    Delegations(store, BOT).delegate(ALICE, CAROL, until, NOW)
    assert list(Delegations(store, BOT).absent_for(CAROL, NOW)) == [ALICE]
    Delegations(store).delegate(ALICE, BOB, until, NOW)
    assert list(Delegations(store, BOT).absent_for(BOB, NOW)) == []
    assert list(Delegations(store, BOT).absent_for(CAROL, NOW)) == [ALICE]


def test_a_withdrawn_delegation_can_not_be_played_again():
    """A signed delegation counts as the version that it was signed as, and no other."""
    store = MemoryStore()
    bot = Delegations(store, BOT)
    bot.delegate(ALICE, BOB, after(3_600), NOW)
    bot.withdraw(ALICE, NOW)
    store.create("delegations/U0ALICE/00003.json", store.read("delegations/U0ALICE/00001.json"))
    store.mark("delegates/U0BOB/U0ALICE")
    assert list(bot.absent_for(BOB, NOW)) == []


def test_a_record_names_what_its_reader_must_understand():
    """A field that bears on the decision and says something is named with the release that knows it."""
    plain = json.loads(encode(Version(number=1, previous=None, event="requested", at=NOW, approval=approval())))
    assert plain["requires"] == {}
    strict = approval(quorum=2, allow_self_approval=False, message="Two of you?")
    document = json.loads(encode(Version(number=1, previous=None, event="requested", at=NOW, approval=strict)))
    assert document["requires"] == {"question.quorum": "0.1.0", "question.allow_self_approval": "0.1.0"}


@pytest.mark.parametrize("requires", [{"question.veto_by": "3.1.0"}, {"question.message": "3.1.0"}])
def test_what_is_not_understood_is_refused_with_the_release_that_can(requires):
    """An older release does not decide a question by less than was asked; it names the release to upgrade to."""
    plain = json.loads(encode(Version(number=1, previous=None, event="requested", at=NOW, approval=approval())))
    del plain["sha256"]
    body = with_checksum({**plain, "requires": requires}, trust=OPEN, kind="version")
    with pytest.raises(NeedsNewer, match=r"upgrade metaflow-hitl here to 3\.1\.0"):
        decode("k", body)


def test_a_terminal_shows_what_the_bot_will_compare_with():
    """Where the bot takes the question over, the terminal of the run does not call a second run the first."""
    evidence = Evidence(metrics=(Metric(name="accuracy", value=0.94),))
    bot = Bench(trust=BOT)
    asked = bot.ask(pathspec(run="17"), evidence=evidence)
    bot.cases.decide(asked.id, Answer(verdict=Verdict.APPROVE), who=BOB, where=Where.BUTTON)
    printed: list[str] = []
    run = Bench(store=bot.store, trust=FLOW)
    run.cases.posting.notifiers = {"terminal": TerminalNotifier(printed.append)}
    run.ask(pathspec(run="18"), evidence=evidence, notifiers=("terminal",))
    assert "Compared with run 17" in printed[0]
