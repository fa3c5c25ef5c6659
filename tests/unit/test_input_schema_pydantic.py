"""A pydantic model class as ``input_schema``."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, Field

from metaflow_extensions.hitl.approvals.schema import InputSchemaError, Kind, fields, normalise, typed
from metaflow_extensions.hitl.inputs import parse, validate


class Target(enum.Enum):
    """Where the model goes."""

    STAGING = "staging"
    PRODUCTION = "production"


class Answer(BaseModel):
    """What is asked before a deployment."""

    deploy_target: Target = Target.STAGING
    fallback: Target | None = None
    shards: int = Field(3, gt=0, le=5)
    share: float | None = Field(1.5, gt=0, title="Share of traffic", description="In percent.")
    mode: Literal["canary", "full"]
    tags: list[Literal["x", "y"]] = Field(min_length=1)
    teams: set[Target] = {Target.PRODUCTION, Target.STAGING}
    notes: str = ""
    reason: str | None
    version: str = Field(pattern=r"^v\d+$", max_length=9)
    on: dt.date = dt.date(2026, 11, 24)
    at: dt.datetime | None = None
    link: AnyUrl | None = None
    sure: bool
    limits: int = Field(default_factory=lambda: 4)


def test_a_model_becomes_fields() -> None:
    """Enum, Literal, Optional, limits, defaults, dates and addresses arrive as kinds, choices and limits."""
    found = {field.name: field for field in fields(normalise(Answer))}
    assert list(found) == list(Answer.model_fields)
    assert {name: field.kind for name, field in found.items()} == {
        "deploy_target": Kind.CHOICE,
        "fallback": Kind.CHOICE,
        "shards": Kind.INT,
        "share": Kind.FLOAT,
        "mode": Kind.CHOICE,
        "tags": Kind.MULTICHOICE,
        "teams": Kind.MULTICHOICE,
        "notes": Kind.STR,
        "reason": Kind.STR,
        "version": Kind.STR,
        "on": Kind.DATE,
        "at": Kind.DATETIME,
        "link": Kind.URL,
        "sure": Kind.BOOL,
        "limits": Kind.INT,
    }
    empty = {name for name, field in found.items() if not field.required}
    assert empty == {"fallback", "share", "teams", "notes", "reason", "at", "link", "limits"}
    assert found["deploy_target"].choices == found["fallback"].choices == ("staging", "production")
    assert (found["deploy_target"].default, found["fallback"].default) == ("staging", None)
    assert (found["shards"].min, found["shards"].max, found["share"].above) == (1, 5, 0)
    assert found["teams"].default == ["staging", "production"]
    assert (found["version"].pattern, found["version"].max_length) == (r"^v\d+$", 9)


def test_labels_are_made_as_for_any_other_form() -> None:
    """The titles that pydantic makes of names don't count; the one that the author wrote does, and so does help."""
    found = {field.name: field for field in fields(normalise(Answer))}
    assert found["deploy_target"].label == "Deploy target"
    assert (found["share"].label, found["share"].help) == ("Share of traffic", "In percent.")


def test_valid_values_make_the_model() -> None:
    """What validation returns and the step sees is what the model accepts."""
    schema = normalise(Answer)
    values = parse(schema, {"mode": "full", "tags": "y,x", "version": "v7", "sure": "yes", "at": "2026-11-24T17:00"})
    given = {name: value for name, value in typed(schema, values).items() if name != "limits"}
    answer = Answer.model_validate(given)
    assert answer.tags == ["x", "y"]
    assert answer.at == dt.datetime(2026, 11, 24, 17, tzinfo=dt.timezone.utc)
    assert answer.deploy_target is Target.STAGING
    assert validate(schema, values) == values


class Inner(BaseModel):
    a: int


class Nested(BaseModel):
    inner: Inner


class Several(BaseModel):
    several: list[Inner]


class Either(BaseModel):
    either: int | str


class Uncallable(BaseModel):
    call: Callable[[int], int]


@pytest.mark.parametrize(
    ("model", "field", "words"),
    [
        (Nested, "inner", "an object within an object"),
        (Several, "several", "if its items are an enum"),
        (Either, "either", "it is not clear which"),
        (Uncallable, None, "Uncallable can't be turned into a JSON Schema"),
        (Inner(a=1), None, "instance of a model; use its class"),
    ],
)
def test_a_model_that_no_form_can_show_is_refused(model: Any, field: str | None, words: str) -> None:
    """The error names the field and what does not fit."""
    with pytest.raises(InputSchemaError, match=words) as caught:
        normalise(model)
    assert caught.value.field == field
