"""Deciding: what an answer does, and what refuses it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals.codec import NotJson
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval, PeopleUnavailable
from metaflow_extensions.hitl.approvals.record import Answer, State, TrailEvent, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, NotAllowed, ReasonMissing, TooLate
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from tests.fixtures.approvals import ALICE, BOB, Directory, approval, gate, pathspec
from tests.fixtures.watched_stores import CountedStore, WatchedStore
from tests.unit.approvals.use_cases.acts import APPROVE, ID, REJECT, decide, events, is_open


def test_an_approval_releases_the_gate_shows_it_and_settles_it(bench):
    """After Approve the task runs, the message says who, the record is settled and off the list of open ones."""
    bench.ask()
    bench.clock.forward(60)
    outcome = decide(bench, Answer(verdict=Verdict.APPROVE, input={"target": "staging"}, reason=" Looks right. "))
    decision = outcome.approval.decision
    assert (decision.by, decision.where, decision.at) == (ALICE, Where.BUTTON, bench.clock.now)
    assert (decision.input, decision.reason) == ({"target": "staging"}, "Looks right.")
    assert outcome.pending == ()
    assert bench.engine.released[ID].decision == decision
    assert bench.notifier.shown[ID] == outcome.approval
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.DECIDED, TrailEvent.SETTLED]
    assert not is_open(bench)
    assert bench.ledger.decided_ids("TrainFlow", "deploy", limit=5) == [ID]


def test_a_rejection_fails_the_gate(bench):
    """After Reject the task is failed, with no input, and the reason is in the record."""
    bench.ask()
    outcome = decide(bench, replace(REJECT, input={"target": "staging"}))
    assert bench.engine.refused.keys() == {ID}
    assert bench.engine.released == {}
    assert (outcome.approval.decision.input, outcome.approval.decision.reason) == ({}, "The data is stale.")


def test_effects_come_in_their_order(bench):
    """The record, the workflow, the message, settled: who dies in between leaves what can be finished."""
    order = []

    def note(request, key):
        if request in ("create", "unmark") or key.startswith("decided/"):
            order.append(key.split("/")[0] + "/" + key.split("/")[-1])

    bench.ask()
    other = bench.on(WatchedStore(bench.store, note))

    class Engine(type(bench.engine)):
        def carry_out(self, approval):
            order.append("engine")
            return super().carry_out(approval)

    class Notifier(MemoryNotifier):
        def update(self, approval, post):
            order.append("message")
            super().update(approval, post)

    other.cases.engines = {gate().engine: Engine()}
    notifier = Notifier(bench.clock)
    notifier.post(approval())
    other.cases.posting.notifiers = {"memory": notifier}
    decide(other)
    assert [each for each in order if not each.startswith("decided")] == [
        "approvals/00003.json",
        "engine",
        "message",
        "approvals/00004.json",
        f"open/{ID}",
    ]


def test_the_same_click_twice_is_one_decision(bench):
    """The second click changes nothing and is told no error; the engine has released the gate once."""
    bench.ask()
    first = decide(bench)
    bench.clock.forward(5)
    assert decide(bench, who=BOB).approval == first.approval
    assert len(bench.engine.calls) == 1
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.DECIDED, TrailEvent.SETTLED]


def test_another_answer_is_told_who_won(bench):
    """Approve on what is rejected is a conflict that names the winner; nothing is carried out again."""
    bench.ask()
    decide(bench, REJECT, who=BOB)
    with pytest.raises(AlreadyDecided, match="rejected by Bob Brown"):
        decide(bench)
    assert bench.engine.released == {}
    assert len(bench.engine.calls) == 1


def refuse_every_input(schema, values):
    raise HitlError("target is missing")


SCHEMA = {"type": "object", "properties": {"target": {"type": "string"}}, "required": ["target"]}


def test_an_input_that_does_not_fit_is_refused(bench):
    """The schema in the record decides; the record stays as it was, and a rejection needs no input."""
    bench.cases.check_input = refuse_every_input
    bench.ask(schema=SCHEMA)
    with pytest.raises(HitlError, match="target is missing"):
        decide(bench)
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED]
    assert decide(bench, REJECT).approval.state is State.REJECTED


def test_the_input_is_recorded_as_the_schema_reads_it(bench):
    """Values arrive typed: what the check returns is what the step sees."""
    bench.cases.check_input = lambda schema, values: {"n": int(values["n"]), "of": schema["type"]}
    bench.ask(schema=SCHEMA)
    recorded = decide(bench, Answer(verdict=Verdict.APPROVE, input={"n": "3"})).approval.decision.input
    assert recorded == {"n": 3, "of": "object"}


def test_the_same_answer_in_other_words_is_the_same(bench):
    """Whether somebody decided the same is judged after the schema has read both inputs."""
    bench.cases.check_input = lambda schema, values: {name: int(values[name]) for name in schema["properties"]}
    bench.ask(schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    first = decide(bench, Answer(verdict=Verdict.APPROVE, input={"n": "3"}))
    assert decide(bench, Answer(verdict=Verdict.APPROVE, input={"n": "03"}), who=BOB).approval == first.approval


def test_who_comes_too_late_is_told_that_and_not_to_mend_the_input(bench):
    """Behind the deadline, or behind another answer, a bad input is not what a person needs to hear of."""
    bench.cases.check_input = refuse_every_input
    bench.ask(schema=SCHEMA, timeout=60)
    bench.clock.forward(60)
    with pytest.raises(TooLate):
        decide(bench)
    bench.ask(pathspec(run="18"), schema=SCHEMA)
    other = pathspec(run="18").approval_id
    bench.cases.decide(other, REJECT, who=BOB, where=Where.FORM)
    with pytest.raises(AlreadyDecided, match="rejected by Bob Brown"):
        bench.cases.decide(other, APPROVE, who=ALICE, where=Where.FORM)


def test_an_input_that_is_no_json_is_refused(bench):
    """Without a schema any JSON will do; NaN is none, and nothing is written."""
    bench.ask()
    with pytest.raises(NotJson):
        decide(bench, Answer(verdict=Verdict.APPROVE, input={"share": float("nan")}))
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED]


@pytest.mark.parametrize(
    ("people", "refusal"),
    [
        (Directory(bars={ALICE.id: "guests never decide."}), NotAllowed),
        (Directory(outage=PeopleUnavailable("Slack does not answer.")), PeopleUnavailable),
    ],
)
def test_who_may_not_decide_changes_nothing(bench, people, refusal):
    """A guest, and everybody while Slack can't be asked, is refused; the question stays open."""
    bench.cases.people = people
    bench.ask()
    with pytest.raises(refusal):
        decide(bench)
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED]
    assert bench.engine.calls == []


def test_a_rejection_without_a_reason_changes_nothing(bench):
    """Blanks are no reason."""
    bench.ask()
    with pytest.raises(ReasonMissing):
        decide(bench, Answer(verdict=Verdict.REJECT, reason=" \n"))
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED]


def test_an_unknown_id_is_refused(bench):
    """A forged or mistyped id decides nothing."""
    with pytest.raises(NoSuchApproval):
        decide(bench)
    assert list(bench.store.list("")) == []


def test_taking_an_answer_leaves_carrying_it_out_to_the_caller(bench):
    """Slack waits three seconds: the answer is in the record at once, and its effects come when the caller says so."""
    bench.ask()
    entry = bench.cases.take(ID, APPROVE, who=ALICE, where=Where.FORM)
    assert bench.ledger.read(ID) == entry
    assert bench.engine.calls == []
    assert is_open(bench)
    assert bench.cases.carry_out(entry).approval.settlement is not None


def test_an_answer_is_recorded_within_four_requests(bench):
    """From the click to the record: one LIST, two GETs, one PUT; one GET and one PUT if the caller has just read it.

    The second GET is of the version before, to which the newest is held.
    """
    bench.ask()
    counted = CountedStore(bench.store)
    seen_by_engine = []

    class Engine(type(bench.engine)):
        def carry_out(self, approval):
            seen_by_engine.append(dict(counted.requests))
            return super().carry_out(approval)

    other = bench.on(counted)
    other.cases.engines = {gate().engine: Engine()}
    decide(other)
    assert seen_by_engine == [{"list": 1, "read": 2, "create": 1, "mark": 1}]  # the mark comes behind the record

    bench.ask(pathspec(run="18"))
    seen = other.ledger.read(pathspec(run="18").approval_id)
    counted.requests.clear()
    other.cases.take(seen.approval.id, APPROVE, who=ALICE, where=Where.BUTTON, seen=seen)
    assert counted.requests == {"read": 1, "create": 1, "mark": 1}
