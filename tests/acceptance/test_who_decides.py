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


def test_two_people_on_command_lines_make_a_quorum(flow):
    """The first vote leaves the run waiting, as does the same person again; the second lets it go; both are kept."""
    gated = flow(GATED.format(decorator='@hitl(approvers=["bob", "carol"], quorum=2)'))
    run = gated.start("run", "--tag", "prod")
    (approval,) = gated.wait_for_approvals()
    assert approval.question.tags == ("prod",)
    for _ in range(2):
        assert "Still missing: 1 of bob, carol." in typed_by(gated, "bob", "approve", approval.id).output
    assert "bob or carol may" in typed_by(gated, "dave", "approve", approval.id).output
    assert "Approved by bob and carol" in typed_by(gated, "carol", "approve", approval.id).output
    assert run.wait() == 0, run.output
    assert "RUNS ['bob', 'carol'] None" in run.output
    assert gated.data("deploy")["hitl_decision"]["voters"] == ["bob", "carol"]


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
    """With allow_self_approval=False the requester is refused, and may reject all the same."""
    gated = flow(GATED.format(decorator="@hitl(allow_self_approval=False)"))
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    assert "you asked for this run" in gated.hitl("approve", approval.id).output
    assert "only Slack tells people apart" in " ".join(typed_by(gated, "bob", "approve", approval.id).output.split())
    assert gated.hitl("reject", approval.id, "--reason", "wrong data").process.returncode == 0
    assert run.wait() != 0, run.output
