"""A form whose choices the run has made, as its author and its approver meet it."""

from __future__ import annotations

PICK = """
@step
def start(self):
    self.candidates = [f"model-{number}" for number in range(5)]
    self.best = "model-3"
    self.next(self.pick)

@hitl(
    message="Which of {self.candidates}?",
    input_schema={"model": {"type": "choice", "choices": "{self.candidates}", "default": "{self.best}"}},
    what_happens={"approve": "{self.best} or another one goes live", "reject": "yesterday's model stays"},
)
@step
def pick(self):
    print("picked", self.hitl_input["model"])
    self.next(self.end)

@step
def end(self):
    pass
"""


def test_a_person_picks_what_the_run_has_trained(flow):
    """The choices and the default are the artifacts; another model is refused; what happens is in the record."""
    gated = flow(PICK)
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    field = approval.question.schema["properties"]["model"]
    assert field["enum"] == [f"model-{number}" for number in range(5)]
    assert field["default"] == "model-3"
    assert approval.question.what_happens["approve"] == "model-3 or another one goes live"
    refused = gated.hitl("approve", approval.id, "--set", "model=model-9")
    assert refused.process.returncode != 0
    gated.approvals.approve(approval.id, input={"model": "model-1"})
    assert run.wait() == 0, run.output
    assert "picked model-1" in run.output
