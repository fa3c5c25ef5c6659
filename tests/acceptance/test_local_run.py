"""A gated step in real `python flow.py run` processes, answered with the flow's own commands."""

from __future__ import annotations

import json

import pytest

from metaflow_extensions.hitl.approvals.record import TrailEvent
from tests.fixtures.shapes import BRANCHES

LINEAR = """
@step
def start(self):
    self.accuracy = 0.9412
    self.next(self.deploy)

{decorators}
@step
def deploy(self):
    print("RUNS", type(self.hitl_input).__name__, sorted(self.hitl_input.items()), current.hitl.verdict)
    self.next(self.end)

@step
def end(self):
    pass
"""


def linear(decorators: str) -> str:
    return LINEAR.format(decorators=decorators)


def test_step_gets_typed_values_and_keeps_them_as_artifacts(flow):
    """What `hitl approve --set` brings reaches the step typed, and stays readable through Metaflow's client."""
    gated = flow(
        linear(
            '@hitl(message="Accuracy: {self.accuracy:.1%}. Deploy {flow} {run_id}?",'
            ' input_schema={"target": "str", "share": "int", "rate": "float", "dry": "bool", "day": "date"})'
        )
    )
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    assert approval.question.message == f"Accuracy: 94.1%. Deploy {gated.name} {approval.pathspec.run}?"
    values = ("target=staging", "share=7", "rate=0.5", "dry=no", "day=2026-11-24")
    answered = gated.hitl("approve", approval.id, *(part for value in values for part in ("--set", value)))
    assert answered.process.returncode == 0, answered.output
    assert run.wait() == 0, run.output
    values = (
        "[('day', datetime.date(2026, 11, 24)), ('dry', False), ('rate', 0.5), ('share', 7), ('target', 'staging')]"
    )
    assert run.wait_for_line("RUNS").endswith(f"RUNS dict {values} approved")
    decision = gated.data("deploy")["hitl_decision"]
    assert (decision["verdict"], decision["decided_by"], decision["approval_id"]) == ("approved", "alice", approval.id)
    assert decision["input"] == {"target": "staging", "share": 7, "rate": 0.5, "dry": False, "day": "2026-11-24"}


def test_any_object_is_input_without_a_schema(flow):
    """Without a schema `--input` hands any JSON object to the step."""
    gated = flow(linear("@hitl"))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    gated.hitl("approve", str(approval.pathspec), "--input", '{"deploy_target": "staging"}')
    assert run.wait() == 0, run.output
    assert "[('deploy_target', 'staging')]" in run.wait_for_line("RUNS")


@pytest.mark.parametrize("other", ["", "@retry(times=2, minutes_between_retries=0)\n", '@catch(var="oops")\n'])
def test_rejection_fails_the_run_at_once(flow, other):
    """A rejected step does not run, is not retried and is not caught; the error names who and why."""
    gated = flow(linear(other + "@hitl"))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    gated.approvals.reject(approval.id[: len("deploy-xxx")], reason="drift too high")
    assert run.wait() != 0, run.output
    assert 'was rejected by alice: "drift too high"' in run.output
    assert "RUNS" not in run.output
    assert run.output.count("/deploy/") > 0
    assert "attempt" not in run.output.lower() or "retry" not in run.output.lower().replace("not be retried", "")
    if not other:
        assert gated.data("deploy")["hitl_decision"]["verdict"] == "rejected"


def test_rejection_is_seen_by_a_step_that_continues(flow):
    """With on_reject="continue" the step runs and sees the verdict."""
    gated = flow(linear('@hitl(on_reject="continue", input_schema={"target": "str"})'))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    gated.approvals.reject(approval.id, reason="not today")
    assert run.wait() == 0, run.output
    assert run.wait_for_line("RUNS").endswith("RUNS dict [] rejected")


def test_waiting_takes_nothing_of_the_steps_timeout(flow):
    """A gate that waits longer than the step's own timeout does not time the step out."""
    gated = flow(linear('@timeout(seconds=6)\n@hitl(timeout="7s", on_timeout="approve")'))
    run = gated.start("run")
    assert run.wait() == 0, run.output
    assert "RUNS" in run.output


def test_nobody_answers(flow):
    """At the deadline the step fails, and says that nobody answered and in how long."""
    gated = flow(linear('@hitl(timeout="1s")'))
    run = gated.start("run")
    assert run.wait() != 0
    assert "expired: no one answered in 1 s" in run.output
    assert "RUNS" not in run.output


def test_a_retry_finds_the_answer(flow):
    """A step that fails after its gate is retried without a second question."""
    gated = flow("""
        @step
        def start(self):
            self.next(self.deploy)

        @retry(times=1, minutes_between_retries=0)
        @hitl
        @step
        def deploy(self):
            if current.retry_count == 0:
                raise RuntimeError("first attempt")
            print("RUNS", current.retry_count, current.hitl.decided_by)
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    gated.approvals.approve(approval.id)
    assert run.wait() == 0, run.output
    assert run.wait_for_line("RUNS").endswith("RUNS 1 alice")
    assert [entry.version.event for entry in gated.ledger.trail(approval.id)].count(TrailEvent.REQUESTED) == 1


def test_every_shard_and_the_join_have_gates_of_their_own(flow):
    """Four shards wait at once and want to share a message; the join sees `inputs`, and merge_artifacts works."""
    gated = flow("""
        @step
        def start(self):
            self.items = ["a", "b", "c", "d"]
            self.next(self.shard, foreach="items")

        @hitl(message="Shard {self.input}?", input_schema={"note": "str"})
        @step
        def shard(self):
            self.label = self.input + self.hitl_input["note"]
            self.next(self.join)

        @hitl(message="Join {inputs[0].label}{inputs[2].label}?")
        @step
        def join(self, inputs):
            self.names = sorted(i.label for i in inputs)
            self.merge_artifacts(inputs, exclude=["label"])
            print("RUNS", self.names)
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    run = gated.start("run")
    shards = gated.wait_for_approvals(4)
    assert sorted(approval.question.message for approval in shards) == [f"Shard {name}?" for name in "abcd"]
    assert all(approval.question.batch for approval in shards)
    for number, approval in enumerate(sorted(shards, key=lambda one: one.question.message)):
        gated.approvals.approve(approval.id, input={"note": f"{number}"})
    (join,) = gated.wait_for_approvals(1, lambda one: one.pathspec.step == "join")
    assert join.question.message == "Join a0c2?"
    gated.approvals.approve(join.id)
    assert run.wait() == 0, run.output
    assert "['a0', 'b1', 'c2', 'd3']" in run.wait_for_line("RUNS")


def test_start_and_two_branches_at_once(flow):
    """A gated start sees the parameters; two gated branches wait side by side, and one rejection fails the run."""
    gated = flow('model = Parameter("model", default="fraud")\n\n@hitl(message="Start {self.model}?")' + BRANCHES)
    run = gated.start("run")
    (start,) = gated.wait_for_approvals()
    assert start.question.message == "Start fraud?"
    gated.approvals.approve(start.id)
    left, right = sorted(gated.wait_for_approvals(2), key=lambda one: one.pathspec.step)
    gated.approvals.reject(left.id, reason="no")
    assert run.wait() != 0, run.output
    assert "RUNS right" not in run.output
    assert (
        gated.ledger.read(right.id).approval.closing is not None
        or gated.ledger.read(right.id).approval.decision is None
    )


def test_stopping_the_run_closes_the_question(flow):
    """After Ctrl-C nobody can answer any more, and who tries is told why."""
    gated = flow(linear("@hitl"))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    run.wait_for_line("Waiting for approval")
    run.interrupt()
    run.wait()
    late = gated.hitl("approve", approval.id)
    assert late.process.returncode != 0, run.output
    # The task says that the run was stopped, or the run says that it ended: whoever of the two comes to it first.
    assert "can no longer be answered: the run" in late.output


@pytest.mark.parametrize(
    ("decorators", "words"),
    [
        ('@hitl(timeout="soon")', ["'soon' is not a valid `timeout`", '"1h30m"']),
        ('@hitl(on_timeout="maybe")', ["'maybe' is not a valid `on_timeout`", '"approve", "reject", "notify"']),
        ('@hitl(input_schema={"target": "strng"})', ["target", "str"]),
        ('@hitl(message="{self.accuracy")', ["deploy", "is not a valid format string"]),
        ("@hitl(timeuot=3)", ["timeuot", "timeout"]),
    ],
)
def test_a_bad_argument_is_refused_when_the_flow_is_loaded(flow, decorators, words):
    """Nothing runs; the error names the argument and what it accepts."""
    run = flow(linear(decorators)).call("run")
    assert run.process.returncode != 0
    assert "Task is starting" not in run.output
    assert all(word in run.output for word in words), run.output


def test_a_missing_artifact_fails_the_step(flow):
    """The error names the artifact and the template, and nothing was asked."""
    gated = flow(linear('@hitl(message="Accuracy {self.acuracy}?")'))
    run = gated.start("run")
    assert run.wait() != 0
    assert "'acuracy'" in run.output
    assert "Accuracy {self.acuracy}?" in run.output
    assert list(gated.ledger.open_ids()) == []


def test_commands_answer_and_refuse_in_words(flow):
    """`hitl list` and `verify` say how things are; what can't be done says what to do, and changes nothing."""
    gated = flow(linear('@hitl(input_schema={"share": {"type": "int", "min": 1, "max": 100}})'))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    listed = json.loads("\n".join(gated.hitl("list", "--json").lines[1:]))
    assert [set(one) >= {"id", "pathspec", "state", "message", "requested_at", "deadline"} for one in listed] == [True]
    assert listed[0]["state"] == "pending"
    refused = gated.hitl("approve", approval.id, "--set", "share=101")
    assert refused.process.returncode != 0, refused.output
    assert "100" in refused.output
    assert gated.ledger.read(approval.id).approval == approval
    assert gated.hitl("approve", approval.id, "--set", "share=10").process.returncode == 0
    other = gated.hitl("reject", approval.id, "--reason", "changed my mind")
    assert "was approved by alice" in other.output
    assert other.process.returncode != 0
    assert run.wait() == 0, run.output
    assert gated.hitl("verify", approval.id).process.returncode == 0
    everything = json.loads("\n".join(gated.hitl("list", "--all", "--json").lines[1:]))
    assert [one["state"] for one in everything] == ["approved"]
    version = gated.folder / ".metaflow" / "hitl" / "approvals" / approval.id / "00001.json"
    version.chmod(0o644)
    version.write_bytes(version.read_bytes().replace(b"alice", b"mallo"))
    broken = gated.hitl("verify", approval.id)
    assert broken.process.returncode != 0
    assert "can't be trusted" in broken.output
