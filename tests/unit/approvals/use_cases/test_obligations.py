"""What somebody owes with a yes: in the record, closed with a word, and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_bot.keys import PrivateKey, signing_keys
from metaflow_extensions.hitl.approvals import bucket, bucket_map
from metaflow_extensions.hitl.approvals.auditing import audit_alone, document
from metaflow_extensions.hitl.approvals.deciding import proposal
from metaflow_extensions.hitl.approvals.deciding.proposal import AnswerProposal, DoneProposal
from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.approvals.question import PolicyRule
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    FollowUpKind,
    Obligation,
    Origin,
    Person,
    State,
    TrailEvent,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.refusals import (
    AlreadyDecided,
    NoSuchObligation,
    NotYourObligation,
    ObligationMissing,
)
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.approvals.sweeping.worker import clean
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import ALICE, BOB, CAROL, REQUESTER, Bench, pathspec

COMPARE = Obligation(text="Compare it with last year's.", owner=BOB, due="2026-03-06")
YES = Answer(verdict=Verdict.APPROVE, obligation=COMPARE)


def approve(bench: Bench, asked: Approval, answer: Answer = YES, who: Person = ALICE) -> Approval:
    return bench.cases.decide(asked.id, answer, who=who, where=Where.FORM).approval


def test_an_obligation_is_part_of_the_decision_and_holds_nothing_up(bench: Bench) -> None:
    """The run goes on, all is settled, and the obligation is open until somebody closes it with a word."""
    approved = approve(bench, bench.ask())
    assert approved.settlement is not None
    assert approved.id in bench.engine.released
    assert approved.open_obligations == {1: COMPARE}
    assert [owed.approval_id for owed in bench.ledger.owed()] == [approved.id]
    closed = bench.cases.obligations.close(approved.id, 1, who=BOB, comment="Same as last year.")
    (done,) = closed.follow_ups
    assert (done.kind, done.by, done.comment) == (FollowUpKind.DONE, BOB, "Same as last year.")
    assert closed.open_obligations == {}
    assert list(bench.ledger.owed()) == []
    assert [entry.version.event for entry in bench.ledger.verify(approved.id)][-2:] == [
        TrailEvent.SETTLED,
        TrailEvent.OBLIGATION_DONE,
    ]
    (exported,) = document(audit_alone(bench.ledger, approved.id))["obligations"]
    assert (exported["text"], exported["owner"]["id"], exported["comment"]) == (
        COMPARE.text,
        BOB.id,
        "Same as last year.",
    )


def test_the_owner_or_whoever_approved_closes_it(bench: Bench) -> None:
    """Nobody else does, and nobody twice."""
    approved = approve(bench, bench.ask())
    with pytest.raises(NotYourObligation, match="Only Bob Brown"):
        bench.cases.obligations.close(approved.id, 1, who=CAROL, comment="mine")
    bench.cases.obligations.close(approved.id, 1, who=ALICE, comment="no longer needed")
    with pytest.raises(NoSuchObligation):
        bench.cases.obligations.close(approved.id, 1, who=BOB, comment="done")
    with pytest.raises(NoSuchObligation):
        bench.cases.obligations.close(approved.id, 2, who=BOB, comment="done")


def test_of_a_quorum_everybody_can_add_one(bench: Bench) -> None:
    """Each approving vote's obligation counts once it is decided; before that nothing is owed."""
    asked = bench.ask(quorum=2)
    other = Obligation(text="Watch the latency.", owner=CAROL, due="2026-03-09")
    voted = approve(bench, asked)
    assert (voted.state, voted.obligations) == (State.PENDING, ())
    decided = approve(bench, asked, Answer(verdict=Verdict.APPROVE, obligation=other), who=CAROL)
    assert decided.obligations == (COMPARE, other)
    assert [(owed.day.isoformat(), owed.number) for owed in bench.ledger.owed()] == [
        ("2026-03-06", 1),
        ("2026-03-09", 2),
    ]


def test_the_policy_can_demand_one(bench: Bench) -> None:
    """Then no yes does without, of whoever has to agree; a rejection owes nothing."""
    bench.policy.rule = PolicyRule(name="production", obligations_offered=True, obligation_required=True, quorum=2)
    asked = bench.ask()
    with pytest.raises(ObligationMissing, match="the rule “production” of the operator's policy requires one"):
        approve(bench, asked, Answer(verdict=Verdict.APPROVE))
    approve(bench, asked)
    with pytest.raises(ObligationMissing):
        approve(bench, asked, Answer(verdict=Verdict.APPROVE), who=CAROL)
    assert approve(bench, asked, who=CAROL).obligations == (COMPARE, COMPARE)
    other = bench.ask(pathspec(task="43"))
    assert approve(bench, other, Answer(verdict=Verdict.REJECT, reason="no")).state is State.REJECTED


def test_one_answer_to_many_is_owed_once(bench: Bench) -> None:
    """Whoever closes it closes it for all approvals that were given with the same words, and for no others."""
    together = [approve(bench, bench.ask(pathspec(task=str(task)))) for task in range(3)]
    later = approve(bench, bench.ask(pathspec(task="8")), replace(YES, obligation=replace(COMPARE, text="Look again.")))
    by_another = approve(bench, bench.ask(pathspec(task="9")), who=CAROL)
    of_another_run = approve(bench, bench.ask(pathspec(run="18")))
    bench.cases.obligations.close(together[1].id, 1, who=BOB, comment="Same as last year.")
    for one in together:
        assert bench.ledger.read(one.id).approval.follow_ups[-1].comment == "Same as last year."
    still = [owed.approval_id for owed in bench.ledger.owed()]
    assert sorted(still) == sorted(one.id for one in (later, by_another, of_another_run))


def test_an_answer_to_be_confirmed_carries_one(bench: Bench) -> None:
    """What is proposed, as it is written and read again, has text, owner and day; nobody named: whoever confirms it."""
    asked = bench.ask(approvers=("U0ALICE",))
    rita, sam = (Person(id=name, name=name, origin=Origin.CLAIM) for name in ("rita", "sam"))
    for number, owner in enumerate((rita, sam)):
        answer = replace(YES, obligation=replace(COMPARE, owner=owner))
        came = bench.cases.answer_from_command_line(asked.id, answer, who=rita, nonce=f"{number:032x}")
        assert isinstance(came, AnswerProposal)
        read = proposal.read_answer(bench.store, came.key)
        assert isinstance(read, AnswerProposal)
        assert read.obligation is not None
        assert read == came
        expected = replace(COMPARE, owner=ALICE if owner is rita else sam)
        assert read.obligation.taken_on(ALICE) == expected


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("obligation", {"text": "", "due": "2026-03-06", "owner": ""}),
        ("obligation", {"text": "x", "due": "soon", "owner": ""}),
        ("obligation", {"text": "x", "due": "2026-03-06", "owner": "", "more": 1}),
        ("obligation", {"text": "x", "due": "2026-03-06"}),
        ("obligation", []),
        ("kind", "done"),
        ("format", 1),
    ],
)
def test_a_planted_proposal_with_something_else_is_none(bench: Bench, part: str, value: object) -> None:
    """Nobody is asked about it."""
    asked = bench.ask(approvers=("U0ALICE",))
    came = bench.cases.answer_from_command_line(asked.id, YES, who=REQUESTER, nonce="0" * 32)
    assert isinstance(came, AnswerProposal)
    document = {**json.loads(bench.store.read(came.key)), part: value}
    planted = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(proposal.BadProposal):
        proposal.decode_answer(came.key, planted)


def test_where_only_the_bot_writes_a_command_line_closes_nothing_by_itself() -> None:
    """It is proposed, and is over once the record says that it was done."""
    keys = signing_keys(PrivateKey.new().text)
    store = MemoryStore()
    bench = Bench(store=store, trust=Trust.of(keys.public_keys, keys))
    approved = approve(bench, bench.ask())
    machine = Bench(store=store, trust=Trust.of(keys.public_keys))
    came = machine.cases.obligations.close_from_command_line(approved.id, 1, who=BOB, comment=" Done. ", nonce="0" * 32)
    assert isinstance(came, DoneProposal)
    assert proposal.read_answer(store, came.key) == came
    assert not came.is_over(bench.ledger.read(approved.id).approval)
    closed = bench.cases.obligations.close(approved.id, 1, who=BOB, comment="Done.")
    assert came.is_over(closed)
    assert came.is_confirmed(closed)


def test_only_a_yes_carries_one(bench: Bench) -> None:
    """A rejection owes nothing."""
    asked = bench.ask()
    rejected = approve(bench, asked, Answer(verdict=Verdict.REJECT, reason="no", obligation=COMPARE))
    assert rejected.decision is not None
    assert rejected.decision.obligation is None
    assert list(bench.ledger.owed()) == []


def test_a_yes_that_came_second_does_not_lose_its_obligation_in_silence(bench: Bench) -> None:
    """Whoever adds one to what is approved already is told that it was not recorded."""
    asked = bench.ask()
    approve(bench, asked, Answer(verdict=Verdict.APPROVE))
    with pytest.raises(AlreadyDecided):
        approve(bench, asked, YES, who=CAROL)


def test_it_is_signed_where_records_are_sealed() -> None:
    """Every version after the decision is the bot's, and one that drops a word is found."""
    keys = signing_keys(PrivateKey.new().text)
    store = MemoryStore()
    bench = Bench(store=store, trust=Trust.of(keys.public_keys, keys))
    approved = approve(bench, bench.ask())
    bench.cases.obligations.note_owner_reminded(bench.ledger.read(approved.id), 1)
    bench.cases.obligations.close(approved.id, 1, who=BOB, comment="Done.")
    trail = bench.ledger.verify(approved.id)
    assert all(entry.approval.vouched_by for entry in trail)
    key = bucket.version_key(approved.id, trail[-1].number)
    store._bodies[key] = store.read(key).replace(b"Done.", b"Never")
    with pytest.raises(CorruptRecord):
        bench.ledger.verify(approved.id)


def test_a_reminder_that_vanishes_from_a_later_version_is_found(bench: Bench) -> None:
    """What became of an obligation only grows."""
    approved = approve(bench, bench.ask())
    bench.cases.obligations.note_owner_reminded(bench.ledger.read(approved.id), 1)
    newest = bench.ledger.read(approved.id)
    bench.ledger.update(approved.id, "oops", bench.clock(), _without, seen=newest)
    with pytest.raises(CorruptRecord, match="had settled"):
        bench.ledger.verify(approved.id)


def _without(approval: Approval) -> Approval:
    return replace(approval, follow_ups=())


def test_what_belongs_to_a_record_is_kept_as_long_as_something_is_owed(bench: Bench) -> None:
    """A line that a thread has must not be written again when an obligation is closed weeks later."""
    approved = approve(bench, bench.ask(pathspec()))
    said = bucket.said_key(approved.id, 2)
    bench.store.mark(said)
    bench.clock.forward(timedelta(days=30).total_seconds())
    clean(bench.ledger, bench.clock() - timedelta(days=7))
    assert said in list(bench.store.list(bucket_map.SAID.root))
    bench.cases.obligations.close(approved.id, 1, who=BOB, comment="Done.")
    bench.clock.forward(timedelta(days=8).total_seconds())
    clean(bench.ledger, bench.clock() - timedelta(days=7))
    assert list(bench.store.list(bucket_map.SAID.root)) == []


@pytest.mark.parametrize(
    ("text", "due"), [("", "2026-03-06"), ("x", "2026-02-30"), ("x", "soon"), ("x", "20260306"), ("x", "")]
)
def test_an_obligation_has_a_text_and_a_day(text: str, due: str) -> None:
    """Anything else is refused before it gets into a record."""
    with pytest.raises(ValueError, match=r"text|day|isoformat"):
        Obligation(text=text, owner=BOB, due=due)
