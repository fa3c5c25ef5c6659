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


class Size(BaseModel):
    """How large it is."""

    pods: int = Field(2, ge=1, le=9)
    kind: Literal["cpu", "gpu"] = "cpu"


class Note(BaseModel):
    text: str | None = None
    link: AnyUrl | None = None


class Where(BaseModel):
    region: Target
    size: Size = Field(Size(pods=3), title="Pool")
    tags: list[str] = Field(default_factory=lambda: ["new"], max_length=3)


class Rollout(BaseModel):
    """What a form of several parts asks for."""

    where: Where
    notes: Note | None = Field(None, alias="remarks")
    owners: set[str] = Field(min_length=1)
    shards: list[int] = [1]


def test_models_in_a_model_become_fields_with_dotted_names() -> None:
    """Each has the titles above it; defaults of an inner model and of the whole arrive, the nearer one wins."""
    found = {field.name: field for field in fields(normalise(Rollout))}
    assert {name: field.label for name, field in found.items()} == {
        "where.region": "Where: Region",
        "where.size.pods": "Where: Pool: Pods",
        "where.size.kind": "Where: Pool: Kind",
        "where.tags": "Where: Tags",
        "remarks.text": "Remarks: Text",
        "remarks.link": "Remarks: Link",
        "owners": "Owners",
        "shards": "Shards",
    }
    assert (found["where.size.pods"].default, found["where.size.pods"].max) == (3, 9)
    assert found["where.size.pods"].help == "How large it is."
    assert (found["where.tags"].type, found["where.tags"].max_length, found["owners"].unique) == ("list[str]", 3, True)
    assert (found["shards"].type, found["shards"].default) == ("list[int]", [1])
    assert {name for name, field in found.items() if field.required} == {
        "where.region",
        "where.size.pods",
        "where.size.kind",
        "owners",
    }


class Inner(BaseModel):
    a: int


class Again(BaseModel):
    again: Again | None = None


class LeftOut(BaseModel):
    size: Size | None = None


class Free(BaseModel):
    free: dict[str, int]


class Several(BaseModel):
    several: list[Inner]


class Either(BaseModel):
    either: int | str


class Uncallable(BaseModel):
    call: Callable[[int], int]


@pytest.mark.parametrize(
    ("model", "field", "words"),
    [
        (Several, "several", "if its items are an enum, or each one line"),
        (LeftOut, "size.pods", "all of 'size' may be left out, and a form can't say both"),
        (Again, "again", "If it contains itself, no form can show it"),
        (Free, "free", "an object only if its properties are listed"),
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
