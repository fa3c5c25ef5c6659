"""A run that ends at its gates, and goes on with the answers when somebody resumes it."""

from __future__ import annotations

GATES = """
@step
def start(self):
    self.regions = ["eu", "us"]
    self.next(self.left, self.right)

@step
def left(self):
    self.next(self.shard, foreach="regions")

@hitl(message="Deploy to {self.input}?", batch=False)
@step
def shard(self):
    print("DEPLOYED", self.input, current.hitl.decided_by)
    self.next(self.shards)

@step
def shards(self, inputs):
    self.next(self.both)

@hitl(message="Publish?", input_schema={"target": "str"})
@step
def right(self):
    print("PUBLISHED", self.hitl_input["target"])
    self.next(self.both)

@step
def both(self, inputs):
    self.next(self.end)

@step
def end(self):
    print("THE END")
"""


def test_a_run_leaves_when_all_that_can_ask_have_asked(flow):
    """With one worker, three gates ask; the run ends with code 75, `resume` waits for none, and asks nothing twice."""
    gated = flow(GATES, METAFLOW_HITL_LOCAL="leave")
    run = gated.start("run", "--max-workers", "1")
    assert run.wait() == 75, run.output
    asked = {one.question.message: one for one in gated.open_approvals()}
    assert sorted(asked) == ["Deploy to eu?", "Deploy to us?", "Publish?"]
    assert "3 gates wait for an answer" in run.output
    assert "resume --origin-run-id" in run.output

    # Resumed too early it leaves again, and the questions are the same ones.
    gated.approvals.approve(asked["Deploy to eu?"].id)
    early = gated.call("resume")
    assert early.process.returncode == 75, early.output
    assert "DEPLOYED eu alice" in early.output
    assert {one.id for one in gated.open_approvals()} == {asked["Deploy to us?"].id, asked["Publish?"].id}

    gated.approvals.approve(asked["Deploy to us?"].id)
    gated.approvals.approve(asked["Publish?"].id, input={"target": "prod"})
    late = gated.call("resume")
    assert late.process.returncode == 0, late.output
    for line in ("DEPLOYED us alice", "PUBLISHED prod", "THE END"):
        assert line in late.output
    assert "DEPLOYED eu" not in late.output
