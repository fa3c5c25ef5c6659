"""What ``@hitl(input_schema=...)`` accepts, what becomes of it, and what is refused when the flow is loaded."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator

from metaflow_extensions.hitl.approvals import schema as schemas
from metaflow_extensions.hitl.approvals.schema import InputSchemaError, Kind, fields
from metaflow_extensions.hitl.slack import FORM, QUESTION_BLOCKS
from tests.input_schemas import fitting, settings, settings_dicts

REPOSITORY = Path(__file__).parents[2]


def normalise(input_schema):
    return schemas.normalise(input_schema, FORM)


SIMPLE_TYPES = [kind.value for kind in Kind if kind not in {Kind.CHOICE, Kind.MULTICHOICE}]


def one(settings: Any) -> Any:
    """The only field of a schema with these settings."""
    (field,) = fields(normalise({"it": settings}))
    return field


def refusal(input_schema: Any) -> InputSchemaError:
    with pytest.raises(InputSchemaError) as caught:
        normalise(input_schema)
    return caught.value


def choice(count: int) -> dict[str, Any]:
    return {"type": "choice", "choices": [f"c{number}" for number in range(count)]}


@pytest.mark.parametrize("name", SIMPLE_TYPES)
def test_a_type_alone_is_enough(name: str) -> None:
    """A name and a type make a required field of that kind."""
    field = one(name)
    assert field.kind.value == name, f"KIND_BY_FORMAT and `_kind` in approvals/schema/fields.py don't lead to {name!r}"
    assert (field.required, field.default) == (True, None)


@pytest.mark.parametrize("page", ["README.md", "docs/arguments.md"])
def test_every_type_is_documented(page: str) -> None:
    """The pages that list the types of a field list all of them, in their order."""
    listed = re.search(r"^Types: `([^`]+)`", (REPOSITORY / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert listed is not None
    assert listed[1].split() == [kind.value for kind in Kind]


@pytest.mark.parametrize("name", SIMPLE_TYPES)
def test_a_question_mark_makes_a_field_optional(name: str) -> None:
    """``"str?"`` is the short form of a field that may be left empty."""
    assert normalise({"it": f"{name}?"}) == normalise({"it": {"type": name, "optional": True}})


def test_a_misspelt_optional_type_is_named() -> None:
    """An unknown type with a question mark is refused by its name, with what was probably meant."""
    assert "unknown type 'string': did you mean 'str'?" in str(refusal({"it": "string?"}))


@given(settings_dicts())
def test_normal_form_survives_json_and_itself(given_schema: dict[str, Any]) -> None:
    """A normalised schema is the same after JSON, order included, and after being normalised again."""
    schema = normalise(given_schema)
    back = json.loads(json.dumps(schema, allow_nan=False))
    assert json.dumps(back) == json.dumps(schema) == json.dumps(normalise(back))
    assert list(back["properties"]) == list(given_schema)


@pytest.mark.slow
@given(settings_dicts())
def test_normal_form_is_json_schema(given_schema: dict[str, Any]) -> None:
    """The jsonschema library agrees that it is a schema of draft 2020-12."""
    Draft202012Validator.check_schema(normalise(given_schema))


@given(st.data(), settings())
def test_settings_arrive_in_the_field(data: st.DataObject, given_settings: dict[str, Any]) -> None:
    """Each setting of a field is found again in it, the default among them."""
    default = data.draw(fitting(one(given_settings)))
    field = one(given_settings | {"default": default})
    assert field.type == given_settings["type"]
    assert field.label == given_settings.get("label", "It")
    assert (field.help or "") == given_settings.get("help", "")
    assert field.default == default
    assert field.required != given_settings["optional"]
    assert list(field.choices) == given_settings.get("choices", [])
    assert (field.min, field.max) == (given_settings.get("min"), given_settings.get("max"))
    if "max_length" in given_settings:
        assert field.max_length == given_settings["max_length"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("deploy_target", "Deploy target"), ("a-b", "A b"), ("URL", "URL"), ("__", "__"), ("größe", "Größe")],
)
def test_a_label_is_made_of_the_name(name: str, label: str) -> None:
    """Underscores and hyphens become spaces and the first letter a capital."""
    assert fields(normalise({name: "str"}))[0].label == label


def test_required_texts_and_lists_are_filled_in() -> None:
    """Required means at least one character, or one choice; optional allows null, and of choices an empty list."""
    many = {"type": "multichoice", "choices": ["a"]}
    schema: Any = normalise(
        {"a": "str", "b": {"type": "str", "optional": True}, "c": many, "d": {**many, "optional": True}}
    )
    properties = schema["properties"]
    assert properties["a"]["minLength"] == 1
    assert properties["b"]["type"] == ["string", "null"]
    assert properties["c"]["minItems"] == 1
    assert properties["d"]["type"] == "array"
    assert "minItems" not in properties["d"]
    assert schema["required"] == ["a", "c"]
    assert [field.empty for field in fields(schema)] == [None, None, [], []]


def test_a_text_with_an_empty_default_may_stay_empty() -> None:
    """The default "" says that the author expects a str in any case: the field may be left empty and yields ""."""
    field = one({"type": "str", "default": ""})
    assert (field.required, field.empty) == (False, "")


def test_python_dates_are_accepted_as_defaults() -> None:
    """A date or datetime as a default is stored as JSON, a naive one as UTC."""
    assert one({"type": "date", "default": date(2026, 11, 24)}).default == "2026-11-24"
    moment = datetime(2026, 11, 24, 17, tzinfo=timezone.utc)
    assert one({"type": "datetime", "default": moment}).default == "2026-11-24T17:00:00+00:00"
    assert one({"type": "datetime", "default": moment.replace(tzinfo=None)}).default == "2026-11-24T17:00:00+00:00"


def test_fields_may_be_called_like_the_words_of_json_schema() -> None:
    """Fields called type, properties and required are fields, not a JSON Schema."""
    names = [field.name for field in fields(normalise({"type": "str", "properties": "text", "required": "bool"}))]
    assert names == ["type", "properties", "required"]
    both = {"type": {"type": "str"}, "properties": {"type": "int"}}
    assert [field.kind for field in fields(normalise(both))] == [Kind.STR, Kind.INT]


def test_a_json_schema_is_taken_as_it_is_meant() -> None:
    """References, Optional as anyOf or as a list of types, const, enum and exclusive limits are understood."""
    schema = normalise(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {"Env": {"title": "Env", "enum": ["a", "b"]}, "odd/name": {"$ref": "#/$defs/Env"}},
            "type": "object",
            "properties": {
                "env": {"$ref": "#/$defs/odd~1name", "title": "Where to"},
                "maybe": {"anyOf": [{"$ref": "#/$defs/Env"}, {"type": "null"}], "default": None},
                "count": {"type": ["integer", "null"], "exclusiveMinimum": 0.5, "exclusiveMaximum": 5},
                "whole": {"type": "integer", "minimum": 0.5, "maximum": 4.5},
                "never": {"type": "string", "enum": ["a", None]},
                "rate": {"type": "number", "exclusiveMinimum": 0},
                "only": {"const": 3},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/Env"}},
                "free": {"type": "string"},
                "kept": {"type": "string", "default": "x"},
            },
            "required": ["env", "whole", "never", "rate", "only", "tags"],
        }
    )
    env, maybe, count, whole, never, rate, only, tags, free, kept = fields(schema)
    assert (env.label, env.choices, env.required) == ("Where to", ("a", "b"), True)
    assert (maybe.choices, maybe.required, maybe.default) == (("a", "b"), False, None)
    assert (count.kind, count.required, count.min, count.max) == (Kind.INT, False, 1, 4)
    assert (whole.min, whole.max) == (1, 4)
    # Its type excludes the null among its choices.
    assert (never.choices, never.required) == (("a",), True)
    assert (rate.above, rate.min) == (0, None)
    assert (only.choices, only.required) == ((3,), True)
    assert (tags.kind, tags.choices, tags.required) == (Kind.MULTICHOICE, ("a", "b"), False)
    assert not free.required
    # It can't be null, so it must be filled in, and its default does that beforehand.
    assert (kept.required, kept.default) == (True, "x")
    assert normalise(schema) == schema


@pytest.mark.parametrize(
    ("given_settings", "words"),
    [
        ("string", "did you mean 'str'"),
        ("integer", "did you mean 'int'"),
        ("chioce", "did you mean 'choice'"),
        (int, "did you mean 'int'"),
        ("blob", "Types are str, text, int, float, bool, date"),
        (["a", "b"], '{"type": "choice", "choices": [...]}'),
        (None, "neither a type nor settings"),
        ({"label": "x"}, "'type' is missing"),
        ({"type": "int", "mim": 1}, "did you mean 'min'"),
        ({"type": "int", "required": True}, "did you mean 'optional'"),
        ({"type": "int", "colour": 1}, "Settings are type, label, help"),
        ({"type": "int", "optional": "yes"}, "optional must be True or False"),
        ({"type": "int", "choices": [1]}, "it is for choice, multichoice"),
        ({"type": "date", "min": 1}, "it is for int, float"),
        ({"type": "bool", "pattern": "x"}, "it is for str, text, email, url"),
        ({"type": "int", "min": 3, "max": 2}, "from 3 to 2"),
        ({"type": "int", "min": "1"}, "a limit must be a number"),
        ({"type": "int", "min": True}, "a limit must be a number"),
        ({"type": "float", "min": float("nan")}, "a limit must be a number"),
        ({"type": "int", "min": 10**1000}, "999 digits"),
        ({"type": "str", "min_length": 5, "max_length": 4}, "5, is more than the maximum, 4"),
        ({"type": "str", "min_length": -1}, "a length must be a whole number"),
        ({"type": "str", "min_length": 1.5}, "a length must be a whole number"),
        ({"type": "str", "max_length": 0}, "leaves nothing to enter"),
        ({"type": "str", "pattern": "("}, "not a regular expression"),
        ({"type": "str", "pattern": ")("}, "not a regular expression"),
        ({"type": "str", "pattern": 3}, "the pattern must be a string"),
        ({"type": "str", "label": " "}, "the label is empty"),
        ({"type": "str", "label": 3}, "the label must be a string"),
        ({"type": "str", "help": 3}, "the help must be a string"),
        ({"type": "str", "help": "\ud800"}, "half a character"),
        ({"type": "choice"}, 'needs "choices"'),
        ({"type": "choice", "choices": []}, "no choices"),
        ({"type": "choice", "choices": "abc"}, 'needs "choices"'),
        ({"type": "choice", "choices": [True]}, "a string or a number"),
        ({"type": "choice", "choices": [""]}, "is empty"),
        ({"type": "choice", "choices": [" a"]}, "space around it"),
        ({"type": "choice", "choices": ["a\nb"]}, "control characters"),
        ({"type": "choice", "choices": ["a", "a"]}, "'a' is there twice"),
        ({"type": "choice", "choices": [1, "1"]}, "'1' is there twice"),
        ({"type": "choice", "choices": [1, 1.0]}, "is there twice"),
        ({"type": "choice", "choices": [float("inf")]}, "infinite"),
        ({"type": "multichoice", "choices": ["a"], "min_length": 2}, "at least 2 of 1 choices"),
        ({"type": "multichoice", "choices": ["a"], "min_length": 1, "optional": True}, "remove one of the two"),
        ({"type": "int", "default": "3"}, "the default does not fit: it must be a whole number"),
        ({"type": "int", "default": True}, "the default does not fit"),
        ({"type": "int", "default": 6, "max": 5}, "at most 5"),
        ({"type": "float", "default": float("inf")}, "the default does not fit"),
        ({"type": "float", "default": 10**400}, "the default does not fit"),
        ({"type": "str", "default": "A", "pattern": "[a-z]+"}, "that matches [a-z]+"),
        ({"type": "str", "default": "abc", "max_length": 2}, "the default does not fit"),
        ({"type": "choice", "choices": ["a"], "default": "b"}, "one of a"),
        ({"type": "multichoice", "choices": ["a"], "default": ["a", "a"]}, "each once"),
        ({"type": "date", "default": "24.11.2026"}, "2026-11-24"),
        ({"type": "datetime", "default": "1999-12-31T00:00Z"}, "Slack can't show"),
        ({"type": "email", "default": "a"}, "an email address"),
        ({"type": "url", "default": "example.com"}, "an address such as"),
        ({"type": "user", "default": "@alice"}, "a user ID such as U0123ABCD"),
    ],
)
def test_a_bad_field_is_refused_with_its_name(given_settings: Any, words: str) -> None:
    """The error names the field, and says what is wrong and what is accepted."""
    error = refusal({"fine": "str", "deploy_target": given_settings})
    assert error.field == "deploy_target"
    assert "field 'deploy_target': " in str(error)
    assert words in str(error)


@pytest.mark.parametrize(
    ("prop", "words"),
    [
        ({"type": "object"}, "an object only if its properties are listed"),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 1},
            "can't follow 'minProperties'",
        ),
        ({"type": "array", "items": {"type": "string", "format": "textarea"}}, "if its items are an enum"),
        ({"type": "array", "items": {"type": "string"}, "contains": {"const": "a"}}, "can't follow 'contains'"),
        ({"type": "array", "items": {"type": "object"}}, "if its items are an enum"),
        ({"type": "string", "format": "uuid"}, "unknown format 'uuid'"),
        ({"type": "integer", "multipleOf": 5}, "can't follow 'multipleOf'"),
        ({"type": "string", "minimum": 5}, "can't follow 'minimum'"),
        ({"type": "string", "not": {"const": "x"}}, "can't follow 'not'"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "it is not clear which"),
        ({"type": ["string", "integer"]}, "it is not clear which"),
        ({"allOf": [{"type": "integer"}, {"type": "null"}]}, "it is not clear which"),
        ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "at most 1 and above 1"),
        ({"type": "number", "minimum": 1, "exclusiveMaximum": 1}, "at least 1 and below 1"),
        ({"$ref": "#/$defs/missing"}, "points to nothing"),
        ({"$ref": "#/$defs/circle"}, "points back to itself"),
        ({"$ref": "https://example.com/schema"}, "points outside the schema"),
        ({"$ref": "#/$defs/small", "maximum": 50}, "given twice"),
        ({"type": "integer", "enum": ["a"]}, "is not of type 'integer'"),
        ({"enum": [True, False]}, "a string or a number"),
        (True, "must be an object"),
    ],
)
def test_json_schema_that_no_form_can_show_is_refused(prop: Any, words: str) -> None:
    """A property that a form can't show, or a limit that would be lost in silence, is refused with the field's name."""
    definitions = {"circle": {"$ref": "#/$defs/circle"}, "small": {"type": "integer", "maximum": 5}}
    error = refusal({"type": "object", "$defs": definitions, "properties": {"it": prop}})
    assert error.field == "it"
    assert words in str(error)


@pytest.mark.parametrize(
    ("input_schema", "words"),
    [
        (None, "NoneType is not accepted"),
        ("str", "str is not accepted"),
        ([("a", "str")], "list is not accepted"),
        ({}, "no fields"),
        ({"type": "object"}, "incomplete"),
        ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, "incomplete"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"}, '"type": "object"'),
        ({"type": "object", "properties": {}}, "no fields"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}, "not among the properties"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 1}, "'minProperties'"),
    ],
)
def test_a_bad_schema_as_a_whole_is_refused(input_schema: Any, words: str) -> None:
    """The error says what is wrong with the schema as a whole."""
    assert words in str(refusal(input_schema))


@pytest.mark.parametrize("name", ["", " ", "a\n", "a\x00b", "a=b", " a", "a" * 256, 3, None])
def test_a_bad_name_is_refused(name: Any) -> None:
    """A name is a text of 1 to 255 characters that a command line can say."""
    assert "name" in str(refusal({name: "str"}))


def test_a_name_of_255_characters_is_fine() -> None:
    """The limit itself is allowed."""
    assert fields(normalise({"a" * 255: "str"}))[0].name == "a" * 255


@pytest.mark.parametrize(
    ("fine", "refused", "field"),
    [
        ({f"f{n}": "str" for n in range(92)}, {f"f{n}": "str" for n in range(93)}, "f92"),
        ({"it": {"type": "str", "label": "x" * 2000}}, {"it": {"type": "str", "label": "x" * 2001}}, "it"),
        ({"it": {"type": "str", "help": "x" * 2000}}, {"it": {"type": "str", "help": "x" * 2001}}, "it"),
        ({"it": choice(100)}, {"it": choice(101)}, "it"),
        ({"it": {**choice(100), "type": "multichoice"}}, {"it": {**choice(101), "type": "multichoice"}}, "it"),
        ({"it": {"type": "choice", "choices": ["x" * 75]}}, {"it": {"type": "choice", "choices": ["x" * 76]}}, "it"),
        ({"it": {"type": "str", "min_length": 3000}}, {"it": {"type": "str", "min_length": 3001}}, "it"),
        ({"it": {"type": "text", "max_length": 3000}}, {"it": {"type": "text", "max_length": 3001}}, "it"),
        ({"it": {"type": "text", "default": "x" * 3000}}, {"it": {"type": "text", "default": "x" * 3001}}, "it"),
        ({"it": {"type": "int", "min": 10**999 - 1}}, {"it": {"type": "int", "min": 10**1000}}, "it"),
    ],
    ids=[
        "fields",
        "label",
        "help",
        "choices",
        "choices of many",
        "choice",
        "min_length",
        "max_length",
        "default",
        "digits",
    ],
)
def test_slack_limits_are_exact(fine: dict[str, Any], refused: dict[str, Any], field: str) -> None:
    """What Slack shows at most is accepted; one more is refused, with the field's name."""
    normalise(fine)
    assert refusal(refused).field == field


def test_a_form_too_large_for_slack_is_refused() -> None:
    """Fields that are fine one by one, and together over a view's 250 kB, are refused at the first too many."""
    big = {**choice(100), "choices": [f"{number:075}" for number in range(100)]}
    error = refusal({f"f{number}": big for number in range(20)})
    assert "too large" in str(error)
    assert error.field is not None
    assert int(error.field[1:]) >= 4


def test_a_pattern_holds_for_the_whole_value() -> None:
    """A setting's pattern must match all of the value, a last line break included; JSON Schema's only searches."""
    whole = one({"type": "str", "pattern": "a|bc"})
    assert whole.pattern == "^(?:a|bc)$(?!\\n)"
    searched = {"type": "object", "properties": {"it": {"type": "string", "pattern": "a|bc"}}}
    assert fields(normalise(searched))[0].pattern == "a|bc"


def test_limits_leave_room_for_the_question() -> None:
    """A form of 92 fields, an obligation and the question fit into a view."""
    assert (FORM.fields, FORM.fields + QUESTION_BLOCKS) == (92, 100)


def test_fields_of_something_else_are_refused() -> None:
    """A schema that did not come from normalise is not guessed at."""
    for foreign in ({"properties": 3}, {"properties": {"a": 3}}, {"properties": {"a": {"type": "object"}}}):
        with pytest.raises(InputSchemaError):
            fields(foreign)
    assert fields({}) == ()


def test_a_choice_may_be_buttons() -> None:
    """The only field, with two to four choices; it stays so in normal form."""
    schema = normalise({"to": {"type": "choice", "choices": ["a", "b"], "buttons": True}})
    assert fields(schema)[0].buttons
    assert normalise(schema) == schema


@pytest.mark.parametrize(
    "written",
    [
        {"to": choice(5) | {"buttons": True}},
        {"to": choice(1) | {"buttons": True}},
        {"to": choice(2) | {"buttons": True}, "notes": "str?"},
    ],
)
def test_buttons_are_for_one_field_with_few_choices(written: Any) -> None:
    """Anything else is refused with what to do."""
    assert "buttons are for a form of one field with 2 to 4 choices" in str(refusal(written))


def test_only_a_choice_has_buttons() -> None:
    """On another type the setting would have no effect."""
    assert "'buttons' does not apply to str" in str(refusal({"to": {"type": "str", "buttons": True}}))
