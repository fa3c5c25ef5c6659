"""Which answer a resumed run may go on with: one to the same question, that nothing has started by."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest

from metaflow_extensions.hitl.approvals.errors import NoSuchApproval
from metaflow_extensions.hitl.approvals.evidence.collected import Artifacts, Code, Evidence
from metaflow_extensions.hitl.approvals.record import Answer, Pathspec, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NotAsApproved
from tests.fixtures.approvals import ALICE, Bench, pathspec, question

EVIDENCE = Evidence(
    parameters={"alpha": "0.1"}, code=Code(commit="4f2c1d9"), artifacts=Artifacts.of({"model": "a1", "data": "b2"})
)
APPROVE = Answer(verdict=Verdict.APPROVE)
REJECT = Answer(verdict=Verdict.REJECT, reason="Not yet.")


@pytest.fixture(scope="module")
def resuming():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.resuming")


def task(run: str, number: str = "7", origin: str | None = "17") -> SimpleNamespace:
    path = Pathspec(flow="TrainFlow", run=run, step="deploy", task=number)
    return SimpleNamespace(
        flow=SimpleNamespace(name="TrainFlow"), step="deploy", run_id=run, pathspec=path, origin_run=origin
    )


@pytest.fixture
def bench(resuming) -> Bench:
    """Run 17 has asked."""
    bench = Bench()
    asked = bench.ask(evidence=EVIDENCE, timeout=3_600, valid_for=600)
    resuming.note_question(bench.store, task("17", "42", None), asked)
    return bench


def found(resuming, bench, *, run="18", **parts):
    asked = question(
        notifiers=("elsewhere",), tags=("x",), **{"evidence": EVIDENCE, "timeout": 3_600, "valid_for": 600, **parts}
    )
    return resuming.find_earlier(bench.cases, task(run), asked, asked)


def answer(bench, given):
    bench.cases.decide(pathspec().approval_id, given, who=ALICE, where=Where.BUTTON)


def test_an_open_question_is_taken_over(resuming, bench):
    """It is not asked a second time, by however many runs."""
    assert found(resuming, bench).id == found(resuming, bench, run="19").id == pathspec().approval_id


def test_an_answer_is_used_once(resuming, bench):
    """The first run that resumes goes on with it, also when its task is tried again; the next one asks."""
    answer(bench, APPROVE)
    assert found(resuming, bench).decision is not None
    assert found(resuming, bench) is not None
    assert found(resuming, bench, run="19") is None


def test_an_answer_by_which_code_ran_is_not_used_again(resuming, bench):
    """The run itself went on with it before it failed."""
    answer(bench, APPROVE)
    resuming.start(bench.store, bench.ledger.read(pathspec().approval_id).approval, task("17", "42", None))
    assert found(resuming, bench) is None
    with pytest.raises(resuming.StartedElsewhere, match="has already started TrainFlow/17/deploy/42"):
        resuming.start(bench.store, bench.ledger.read(pathspec().approval_id).approval, task("18"))


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("TrainFlow/99/deploy/1", "has already started TrainFlow/99/deploy/1, as {} says"),
        ("TrainFlow/99/train/1", "is noted as used in {}, but 'TrainFlow/99/train/1' is not a task of this step"),
        ("", "is noted as used in {}, but '' is not a task of this step"),
    ],
)
def test_who_finds_a_planted_note_reads_which_object_it_is(resuming, bench, planted, said):
    """The sentence names the object, says that somebody else may have written it, and what to do."""
    asked = bench.ledger.read(pathspec().approval_id).approval
    bench.store.create(f"started/{asked.id}", planted.encode())
    with pytest.raises(resuming.StartedElsewhere) as raised:
        resuming.start(bench.store, asked, task("17", "42", None))
    told = str(raised.value)
    assert said.format(f"{bench.store.url}/started/{asked.id}") in told
    assert "somebody else wrote that object: tell the bot's operator. This step does not run." in told
    assert told.endswith("To ask again, resume this run or start a new one.")


@pytest.mark.parametrize(
    "other",
    [
        {"message": "Accuracy: 12.0%. Deploy?"},
        {"approvers": ("@risk",)},
        {"quorum": 2},
        {"schema": {"type": "object"}},
        {"evidence": replace(EVIDENCE, artifacts=Artifacts.of({"model": "a2", "data": "b2"}))},
        {"evidence": replace(EVIDENCE, parameters={"alpha": "0.2"})},
        {"evidence": replace(EVIDENCE, code=Code(commit="0000000"))},
        {"evidence": None},
    ],
)
def test_another_question_is_asked(resuming, bench, other):
    """Words, people, form, artifacts, parameters and commit have to be those that were approved."""
    answer(bench, APPROVE)
    assert found(resuming, bench, **other) is None


def test_what_is_not_a_yes_of_a_person_is_asked_again(resuming, bench):
    """A rejection is final for its own run alone."""
    answer(bench, REJECT)
    assert found(resuming, bench) is None


@pytest.mark.parametrize("seconds", [601, 3_600])
def test_neither_a_stale_answer_nor_one_of_the_clock_is_used(resuming, bench, seconds):
    """An approval is used as long as `valid_for` says, and a question as long as it is open."""
    if seconds < 3_600:
        answer(bench, APPROVE)
    bench.clock.forward(seconds)
    assert found(resuming, bench) is None


def test_a_join_compares_what_comes_in_and_not_from_which_task(resuming, bench):
    """A resumed run's tasks have ids of their own."""
    then = replace(EVIDENCE, artifacts=Artifacts.of({"a/1/x": "k1", "a/2/x": "k2"}))
    resuming.check_taken_over(
        replace(bench.ledger.read(pathspec().approval_id).approval, question=question(evidence=then)),
        replace(EVIDENCE, artifacts=Artifacts.of({"a/8/x": "k2", "a/9/x": "k1"})),
    )
    with pytest.raises(NotAsApproved, match="artifact"):
        resuming.check_taken_over(
            replace(bench.ledger.read(pathspec().approval_id).approval, question=question(evidence=then)),
            replace(EVIDENCE, artifacts=Artifacts.of({"a/8/x": "k2", "a/9/x": "k3"})),
        )


def test_a_container_finds_what_its_launcher_took_over(resuming, bench):
    """A pod of a resumed run opens by the earlier run's record, if its launcher took that over; no other does."""
    answer(bench, APPROVE)
    taken = found(resuming, bench)
    with pytest.raises(NoSuchApproval):
        resuming.open_in_container(bench.cases, task("18"))
    resuming.note_question(bench.store, task("18"), taken)
    assert resuming.open_in_container(bench.cases, task("18")).id == taken.id
    resuming.note_question(bench.store, task("19"), taken)
    with pytest.raises(resuming.StartedElsewhere):
        resuming.open_in_container(bench.cases, task("19"))
