"""`metaflow_hitl.testing` as the author of a flow uses it, and why it can't answer for anybody in production."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import EngineKind, Gate, Origin, Person, State
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.slack import FORM
from metaflow_extensions.hitl.stores import open_store
from metaflow_hitl.testing import GateAnswers, NotATest
from tests.fixtures.approvals import Bench, pathspec

FLOW = """
from metaflow import FlowSpec, current, hitl, step


class TrainFlow(FlowSpec):
    @step
    def start(self):
        self.shards = ["a", "b"]
        self.next(self.check, foreach="shards")

    @hitl(message="Check {self.input}?", approvers=["@ml-leads", "rita@example.com"], quorum=2,
          allow_self_approval=False)
    @step
    def check(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.deploy)

    @hitl(input_schema={"target": "str", "share": {"type": "int", "max": 100}}, notifier="slack")
    @step
    def deploy(self):
        print("DEPLOYED", self.hitl_input, current.hitl.decided_by)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TrainFlow()
"""


def asked(answers: GateAnswers, **parts):
    """Ask as a run does, and wait until it is answered."""
    world = Bench(store=open_store(answers.environment["METAFLOW_HITL_ROOT"]))
    requester = Person(id="rita", name="rita", origin=Origin.CLAIM)
    question = Question(message="Go?", **parts)
    found = world.cases.ask(
        pathspec(step=parts.pop("step", "deploy")), question, Gate(engine=EngineKind.LOCAL), requester
    )
    while True:
        entry = world.ledger.read(found.approval.id)
        newer = world.ledger.read_version(found.approval.id, entry.number + 1)
        if newer is None and entry.approval.settlement is not None:
            return entry.approval


def test_a_gated_flow_runs_without_a_person_and_without_a_bot(tmp_path):
    """A quorum of named people and a form are met as the test prepared it, in a real run, and nobody is reached."""
    (tmp_path / "flow.py").write_text(FLOW)
    with GateAnswers() as answers:
        answers.approve("check")
        answers.approve("deploy", input=lambda approval: {"target": approval.pathspec.flow, "share": 7})
        done = answers.run(tmp_path / "flow.py")
        assert done.returncode == 0, done.stdout
        assert "DEPLOYED {'target': 'TrainFlow', 'share': 7} metaflow_hitl.testing" in done.stdout
        assert sorted(one.question.message for one in answers.asked)[:2] == ["Check a?", "Check b?"]
        assert not (tmp_path / ".metaflow").exists()  # what ran is forgotten with the test


def test_a_question_that_nothing_is_prepared_for_fails_at_once():
    """It is rejected in words, so that a test never waits for a person."""
    with GateAnswers() as answers:
        answers.approve("other")
        approval = asked(answers)
    assert approval.state is State.REJECTED
    assert approval.decision.reason == "metaflow_hitl.testing: no answer is prepared for the step deploy"


def test_a_prepared_answer_that_does_not_fit_is_refused_as_a_person_s():
    """The reason has the words that the person would have read."""
    with GateAnswers() as answers:
        answers.approve(input={"share": 500})
        approval = asked(answers, schema=normalise({"share": {"type": "int", "max": 100}}, FORM))
    assert approval.state is State.REJECTED
    assert "share must be a whole number at most 100" in approval.decision.reason


def test_what_was_prepared_last_counts():
    """A general answer first, an exception after it."""
    with GateAnswers() as answers:
        answers.approve()
        answers.reject("deploy", reason="drift")
        assert asked(answers).decision.reason == "drift"


def test_every_record_says_that_the_helper_decided():
    """The person is of no chat system that anybody has, and is named after the helper."""
    with GateAnswers() as answers:
        answers.approve()
        by = asked(answers).decision.by
    assert (by.origin, by.name) == ("testing", "metaflow_hitl.testing")


def test_it_takes_no_store_and_leaves_none():
    """There is no way to point it at a bucket: it makes a folder of its own, and removes it."""
    assert list(inspect.signature(GateAnswers).parameters) == []
    with GateAnswers() as answers:
        root = Path(answers.environment["METAFLOW_HITL_ROOT"])
        assert root.parent.is_dir()
    assert not root.parent.exists()


@pytest.mark.parametrize("name", ["METAFLOW_KUBERNETES_WORKLOAD", "AWS_BATCH_JOB_ID", "ARGO_WORKFLOW_NAME"])
def test_it_does_not_work_where_a_task_runs(name, monkeypatch):
    """In a container of a flow it refuses, whoever imports it."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(NotATest, match="runs a task of a flow"):
        GateAnswers()


def test_its_environment_reaches_nobody(monkeypatch):
    """Tokens, webhooks, mail and keys of this machine are empty there, wherever they were set."""
    monkeypatch.setenv("METAFLOW_HITL_SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("METAFLOW_HITL_PUBLIC_KEYS", "hitl-ed25519:…")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-2")
    monkeypatch.setenv("METAFLOW_HITL_ROOT", "s3://production/hitl")
    with GateAnswers() as answers:
        env = answers.environment
        assert (env["METAFLOW_HITL_SLACK_BOT_TOKEN"], env["SLACK_BOT_TOKEN"], env["METAFLOW_HITL_PUBLIC_KEYS"]) == (
            "",
            "",
            "",
        )
        assert "production" not in env["METAFLOW_HITL_ROOT"]
        assert os.environ["METAFLOW_HITL_ROOT"] == "s3://production/hitl"  # this process is as it was


def test_the_fixture_is_there_for_who_asks_for_it(tmp_path):
    """One line in conftest.py; without it no test run has the fixture."""
    test = """
        import os

        def test_environment(gate_answers):
            assert os.environ["METAFLOW_HITL_ROOT"] == gate_answers.environment["METAFLOW_HITL_ROOT"]
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    without = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "fixture 'gate_answers' not found" in without.stdout
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["metaflow_hitl.pytest_plugin"]\n')
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
