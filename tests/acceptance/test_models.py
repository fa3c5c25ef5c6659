"""A pydantic model as the form, from the question to the step."""

from __future__ import annotations

ABOVE = """
import enum

from pydantic import BaseModel, field_validator


class Target(enum.Enum):
    EU = "eu"
    US = "us"


class Place(BaseModel):
    region: Target


class Answer(BaseModel):
    place: Place
    tags: list[str] = []
    share: int = 10

    @field_validator("share")
    @classmethod
    def tens(cls, share):
        if share % 10:
            raise ValueError("use steps of ten")
        return share


"""
FLOW = """
@hitl(input_schema=Answer)
@step
def start(self):
    print("GOT", repr(self.hitl_input), self.hitl_decision["input"])
    self.next(self.end)

@step
def end(self):
    pass
"""


def test_a_model_has_its_say_where_the_flow_is(flow):
    """The flow's command refuses before it decides, the gate after a yes from elsewhere; the step gets an instance."""
    gated = flow(FLOW, above=ABOVE)
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    run.wait_for_line("The validators of Answer can't run in Slack")
    refused = gated.hitl("approve", approval.id, "--set", "place.region=eu", "--set", "share=15")
    assert "share is refused: Value error, use steps of ten" in refused.output
    assert refused.process.returncode != 0
    assert [one.id for one in gated.open_approvals()] == [approval.id]

    gated.approvals.approve(approval.id, input={"place": {"region": "eu"}, "share": 15})
    assert run.wait() == 1, run.output
    assert f"{approval.id} was approved with an input that Answer refuses: share is refused" in run.output
    assert "GOT" not in run.output

    resumed = gated.start("resume")
    (again,) = gated.wait_for_approvals()
    gated.approvals.approve(again.id, input={"place.region": "eu", "tags": ["a b", "c"], "share": 20})
    assert resumed.wait() == 0, resumed.output
    plain = "{'place': {'region': 'eu'}, 'tags': ['a b', 'c'], 'share': 20}"
    assert f"GOT Answer(place=Place(region=<Target.EU: 'eu'>), tags=['a b', 'c'], share=20) {plain}" in resumed.output
