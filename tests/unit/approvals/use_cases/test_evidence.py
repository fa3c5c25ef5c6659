"""Comparing with the last approval, deciding by rule, and opening a gate only for what was approved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.evidence.binding import check_same, plain, question_digest
from metaflow_extensions.hitl.approvals.evidence.collected import Artifacts, Code, Evidence, Metric, Plot
from metaflow_extensions.hitl.approvals.question import Automatic, OnReject, PolicyRule, RuleMode, Shard
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Origin, State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, NotAsApproved, Rejected, Stale
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import BOB, CAROL, Bench, pathspec
from tests.fixtures.watched_stores import WatchedStore

YES = Answer(verdict=Verdict.APPROVE)
NO = Answer(verdict=Verdict.REJECT, reason="not yet")
RULE = "accuracy >= 0.95 and abs(delta.accuracy) < 0.01"


def measured(accuracy: Any, **parts: Any) -> Evidence:
    return Evidence(metrics=(Metric(name="accuracy", value=accuracy),), **parts)


def ask(bench: Bench, run: str, accuracy: Any = 0.96, **parts: Any) -> Approval:
    bench.clock.forward(1)
    return bench.ask(pathspec(run=run), evidence=parts.pop("evidence", measured(accuracy)), **parts)


def answer(bench: Bench, asked: Approval, said: Answer = YES, who: Any = BOB) -> Approval:
    return bench.cases.decide(asked.id, said, who=who, where=Where.BUTTON).approval


# What changed since the last yes.


def test_a_question_is_compared_with_the_last_approval_of_its_step(bench: Bench) -> None:
    """Not with a rejected run after it, nor with another step; the first time with nothing."""
    first = ask(bench, "1", 0.9)
    assert first.question.evidence is not None
    assert first.question.evidence.baseline is None
    answer(bench, first)
    answer(bench, ask(bench, "2", 0.5), NO)
    answer(bench, bench.ask(pathspec(run="2", step="other"), evidence=measured(0.1)))
    third = ask(bench, "3", 0.95).question.evidence
    assert third is not None
    assert third.baseline is not None
    assert (third.baseline.run, third.baseline.metrics) == ("1", {"accuracy": 0.9})


def test_a_last_approval_that_can_not_be_read_is_passed_over(bench: Bench) -> None:
    """A damaged record, or one that is gone, costs the comparison with it: the one before takes its place."""
    for run in ("1", "2", "3"):
        answer(bench, ask(bench, run, float(run)))
    store = bench.store
    for run, body in (("2", b"damaged"), ("3", None)):
        for key in list(store.list(bucket.versions_folder(pathspec(run=run).approval_id))):
            store.unmark(key)
            if body is not None:
                store.create(key, body)
    asked = ask(bench, "4").question.evidence
    assert asked is not None
    assert asked.baseline is not None
    assert (asked.baseline.run, asked.baseline.metrics) == ("1", {"accuracy": 1.0})


def test_a_shard_is_compared_with_the_shard_that_worked_on_the_same(bench: Bench) -> None:
    """Austria with Austria, whatever place it has in the foreach."""
    for task, value in enumerate(("Austria", "Belgium")):
        asked = bench.ask(pathspec(task=str(task)), evidence=measured(task), shard=Shard(place=(task,), value=value))
        answer(bench, asked)
    later = bench.ask(pathspec(run="18"), evidence=measured(0.9), shard=Shard(place=(7,), value="Austria"))
    assert later.question.evidence is not None
    assert later.question.evidence.baseline is not None
    assert later.question.evidence.baseline.metrics == {"accuracy": 0}


def test_the_comparison_costs_three_requests_whatever_the_history_holds() -> None:
    """One LIST of the index, one LIST and one GET of the approval, behind a thousand rejections too."""
    requests: list[str] = []
    bench = Bench(store=WatchedStore(MemoryStore(), lambda request, _: requests.append(request)))
    answer(bench, ask(bench, "1"))
    for number in range(100):
        answer(bench, ask(bench, f"no-{number}"), NO)
    requests.clear()
    bench.ask(pathspec(run="a"))
    plain = len(requests)
    requests.clear()
    bench.ask(pathspec(run="b"), evidence=measured(0.9))
    assert len(requests) - plain == 3


def test_a_marker_that_leads_to_nothing_is_passed_over(bench: Bench) -> None:
    """An index only says where to look: a false marker costs requests, never a comparison with a rejection."""
    answer(bench, ask(bench, "1", 0.9))
    rejected = ask(bench, "2", 0.5)
    answer(bench, rejected, NO)
    folder = next(key for key in bench.store.list("approved/")).rsplit("/", 1)[0]
    bench.store.mark(f"{folder}/0000000000000001-{rejected.id}")
    bench.store.mark(f"{folder}/0000000000000002-gate-00000000000")
    found = ask(bench, "3").question.evidence
    assert found is not None
    assert found.baseline is not None
    assert found.baseline.run == "1"


# Bound to the evidence.

SEALED = Trust.of((), SigningKeys([PrivateKey(bytes(range(32)))]))
APPROVED = Evidence(
    parameters={"rate": "0.01"}, code=Code(package="a" * 40), artifacts=Artifacts.of({"model": "m1", "data": "d1"})
)


def test_the_gate_opens_for_what_was_approved(bench: Bench) -> None:
    """The same artifacts, parameters and code; the decision says which question it answers."""
    approved = answer(bench, ask(bench, "1", evidence=APPROVED))
    assert approved.decision is not None
    assert approved.decision.question_digest == question_digest(approved)
    assert check_same(approved, APPROVED, bench.clock()) is approved


@pytest.mark.parametrize(
    "trust", [OPEN, Trust.of((), SigningKeys([PrivateKey(bytes(range(32)))]))], ids=["open", "sealed"]
)
@pytest.mark.parametrize(
    ("found", "named"),
    [
        (replace(APPROVED, artifacts=Artifacts.of({"model": "m2", "data": "d1"})), "artifact model"),
        (replace(APPROVED, artifacts=Artifacts.of({"data": "d1"})), "artifact model"),
        (replace(APPROVED, parameters={"rate": "0.02"}), "parameter rate"),
        (replace(APPROVED, code=Code(package="b" * 40)), "the code package"),
        (Evidence(), "all artifacts"),
    ],
)
def test_the_gate_refuses_what_was_not_approved_and_names_it(found: Evidence, named: str, trust: Trust) -> None:
    """Swapped between the question and the gate: the step does not run, whoever signed the answer."""
    bench = Bench(trust=trust)
    approved = answer(bench, ask(bench, "1", evidence=APPROVED))
    with pytest.raises(NotAsApproved, match=named):
        check_same(approved, found, bench.clock())


def test_pictures_are_part_of_the_question(bench: Bench) -> None:
    """One more is another question. Without any, the hash does not speak of them: it is that of a release before."""
    asked = ask(bench, "1", evidence=APPROVED)
    other = replace(APPROVED, plots=(Plot(name="ROC", sha256="0" * 64),))
    assert question_digest(replace(asked, question=replace(asked.question, evidence=other))) != question_digest(asked)
    assert "plots" not in plain(asked.question)["evidence"]


def test_the_gate_refuses_an_answer_to_another_question(bench: Bench) -> None:
    """Whoever changes the question after the answer opens nothing."""
    approved = answer(bench, ask(bench, "1", evidence=APPROVED))
    other = replace(approved, question=replace(approved.question, message="Delete everything?"))
    with pytest.raises(NotAsApproved, match="the question changed since"):
        check_same(other, APPROVED, bench.clock())


def test_an_approval_is_valid_for_as_long_as_the_step_says(bench: Bench) -> None:
    """Later the gate refuses, and also where the approval is from a time that has not come."""
    approved = answer(bench, ask(bench, "1", evidence=APPROVED, valid_for=7_200))
    bench.clock.forward(7_200)
    check_same(approved, APPROVED, bench.clock())
    bench.clock.forward(1)
    with pytest.raises(Stale, match="an approval of this step is valid for 2 h"):
        check_same(approved, APPROVED, bench.clock())
    bench.clock.forward(-7_200 - 400)
    with pytest.raises(Stale, match="which is in the future here"):
        check_same(approved, APPROVED, bench.clock())


# Approved by rule.


def test_the_first_run_is_left_to_people_and_says_why(bench: Bench) -> None:
    """Without anything to compare with, the rule has no answer, and that is no yes."""
    asked = ask(bench, "1", auto_approve=RULE)
    assert asked.state is State.PENDING
    assert asked.judgement is not None
    assert (asked.judgement.holds, asked.judgement.why) == (
        None,
        "delta.accuracy has no value: no earlier approval was found",
    )


def test_a_rule_that_holds_approves_as_anybody_would(bench: Bench) -> None:
    """A decision like any other: on record, carried out, and next time it is what to compare with."""
    answer(bench, ask(bench, "1", 0.955, auto_approve=RULE))
    by_rule = ask(bench, "2", 0.96, auto_approve=RULE)
    assert by_rule.state is State.APPROVED
    assert by_rule.decision is not None
    assert (by_rule.decision.by.origin, by_rule.decision.where) == (Origin.RULE, Where.RULE)
    assert by_rule.decision.by.name == f"the rule {RULE}"
    assert by_rule.id in bench.engine.released
    bench.ledger.verify(by_rule.id)
    check_same(by_rule, measured(0.96), bench.clock())
    third = ask(bench, "3", 0.5, auto_approve=RULE)
    assert third.judgement is not None
    assert (third.state, third.judgement.why) == (State.PENDING, "it does not hold")


def test_a_rule_on_trial_only_takes_note(bench: Bench) -> None:
    """What it would have done stays in the record beside what people did."""
    asked = ask(bench, "1", auto_approve="accuracy > 0.9", auto_approve_mode=RuleMode.SHADOW)
    assert asked.state is State.PENDING
    rejected = answer(bench, asked, NO)
    assert rejected.judgement is not None
    assert rejected.judgement.approves
    assert rejected.judgement.mode is RuleMode.SHADOW


@pytest.mark.parametrize(
    ("automatic", "mode", "why"),
    [
        (Automatic.REFUSED, RuleMode.DECIDE, "the rule “p” of the operator's policy requires people to decide"),
        (Automatic.SHADOW, RuleMode.SHADOW, ""),
    ],
)
def test_the_operator_can_forbid_rules_or_put_them_on_trial(
    bench: Bench, automatic: Automatic, mode: RuleMode, why: str
) -> None:
    """The stricter of the step and the policy holds."""
    bench.policy.rule = PolicyRule(name="p", automatic=automatic)
    asked = ask(bench, "1", auto_approve="accuracy > 0.9")
    assert asked.state is State.PENDING
    assert asked.judgement is not None
    assert (asked.judgement.mode, asked.judgement.why) == (mode, why)


def test_where_a_bot_is_expected_the_bot_judges(bench: Bench) -> None:
    """Only it knows the operator's policy: the run records the question, and its sweeper lets the rule speak."""
    asked = ask(bench, "1", auto_approve="accuracy > 0.9", notifiers=("slack",))
    assert (asked.state, asked.judgement) == (State.PENDING, None)
    judged = bench.cases.judge(bench.ledger.read(asked.id)).approval
    assert judged.state is State.APPROVED


def test_a_yes_by_rule_that_does_not_follow_from_the_record_opens_nothing(bench: Bench) -> None:
    """The gate asks the condition again: a planted decision, or another value, is refused."""
    approved = ask(bench, "1", auto_approve="accuracy > 0.9")
    assert approved.state is State.APPROVED
    planted = replace(approved, question=replace(approved.question, evidence=measured(0.5)))
    with pytest.raises(NotAsApproved, match="the rule's condition"):
        check_same(planted, measured(0.5), bench.clock())
    nobody_judged = replace(approved, judgement=None)
    with pytest.raises(NotAsApproved, match="the rule's condition"):
        check_same(nobody_judged, measured(0.96), bench.clock())


@pytest.mark.parametrize(("accuracy", "quorum"), [(0.95, 1), (0.85, 2), (None, 2)])
def test_a_condition_can_ask_for_more_people(bench: Bench, accuracy: float | None, quorum: int) -> None:
    """Where it holds, and where nobody can say whether it does."""
    asked = ask(bench, "1", accuracy, quorum_if={"accuracy < 0.9": 2})
    assert asked.requirements.quorum == quorum
    decided = answer(bench, asked)
    assert (decided.state is State.APPROVED) is (quorum == 1)
    if quorum == 2:
        assert answer(bench, asked, who=CAROL).state is State.APPROVED


# A newer run.


def test_a_newer_runs_question_takes_the_place_of_the_older(bench: Bench) -> None:
    """To the older run that is a rejection: it is carried out, and its gate says which run took its place."""
    older = ask(bench, "1", supersede=True)
    newer = ask(bench, "2", supersede=True)
    ended = bench.ledger.read(older.id).approval
    assert (ended.state, newer.state) == (State.SUPERSEDED, State.PENDING)
    assert ended.settlement is not None
    assert older.id in bench.engine.refused
    with pytest.raises(Rejected, match="was superseded: run 2 asks the same"):
        bench.cases.open_gate(ended.pathspec)
    with pytest.raises(AlreadyDecided, match=f"was superseded .* run 2 asks the same, in {newer.id}. Answer that one"):
        answer(bench, older, who=CAROL)
    bench.ledger.verify(older.id)


def test_only_what_wants_it_is_superseded(bench: Bench) -> None:
    """Not a question without `supersede`, another step's, another shard's, or one of the same run."""
    kept = [
        ask(bench, "1"),
        bench.ask(pathspec(run="1", step="other"), supersede=True),
        bench.ask(pathspec(run="1", task="7"), supersede=True, shard=Shard(place=(0,), value="Austria")),
        bench.ask(pathspec(run="2", task="8"), supersede=True),
    ]
    ask(bench, "2", supersede=True)
    assert [bench.ledger.read(one.id).approval.state for one in kept] == [State.PENDING] * 4


def test_of_two_newer_runs_the_newest_stays(bench: Bench) -> None:
    """Whichever of them looks last: an older one that finds a newer one lets itself go."""
    first = ask(bench, "1", supersede=True)
    second = ask(bench, "2", supersede=True)
    third = ask(bench, "3", supersede=True)
    bench.cases._supersede_older(second)  # as if it had been slow
    states = [bench.ledger.read(one.id).approval.state for one in (first, second, third)]
    assert states == [State.SUPERSEDED, State.SUPERSEDED, State.PENDING]
    assert all(third.id in key for key in bench.store.list("asked/"))


@pytest.mark.parametrize("slow", [0, 1])
def test_of_two_newer_runs_that_ask_in_the_same_moment_one_stays(bench: Bench, slow: int) -> None:
    """Both find the older one and each other, in whichever order: never both, and never none."""
    older = ask(bench, "1", supersede=True)
    both = [bench.ask(pathspec(run=run), supersede=True) for run in ("2", "3")]
    for one in (both[slow], both[1 - slow]):
        bench.cases._supersede_older(bench.ledger.read(one.id).approval)
    assert both[0].requested_at == both[1].requested_at
    states = sorted(bench.ledger.read(one.id).approval.state for one in (older, *both))
    assert states == [State.PENDING, State.SUPERSEDED, State.SUPERSEDED]


def test_a_step_that_continues_when_rejected_continues_when_superseded(bench: Bench) -> None:
    """Its run ends as a rejection does, so `on_reject` says how."""
    older = ask(bench, "1", supersede=True, on_reject=OnReject.CONTINUE)
    ask(bench, "2", supersede=True)
    assert bench.cases.open_gate(older.pathspec).state is State.SUPERSEDED
