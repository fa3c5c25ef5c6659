"""Gates, and what people do to workflows with Argo's own commands and pages."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.record import State
from tests.e2e.test_bad_days import SIMPLE


def by_server(deployed, argo_server):
    """Let the flow's commands reach the cluster through Argo's server alone."""
    deployed.flow.environment |= {**argo_server.settings, "KUBECONFIG": "/nowhere"}


def test_approve_through_argo_server(deploy, argo_server):
    """The flow's command resumes exactly its gate through Argo's server; the other run waits on."""
    deployed = deploy(SIMPLE)
    run, other = deployed.trigger("--accuracy", "0.1"), deployed.trigger("--accuracy", "0.2")
    (gate,) = run.wait_until_suspended()
    other.wait_until_suspended()
    by_server(deployed, argo_server)
    said = deployed.flow.hitl("approve", deployed.approval(gate).id)
    assert "argo resume" not in said.output
    assert run.end() == "Succeeded", run.story()
    assert run.node("hitl-suspend-deploy")["message"] == "approved by alice via command line"
    assert len(other.suspended()) == 1


def test_reject_through_argo_server(deploy, argo_server):
    """The node says who and why, and no pod of the step ever exists."""
    deployed = deploy(SIMPLE)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    by_server(deployed, argo_server)
    said = deployed.flow.hitl("reject", deployed.approval(gate).id, "--reason", "drift too high")
    assert "argo node set" not in said.output
    assert run.end() == "Failed"
    assert run.node("hitl-suspend-deploy")["message"] == "rejected by alice via command line: drift too high"
    assert not [pod for pod in run.pods() if "deploy-task" in pod.metadata.name]


def test_argos_own_resume_is_no_answer(deploy, argo_server):
    """``argo resume`` without a selector resumes all that waits, and what nobody approved refuses to start."""
    deployed = deploy(SIMPLE)
    run = deployed.trigger()
    run.wait_until_suspended()
    argo_server.put(run, "resume")
    assert run.end() == "Failed"
    assert "Nobody has approved" in run.logs()
    assert "RUNS" not in run.logs()


RETRIED = """
    @step
    def start(self):
        self.next(self.deploy)

    @hitl(message="Deploy?")
    @step
    def deploy(self):
        print("RUNS deploy", current.hitl.decided_by)
        self.next(self.after)

    @step
    def after(self):
        print("RUNS after")
        self.next(self.end)

    @step
    def end(self):
        pass
"""
AGAIN = {"restartSuccessful": True, "nodeFieldSelector": "displayName=deploy"}


def test_a_retry_from_before_an_approved_gate_goes_on(deploy, bot, argo_server):
    """``argo retry`` that starts the gate anew finds the answer that was given: nobody has to give it again."""
    deployed = deploy(RETRIED)
    bot(deployed)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.hitl("approve", deployed.approval(gate).id)
    assert run.end() == "Succeeded", run.story()
    run.until(deployed.all_is_settled)  # by the bot, which holds a command line's answer to the policy first
    argo_server.put(run, "retry", **AGAIN)
    assert run.end() == "Succeeded", run.story()
    assert run.node("hitl-suspend-deploy")["type"] == "Skipped"
    assert "RUNS deploy alice" in run.log(run.node("deploy-task"))
    assert deployed.approval(gate).state is State.APPROVED


def test_a_retry_from_before_a_rejected_gate_fails_again(deploy, argo_server):
    """The answer stands: nothing of the step starts, and the run fails with it."""
    deployed = deploy(RETRIED)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.hitl("reject", deployed.approval(gate).id, "--reason", "drift too high")
    assert run.end() == "Failed"
    argo_server.put(run, "retry", **AGAIN)
    assert run.end() == "Failed"
    assert "drift too high" in run.log(run.node("hitl-notify-deploy(0)"))
    assert run.node("deploy-task")["phase"] == "Omitted"
    assert not [pod for pod in run.pods() if "deploy-task" in pod.metadata.name]


@pytest.mark.parametrize(("step", "node"), [("deploy", "deploy-task"), ("after", "after")])
def test_a_step_that_fails_behind_an_answer_is_retried_without_another(deploy, argo_server, step, node):
    """``argo retry`` starts the gated step, or one after it, anew; nobody is asked, and the gate knows the answer."""
    printed = {"deploy": '"RUNS deploy", current.hitl.decided_by', "after": '"RUNS after"'}[step]
    deployed = deploy(RETRIED.replace(f"print({printed})", f'print({printed}); raise ValueError("broken")'))
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.hitl("approve", deployed.approval(gate).id)
    assert run.end() == "Failed"
    before = {pod.metadata.name: pod.metadata.uid for pod in run.pods()}
    argo_server.put(run, "retry")
    assert run.end() == "Failed"
    after = {pod.metadata.name: pod.metadata.uid for pod in run.pods()}
    anew = [name for name, uid in after.items() if before.get(name) != uid]
    assert [name for name in anew if "notify" in name] == []
    assert [name for name in anew if f"-{node}-" in name]
    assert f"RUNS {step}" in run.log(run.node(node))


def test_a_suspend_node_that_is_started_anew_can_be_resumed(deploy, argo_server):
    """Only that node waits again, asks nobody, and after ``argo resume`` the step finds the answer that stands."""
    deployed = deploy(RETRIED)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    deployed.flow.hitl("approve", deployed.approval(gate).id)
    assert run.end() == "Succeeded", run.story()
    argo_server.put(run, "retry", restartSuccessful=True, nodeFieldSelector="displayName=hitl-suspend-deploy")
    run.wait_until_suspended()
    argo_server.put(run, "resume")
    assert run.end() == "Succeeded", run.story()
    assert "RUNS deploy alice" in run.log(run.node("deploy-task"))
