"""A quorum, separation of duties and a request for changes in real `python flow.py run` processes."""

from __future__ import annotations

GATED = """
alpha = Parameter("alpha", default=0.1)
model = Parameter("model-name", default="a b")

@step
def start(self):
    self.next(self.deploy)

{decorator}
@step
def deploy(self):
    print("RUNS", current.hitl.voters, current.hitl.on_behalf_of)
    self.next(self.end)

@step
def end(self):
    pass
"""


def typed_by(gated, person, *words):
    """Let another user of the machine type ``hitl WORDS``."""
    before = gated.environment["METAFLOW_USER"]
    gated.environment["METAFLOW_USER"] = person
    try:
        return gated.hitl(*words)
    finally:
        gated.environment["METAFLOW_USER"] = before


def test_two_typed_names_are_not_two_people(flow):
    """Where two named people must agree, each command line ends with status 3, and nothing counts."""
    gated = flow(GATED.format(decorator='@hitl(approvers=["bob@example.com", "carol@example.com"], quorum=2)'))
    run = gated.start("run", "--tag", "prod")
    (approval,) = gated.wait_for_approvals()
    assert approval.question.tags == ("prod",)
    for name in ("bob@example.com", "carol@example.com"):
        typed = typed_by(gated, name, "approve", approval.id, "--wait", "0")
        assert typed.process.returncode == 3, typed.output
        assert "Was that you?" in typed.output
        assert "Not confirmed yet" in typed.output
    (waiting,) = gated.wait_for_approvals()
    assert (waiting.votes, waiting.decision) == ((), None)
    run.stop()


def test_changes_fail_the_run_and_come_with_the_command_that_runs_it_again(flow):
    """The run fails with the text; the command has this run's parameters; the next question names the request."""
    gated = flow(GATED.format(decorator="@hitl(allow_changes=True)"))
    run = gated.start("run", "--alpha", "0.7")
    (approval,) = gated.wait_for_approvals()
    assert approval.question.run_again == "python flow.py run --alpha 0.7 --model-name 'a b'"
    asked = typed_by(gated, "bob", "request-changes", approval.id, "--reason", "a lower alpha")
    assert "Changes requested by bob (command line)" in asked.output
    assert run.wait() != 0, run.output
    assert 'was sent back for changes by bob: "a lower alpha"' in run.output
    assert "RUNS" not in run.output
    assert gated.data("deploy")["hitl_decision"]["verdict"] == "changes requested"
    again = gated.start("run", "--alpha", "0.1")
    (following,) = gated.wait_for_approvals()
    earlier = following.question.follows
    assert (earlier.approval_id, earlier.by, earlier.reason) == (approval.id, "bob", "a lower alpha")
    typed_by(gated, "bob", "approve", following.id)
    assert again.wait() == 0, again.output


def test_nobody_approves_their_own_run_on_a_command_line(flow):
    """With allow_self_approval=False an approval has to be confirmed in Slack, as the log says; a rejection hasn't."""
    gated = flow(GATED.format(decorator="@hitl(allow_self_approval=False)"))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    for name in (gated.environment["METAFLOW_USER"], "bob"):
        typed = typed_by(gated, name, "approve", approval.id, "--wait", "0")
        assert typed.process.returncode == 3, typed.output
    assert gated.hitl("reject", approval.id, "--reason", "wrong data").process.returncode == 0
    assert run.wait() != 0, run.output
    whose = f"{gated.environment['METAFLOW_USER']} has to confirm in Slack that the run is theirs"
    assert f"allow_self_approval=False: before anybody can approve, {whose}" in run.output
