"""What happens on a real Argo when somebody stops a run, or the bot is not there."""

from __future__ import annotations

import signal
from datetime import datetime, timezone
from pathlib import Path

import yaml

from metaflow_extensions.hitl.approvals.record import State, Where
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_gates import linear, question

SIMPLE = """
accuracy = Parameter("accuracy", default="0.94")

@step
def start(self):
    self.next(self.deploy)

@retry(times=2, minutes_between_retries=0)
@hitl(message="Deploy at {self.accuracy}?")
@step
def deploy(self):
    print("RUNS", current.hitl.decided_by)
    self.next(self.end)

@step
def end(self):
    pass
"""


def is_past(deployed, gate):
    """Whether the deadline of a gate is behind us."""
    return lambda _: datetime.now(timezone.utc) > deployed.approval(gate).deadline


def test_the_deadline_rejects_without_the_bot(deploy):
    """Argo's own clock ends the wait some time behind the deadline; the container records the expiry, and refuses."""
    deployed = deploy(linear("timeout=5"))
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    run.until(is_past(deployed, gate))
    assert deployed.approval(gate).state is State.PENDING
    run.make_older(gate, 600)  # the seconds after the deadline that the bot has before Argo ends the wait
    assert run.end() == "Failed", run.story()
    approval = deployed.approval(gate)
    assert (approval.state, approval.decision.where) == (State.EXPIRED, Where.TIMEOUT)
    assert "RUNS" not in run.logs()
    assert "no one answered in 5 s" in run.logs()
    assert len([pod for pod in run.pods() if "deploy-task" in pod.metadata.name]) == 1


def test_a_deadline_may_only_notify(deploy, bot):
    """Behind it the gate still waits, without a pod, and takes an answer."""
    deployed = deploy(linear("timeout=10, on_timeout='notify'"))
    bot(deployed)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    assert "duration" not in run.template("hitl-suspend-deploy")["suspend"]
    bob, message = question(deployed, "Deploy at 0.94?")
    run.until(is_past(deployed, gate))
    assert len(run.suspended()) == 1
    assert run.unfinished_pods() == []
    bob.open(message, "Approve…").fill({"Target": "staging"}).submit()
    assert run.end() == "Succeeded", run.story()
    assert "RUNS {'target': 'staging'} approved bob" in run.logs()


def test_a_stopped_run_is_told_on_its_message(deploy, bot):
    """Stopped, terminated or deleted: nobody is asked any more, and the message says what became of the run."""
    deployed = deploy(SIMPLE)
    first = bot(deployed)
    runs = {how: deployed.trigger("--accuracy", how) for how in ("Stop", "Terminate", "delete")}
    for run in runs.values():
        run.wait_until_suspended()
    asked = {how: question(deployed, f"Deploy at {how}?") for how in runs}
    first.process.send_signal(signal.SIGTERM)
    first.wait(15)
    runs["Stop"].shut_down("Stop")
    runs["Terminate"].shut_down("Terminate")
    runs["delete"].delete()
    assert [runs[how].end() for how in ("Stop", "Terminate")] == ["Failed", "Failed"]
    bot(deployed)
    told = {}
    for how, (bob, message) in asked.items():
        closed = bob.wait_for_update(message, lambda one: "Closed without an answer" in one.plain, PATIENCE)
        assert not closed.buttons
        told[how] = closed.plain
    assert runs["Stop"].name in told["Stop"]
    assert runs["Terminate"].name in told["Terminate"]
    assert "it was deleted" in told["delete"]
    runs["Stop"].until(deployed.all_is_settled)


def test_an_answer_to_a_stopped_run_says_so(deploy, bot):
    """Whoever clicks before the bot has noticed reads that the run does not go on, and what to do."""
    deployed = deploy(SIMPLE)
    bot(deployed)
    run = deployed.trigger()
    run.wait_until_suspended()
    bob, message = question(deployed, "Deploy at 0.94?")
    run.shut_down("Stop")
    assert run.end() == "Failed"
    bob.click(message, "Approve", confirm="Approve")
    told = bob.wait_for_update(message, lambda one: not one.buttons, PATIENCE).plain
    assert "The run could not be resumed" in told
    assert "Start a new run" in told
    assert "RUNS" not in run.logs()


def test_a_bot_that_died_before_the_resume(deploy, bot, tmp_path):
    """What it recorded and could not carry out, the next one does when it starts, once."""
    deployed = deploy(SIMPLE)
    own = deployed.flow.environment["KUBECONFIG"]
    cut_off = yaml.safe_load(Path(own).read_text())
    for cluster in cut_off["clusters"]:
        cluster["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "cut-off").write_text(yaml.safe_dump(cut_off))
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.environment["KUBECONFIG"] = str(tmp_path / "cut-off")
    first = bot(deployed)
    bob, message = question(deployed, "Deploy at 0.94?")
    bob.click(message, "Approve", confirm="Approve")
    run.until(lambda _: deployed.approval(gate).decision)
    first.process.send_signal(signal.SIGKILL)
    first.wait(15)
    assert len(run.suspended()) == 1
    deployed.flow.environment["KUBECONFIG"] = own
    bot(deployed)
    assert run.end() == "Succeeded", run.story()
    assert "RUNS bob" in run.logs()
    assert run.node("hitl-suspend-deploy")["message"] == "approved by bob via Slack button"
    bob.wait_for_update(message, lambda one: "the run continues" in one.plain, PATIENCE)
    run.until(deployed.all_is_settled)


def test_the_exit_hook_runs_after_a_rejection(deploy):
    """A run that a person ends reports it as any run that fails does."""
    deployed = deploy(
        SIMPLE,
        above="""
            def reported():
                print("HOOK: the run failed")

            @exit_hook(on_error=[reported])
            """,
    )
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.hitl("reject", deployed.approval(gate).id, "--reason", "drift too high")
    assert run.end() == "Failed"
    run.until(lambda one: "HOOK: the run failed" in one.logs())
    assert "RUNS" not in run.logs()
    assert "drift too high" in run.node("hitl-suspend-deploy")["message"]
