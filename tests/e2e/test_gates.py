"""Gates on a real Argo: nothing runs while people think, and exactly what they decide happens."""

from __future__ import annotations

from hitl_bot.sandbox.driver import Closed
from metaflow_extensions.hitl.approvals.record import State, Where
from tests.e2e.conftest import CHANNEL, PATIENCE

LINEAR = """
accuracy = Parameter("accuracy", default="0.94")

@step
def start(self):
    self.next(self.deploy)

@retry(times=2, minutes_between_retries=0)
@hitl(message="Deploy at {{self.accuracy}}?", input_schema={{"target": "str"}}, {arguments})
@step
def deploy(self):
    print("RUNS", self.hitl_input, current.hitl.verdict, current.hitl.decided_by)
    self.next(self.end)

@step
def end(self):
    pass
"""


def linear(arguments: str = "timeout='1h'") -> str:
    return LINEAR.format(arguments=arguments)


def question(deployed, words: str, after=None, button: str = "Approve"):
    """Return the message of a question as soon as it is in Slack."""
    bob = deployed.people.as_("bob")
    return bob, bob.wait_for_message(
        CHANNEL, lambda one: words in one.plain and button in " ".join(one.buttons), timeout=PATIENCE, after=after
    )


def test_approve_in_slack(deploy, bot):
    """No pod exists while the question stands in Slack; one click, and the step runs with what was entered."""
    deployed = deploy(linear())
    bot(deployed)
    run = deployed.trigger("--accuracy", "0.97")
    (gate,) = run.wait_until_suspended()
    assert run.unfinished_pods() == []
    assert not [node for node in run.nodes if node["displayName"].startswith("deploy-task")]
    bob, message = question(deployed, "Deploy at 0.97?")
    assert isinstance(bob.open(message, "Approve…").fill({"Target": "staging"}).submit(), Closed)
    assert run.end() == "Succeeded", run.story()
    assert "RUNS {'target': 'staging'} approved bob" in run.logs()
    assert "approved by bob" in run.node("hitl-suspend-deploy")["message"]
    answered = bob.wait_for_update(message, lambda one: "Approved" in one.plain and not one.buttons, PATIENCE)
    assert "staging" in answered.plain
    run.until(deployed.all_is_settled)
    assert deployed.approval(gate).settlement.problem == ""


def test_reject_in_slack(deploy, bot):
    """The node says who and why, the gated pod never exists, nothing is tried again, and the run fails."""
    deployed = deploy(linear())
    bot(deployed)
    run = deployed.trigger()
    run.wait_until_suspended()
    bob, message = question(deployed, "Deploy at 0.94?")
    bob.open(message, "Reject…").fill({"Reason": "drift too high"}).submit()
    assert run.end() == "Failed"
    suspend = run.node("hitl-suspend-deploy")
    assert suspend["phase"] == "Failed"
    assert "bob" in suspend["message"]
    assert "drift too high" in suspend["message"]
    assert run.node("deploy-task")["phase"] == "Omitted"
    assert not [pod for pod in run.pods() if "deploy-task" in pod.metadata.name]
    assert "RUNS" not in run.logs()


def test_a_rejection_may_let_the_run_go_on(deploy):
    """With on_reject="continue" the step runs and sees the verdict. Answered by the flow's own command."""
    deployed = deploy(linear('on_reject="continue"'))
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    said = deployed.flow.hitl("reject", deployed.approval(gate).id, "--reason", "known to be bad")
    assert said.process.returncode == 0, said.output
    assert "argo resume" not in said.output  # the command has resumed it by itself
    assert run.end() == "Succeeded", run.story()
    assert "RUNS {} rejected alice" in run.logs()


def test_the_deadline_rejects(deploy, bot):
    """The bot fails the node at the deadline, without a pod."""
    deployed = deploy(linear("timeout=30"))
    bot(deployed)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    assert run.end() == "Failed"
    assert "no one answered in 30 s" in run.node("hitl-suspend-deploy")["message"]
    assert run.node("deploy-task")["phase"] == "Omitted"
    approval = deployed.approval(gate)
    assert approval.state is State.EXPIRED
    assert (approval.decision.at - approval.deadline).total_seconds() < 2


def test_the_deadline_approves_without_the_bot(deploy):
    """Argo's own clock ends the wait, and the gated container itself records that the deadline approved."""
    deployed = deploy(linear("timeout=15, on_timeout='approve'"))
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    assert run.end() == "Succeeded", run.story()
    assert "RUNS {} approved the deadline" in run.logs()
    assert deployed.approval(gate).decision.where is Where.TIMEOUT


def test_resuming_is_no_answer(deploy):
    """Whoever may patch workflows opens the node, not the gate: the container refuses, once, and says why."""
    deployed = deploy(linear())
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    run.end_by_hand(gate, "Succeeded")
    assert run.end() == "Failed"
    assert "Nobody has approved" in run.logs()
    assert "RUNS" not in run.logs()
    assert len([pod for pod in run.pods() if "deploy-task" in pod.metadata.name]) == 1
    assert run.node("deploy-task(0)")["outputs"]["exitCode"] == "202"


def test_resuming_after_the_answer_is_fine(deploy):
    """A recorded approval lets the container start, whoever resumes the workflow."""
    deployed = deploy(linear())
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.environment["KUBECONFIG"] = "/nowhere"
    said = deployed.flow.hitl("approve", deployed.approval(gate).id, "--set", "target=prod")
    assert f"argo resume {run.name} -n {run.namespace}" in said.output
    assert run.suspended()
    run.end_by_hand(gate, "Succeeded")
    assert run.end() == "Succeeded", run.story()
    assert "RUNS {'target': 'prod'} approved alice" in run.logs()
