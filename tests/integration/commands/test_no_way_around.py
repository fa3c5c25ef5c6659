"""Every Metaflow command, hook and decorator order: a gated step asks, or is refused. It never runs unasked."""

from __future__ import annotations

import re

import pytest

from hitl_bot.keys import PrivateKey
from tests.fixtures.s3 import make_client

LINEAR = """
@step
def start(self):
    self.next(self.deploy)

{decorators}
@step
def deploy(self):
    print("DEPLOY RUNS")
    self.next(self.end)

@step
def end(self):
    print("END RUNS")
"""
# What each command of Metaflow's does with a gated step. A command that isn't here fails the test that reads this.
ASKS = {"run", "resume", "step"}
REFUSES = {"spin", "spin-step", "airflow", "step-functions"}
GATES_COMPILED = {"argo-workflows"}
ASKED_BEFORE_IT = {"kubernetes", "batch"}  # the launching machine waits, the pod only looks for the answer
RUNS_NO_STEP = {
    "card", "check", "clean", "code", "dump", "environment", "help", "hitl", "init", "logs", "output-dot",
    "output-raw", "package", "show", "show-conda", "spot-metadata", "tag", "version",
}  # fmt: skip
# The settings of each mode: sealed, flows know a bot's key.
SETTINGS = {False: {}, True: {"METAFLOW_HITL_PUBLIC_KEYS": str(PrivateKey.new().public_key)}}
FAULTS = {
    "a typo in the message": ("@hitl(message='{self.acuracy}')", {}),
    "an address that can't be": ("@hitl", {"METAFLOW_HITL_UI_URL": "https://example.com/{nothing}"}),
    "records that can't be read": ("@hitl", {"METAFLOW_HITL_ROOT": "/proc/nowhere"}),
}


def linear(decorators):
    return LINEAR.format(decorators=decorators)


def test_every_command_is_known(flow):
    """A command of Metaflow's that this project has never seen has to be judged before anybody relies on a gate."""
    listed = flow(linear("@hitl")).call("--help").output.split("Commands:")[1]
    commands = set(re.findall(r"^  ([a-z][a-z-]*)", listed, re.MULTILINE))
    assert commands - ASKS - REFUSES - GATES_COMPILED - ASKED_BEFORE_IT - RUNS_NO_STEP == set()


@pytest.mark.way("lets something fail before the answer, with `@catch` or `@retry`")
@pytest.mark.parametrize(
    ("fault", "others", "is_sealed"),
    [
        ("a typo in the message", "@catch(var='error')\n{}", "open"),
        ("an address that can't be", "{}\n@catch(var='error')", "sealed"),
        ("records that can't be read", "@retry(times=2)\n@catch(var='error')\n{}", "open"),
        ("a typo in the message", "@retry(times=2)\n{}", "sealed"),
    ],
    indirect=["is_sealed"],
)
def test_what_goes_wrong_before_an_answer_refuses_the_step(flow, fault, others, is_sealed, attempts):
    """Nothing of it is retried, or caught as if the step had failed: the run fails, and neither step runs."""
    decorator, settings = FAULTS[fault]
    run = flow(linear(others.format(decorator)), **settings, **SETTINGS[is_sealed]).call("run")
    assert run.process.returncode != 0
    assert not attempts.tried(opened="DEPLOY RUNS" in run.output)
    assert "END RUNS" not in run.output
    assert run.output.count("Task is starting") == 2


def test_a_hook_that_fails_before_the_gate_refuses_the_step(flow):
    """Also where @catch would take another decorator's failure for the step's own."""
    above = """
    from metaflow.plugins.environment_decorator import EnvironmentDecorator

    def broken(self, *args, **kwargs):
        raise ValueError("broken hook")

    EnvironmentDecorator.task_pre_step = broken
    # As a decorator of another package might: in front of everything, also of the gate.
    from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator
    first = HitlDecorator.step_init
    def last(self, flow, graph, step, decorators, *rest):
        first(self, flow, graph, step, decorators, *rest)
        decorators.sort(key=lambda one: one.name != "environment")
    HitlDecorator.step_init = last

    """
    gated = flow(linear("@hitl\n@environment(vars={'A': 'b'})\n@catch(var='error')"), above=above)
    run = gated.call("run")
    assert run.process.returncode != 0
    assert "broken hook" in run.output
    assert "END RUNS" not in run.output


@pytest.mark.way("runs the step by hand, or with `spin`")
def test_a_step_started_by_hand_asks_and_spin_is_refused(flow, is_sealed, attempts):
    """`step` is what Metaflow itself types for each task; `spin` skips decorators, so it runs no gated step."""
    # Nobody answers here, and a task that leaves its question behind doesn't wait for that.
    gated = flow(linear("@hitl"), METAFLOW_HITL_LOCAL="leave", **SETTINGS[is_sealed])
    run = gated.call("run")
    ((run_id, task_id),) = re.findall(r"(\d+)/deploy/(\d+) \(pid", run.output)[:1]
    step = gated.call("step", "deploy", "--run-id", run_id, "--task-id", "77", "--input-paths", f"{run_id}/start/1")
    assert step.process.returncode != 0
    assert not attempts.tried(opened="DEPLOY RUNS" in step.output)
    for options in ([], ["--skip-decorators"]):
        spun = gated.call("spin", f"{gated.name}/{run_id}/deploy/{task_id}", *options)
        assert spun.process.returncode != 0
        assert not attempts.tried(opened="DEPLOY RUNS" in spun.output)
        assert "`spin` skips" in spun.output


@pytest.mark.way("deploys with `airflow` or `step-functions`")
@pytest.mark.parametrize(
    ("command", "static", "is_sealed"),
    [
        (("airflow", "create", "dag.py"), True, "sealed"),
        (("step-functions", "create", "--only-json"), False, "open"),
    ],
    indirect=["is_sealed"],
)
def test_deployments_without_gates_are_refused(flow, moto_endpoint, command, static, is_sealed, attempts):
    """Nobody would ever be asked there: the error names the step, the command and what to do."""
    make_client(moto_endpoint).create_bucket(Bucket="elsewhere")
    gated = flow(
        linear("@hitl" if static else ""),
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=moto_endpoint,
        METAFLOW_S3_ENDPOINT_URL=moto_endpoint,
        METAFLOW_DATASTORE_SYSROOT_S3="s3://elsewhere/root",
        METAFLOW_SFN_IAM_ROLE="role",
        METAFLOW_ECS_S3_ACCESS_IAM_ROLE="role",
        METAFLOW_BATCH_JOB_QUEUE="queue",
        METAFLOW_DEFAULT_METADATA="service",
        METAFLOW_SERVICE_URL="http://127.0.0.1:9",
        **SETTINGS[is_sealed],
    )
    options = [] if static else ["--with", "hitl"]
    made = gated.call("--datastore", "s3", "--metadata", "local", *options, *command)
    assert not attempts.tried(opened=made.process.returncode == 0)
    assert f"`{command[0]}` does not deploy gates" in " ".join(made.output.split())


def test_with_hitl_gates_every_step(flow):
    """`--with hitl:…` takes what the decorator takes, None and booleans included, and passes it on to each task."""
    gated = flow(linear(""))
    spec = "hitl:timeout=None,allow_changes=false,allow_self_approval=True,message=5, or a=b?,quorum=1"
    run = gated.start("run", "--with", spec)
    for step in ("start", "deploy", "end"):
        (approval,) = gated.wait_for_approvals()
        assert approval.pathspec.step == step
        assert approval.question.message == "5, or a=b?"
        assert approval.question.timeout is None
        gated.approvals.approve(approval.id)
    assert run.wait() == 0, run.output


def test_decospecs_gate_every_step(flow):
    """`METAFLOW_DECOSPECS` is another way to write the same."""
    gated = flow(linear(""), METAFLOW_DECOSPECS="hitl:timeout=1s")
    run = gated.call("run")
    assert run.process.returncode != 0
    assert "expired" in run.output


def test_a_bad_argument_of_with_is_named(flow):
    """Nothing runs."""
    run = flow(linear("")).call("run", "--with", "hitl:quorum=many")
    assert run.process.returncode != 0
    assert "quorum" in run.output
    assert "starting" not in run.output
