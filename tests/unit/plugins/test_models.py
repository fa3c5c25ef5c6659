"""A pydantic model as the form: what the step gets, and what its validators refuse."""

from __future__ import annotations

import datetime as dt
import enum
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import BaseModel, Field, field_validator, model_validator

from metaflow_extensions.hitl.approvals.schema import InvalidInput, normalise
from metaflow_extensions.hitl.inputs import validate
from tests.fixtures.approvals import approval, approving, rejecting

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow_extensions.hitl.plugins import models
    from tests.unit.plugins.test_declarations import _read


class Target(enum.Enum):
    STAGING = "staging"
    PRODUCTION = "production"


class Answer(BaseModel):
    target: Target
    share: int = 10
    on: dt.date = dt.date(2026, 11, 24)
    notes: str | None = None

    @field_validator("share")
    @classmethod
    def _tens(cls, share: int) -> int:
        if share % 10:
            raise ValueError("use steps of ten")
        return share

    @model_validator(mode="after")
    def _small_first(self) -> Answer:
        if self.target is Target.PRODUCTION and self.share > 50:
            raise ValueError("production gets 50 at most")
        return self


def decided(decision, model=Answer):
    return replace(approval(schema=normalise(model)), decision=decision)


def test_the_step_gets_what_the_model_makes_of_it():
    """Enums as enums, dates as dates, what was left empty as the model's own default."""
    values = validate(normalise(Answer), {"target": "staging", "share": 20})
    entered = models.entered(Answer, decided(approving(input=values)))
    assert entered == Answer(target=Target.STAGING, share=20)
    assert entered.on == dt.date(2026, 11, 24)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"target": "staging", "share": 15}, "share is refused: Value error, use steps of ten"),
        ({"target": "production", "share": 60}, "the input is refused: Value error, production gets 50 at most"),
    ],
)
def test_what_the_model_refuses_opens_nothing(values, words):
    """A yes with values that fit the form and not the model is an error that names field and reason."""
    complete = validate(normalise(Answer), values)
    with pytest.raises(models.RefusedByModel, match=words) as caught:
        models.entered(Answer, decided(approving(input=complete)))
    assert "approved with an input that Answer refuses" in str(caught.value)
    assert "The step does not run." in str(caught.value)


def test_a_rejection_has_no_instance():
    """A step that runs after a rejection sees that nothing was entered, as without a model."""
    assert models.entered(Answer, decided(rejecting())) == {}


def flow(model) -> SimpleNamespace:
    arguments = SimpleNamespace(model=model, question=SimpleNamespace(schema=normalise(model)))
    deco = SimpleNamespace(name="hitl", arguments=arguments)
    return SimpleNamespace(_graph=[SimpleNamespace(name="deploy", decorators=[deco])])


def test_a_command_line_asks_the_model_before_it_decides():
    """Where the flow is, nobody can approve with what its model refuses."""
    check = models.checked_by(flow(Answer), validate)
    with pytest.raises(InvalidInput, match="use steps of ten"):
        check(normalise(Answer), {"target": "staging", "share": 15})
    assert check(normalise(Answer), {"target": "staging"})["share"] == 10


def test_an_author_hears_that_slack_runs_no_validators():
    """Of a model with validators a run says where they run; of one without there is nothing to say."""

    class Plain(BaseModel):
        target: Target

    (line,) = models.notes(flow(Answer))
    assert line.startswith("The validators of Answer can't run in Slack: if somebody approves deploy")
    assert list(models.notes(flow(Plain))) == []


def test_the_model_is_kept_beside_its_form():
    """``input_schema=Answer`` is read as the form and the model."""
    assert _read(input_schema=Answer)["model"] is Answer
    assert _read(input_schema={"target": "str"})["model"] is None


class Size(BaseModel):
    pods: int = 2


class Note(BaseModel):
    text: str | None = None


class Rollout(BaseModel):
    size: Size = Size(pods=3)
    note: Note | None = None
    tags: list[str] = Field(default_factory=lambda: ["new"])

    @field_validator("tags")
    @classmethod
    def _small(cls, tags: list[str]) -> list[str]:
        if any(tag != tag.lower() for tag in tags):
            raise ValueError("use small letters")
        return tags


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Rollout()),
        (
            {"size.pods": 4, "note": {"text": "x"}, "tags": ["a"]},
            Rollout(size=Size(pods=4), note=Note(text="x"), tags=["a"]),
        ),
    ],
)
def test_models_in_a_model_are_made_too(values, expected):
    """What was entered by dotted names arrives in the inner models; one that was left out is None."""
    complete = validate(normalise(Rollout), values)
    assert models.entered(Rollout, decided(approving(input=complete), Rollout)) == expected


def test_a_refused_item_is_named_by_its_list():
    """Of the second item of a list, the form has the list."""
    check = models.checked_by(flow(Rollout), validate)
    with pytest.raises(InvalidInput, match=r"^tags is refused: Value error, use small letters"):
        check(normalise(Rollout), {"tags": ["a", "B"]})
