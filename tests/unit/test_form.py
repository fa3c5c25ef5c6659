"""The fields of a schema as a Slack form, and back."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from jsonschema import Draft202012Validator
from slack_sdk.models.views import View

from hitl_bot.sandbox.blocks import complaints_about_view
from metaflow_extensions.hitl.approvals import schema as schemas
from metaflow_extensions.hitl.approvals.schema import (
    InputSchemaError,
    InvalidInput,
    Kind,
    Problem,
    fields,
    nested,
)
from metaflow_extensions.hitl.approvals.schema.fields import MANY
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.messages.form import block_id, form_blocks, form_errors, form_values
from metaflow_extensions.hitl.slack import FORM
from tests.input_schemas import fitting, objects, settings_dicts
from tests.sizes import soak


# The element's type, the key of what it holds beforehand, and the key of what it sends:
# https://docs.slack.dev/reference/block-kit/block-elements
def normalise(input_schema):
    return schemas.normalise(input_schema, FORM)


ELEMENTS = {
    "plain_text_input": ("initial_value", "value"),
    "number_input": ("initial_value", "value"),
    "email_text_input": ("initial_value", "value"),
    "url_text_input": ("initial_value", "value"),
    "datepicker": ("initial_date", "selected_date"),
    "datetimepicker": ("initial_date_time", "selected_date_time"),
    "radio_buttons": ("initial_option", "selected_option"),
    "static_select": ("initial_option", "selected_option"),
    "checkboxes": ("initial_options", "selected_options"),
    "multi_static_select": ("initial_options", "selected_options"),
    "users_select": ("initial_user", "selected_user"),
}


def submitted(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """What Slack sends for a form that the person submits as it is."""
    values = {}
    for block in blocks:
        element = block["element"]
        before, after = ELEMENTS[element["type"]]
        nothing: Any = [] if after == "selected_options" else None
        sent = {"type": element["type"], after: element.get(before, nothing)}
        values[block["block_id"]] = {element["action_id"]: sent}
    return values


def view(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    title, submit = ({"type": "plain_text", "text": text} for text in ("Approve gate", "Approve"))
    return {"type": "modal", "title": title, "submit": submit, "blocks": blocks}


def element(settings: Any, **values: Any) -> dict[str, Any]:
    (block,) = form_blocks(fields(normalise({"it": settings})), values=values)
    found: dict[str, Any] = block["element"]
    return found


@pytest.mark.slow
@given(st.data(), settings_dicts())
def test_what_is_filled_in_is_what_comes_back(data: st.DataObject, given_schema: dict[str, Any]) -> None:
    """A form opened with values and submitted untouched yields the same values, of any kind, and they are valid."""
    schema = normalise(given_schema)
    form = fields(schema)
    values = {field.name: data.draw(fitting(field)) for field in form}
    found = form_values(form, submitted(form_blocks(form, values=values)))
    for field in form:
        if field.kind is Kind.DATETIME:  # Slack sends the instant and not the zone
            assert datetime.fromisoformat(str(found[field.name])) == datetime.fromisoformat(values[field.name])
        else:
            assert (type(found[field.name]), found[field.name]) == (type(values[field.name]), values[field.name])
    validate(schema, found)


@given(settings_dicts())
def test_an_untouched_empty_form_is_empty(given_schema: dict[str, Any]) -> None:
    """Empty inputs come back as None, and choices as an empty list."""
    form = fields(normalise(given_schema))
    found = form_values(form, submitted(form_blocks(form)))
    assert found == {field.name: [] if field.kind in MANY else None for field in form}


@pytest.mark.slow
@hypothesis_settings(max_examples=soak(20, 300))
@given(st.data(), objects())
def test_what_a_form_sends_back_is_what_a_nested_schema_accepts(data: st.DataObject, written: dict[str, Any]) -> None:
    """What the step sees of a submitted form, objects in objects, is valid by the schema that its author wrote."""
    schema = normalise(written)
    assert schemas.normalise(json.loads(json.dumps(schema))) == schema
    form = fields(schema)
    values = {field.name: data.draw(fitting(field) if field.required else fitting(field) | st.none()) for field in form}
    complete = validate(schema, form_values(form, submitted(form_blocks(form, values=values))))
    seen = nested(schema, complete)
    assert [str(error) for error in Draft202012Validator(written).iter_errors(seen)] == []
    assert validate(schema, seen) == complete


@pytest.mark.slow
@given(st.data(), settings_dicts())
def test_slack_would_show_it(data: st.DataObject, given_schema: dict[str, Any]) -> None:
    """The sandbox and slack_sdk, each with its own reading of Slack's documentation, find nothing wrong."""
    form = fields(normalise(given_schema))
    values = {field.name: data.draw(fitting(field) | st.none()) for field in form}
    made = view(form_blocks(form, values=values))
    assert complaints_about_view(made) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert View(**made).to_dict()["blocks"] == made["blocks"]


def test_the_largest_form_is_one_that_slack_shows() -> None:
    """92 fields, labels and hints of 2,000 characters, 100 choices: at each limit there are no complaints."""
    many = fields(normalise({f"f{number}": "str" for number in range(FORM.fields)}))
    assert complaints_about_view(view(form_blocks(many))) == []
    choices = [f"{number:075}" for number in range(FORM.choices)]
    wide = normalise(
        {
            "a": {"type": "choice", "choices": choices, "label": "x" * FORM.label, "help": "y" * FORM.help},
            "b": {"type": "multichoice", "choices": choices, "default": choices},
            "c": {"type": "int", "min": -(10**999) + 1, "max": 10**999 - 1, "default": 10**999 - 1},
            "d": {"type": "float", "min": 5e-324, "max": 1.7e308, "default": 5e-324},
            "e": {"type": "str", "min_length": FORM.text, "default": "z" * FORM.text},
        }
    )
    assert complaints_about_view(view(form_blocks(fields(wide)))) == []


@pytest.mark.parametrize(
    "settings",
    [
        {
            "type": "choice",
            "choices": [f"{number:03}" + "é" * 72 for number in range(100)],
            "default": "000" + "é" * 72,
        },
        {"type": "multichoice", "choices": [f"{n:03}" for n in range(100)], "default": [f"{n:03}" for n in range(100)]},
        {"type": "multichoice", "choices": ["a"], "min_length": 1, "default": ["a"]},
        {"type": "float", "min": 5e-324, "max": 1.7e308, "default": 5e-324},
        {"type": "int", "min": 0, "max": 5, "default": 1},
        {"type": "text", "default": "é" * 3000, "label": "é" * 2000, "help": "é" * 2000},
        {"type": "str", "pattern": '"' * 99, "optional": True},
        {"type": "bool", "default": True},
        {"type": "bool", "optional": True, "default": False},
        "date",
        "datetime",
        "email",
        "url",
        "user",
        "list[str]?",
        {"type": "list[float]", "default": [1e-300] * 300, "min_length": 300, "max_length": 301, "min": 5e-324},
    ],
)
def test_the_size_of_a_form_is_never_underrated(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If as many fields as are accepted stand in a form, it is within the bytes that are kept for it."""
    names = [f"größe{number}" for number in range(FORM.fields)]
    try:
        normalise(dict.fromkeys(names, settings))
    except InputSchemaError as error:
        names = names[: names.index(error.field or "")]
    assert names
    blocks = form_blocks(fields(normalise(dict.fromkeys(names, settings))))
    assert len(json.dumps(blocks)) <= FORM.total_bytes
    # One field in one byte less than it takes is refused.
    tight = replace(FORM, total_bytes=len(json.dumps(blocks[:1])) - 1)
    with pytest.raises(InputSchemaError, match="too large"):
        schemas.normalise({names[0]: settings}, tight)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("str", {"type": "plain_text_input", "multiline": False, "min_length": 1, "max_length": 3000}),
        ({"type": "text", "optional": True, "max_length": 9}, {"multiline": True, "max_length": 9, "min_length": None}),
        ({"type": "int", "min": -1, "max": 9}, {"is_decimal_allowed": False, "min_value": "-1", "max_value": "9"}),
        (
            {"type": "float", "min": 1e-7},
            {"type": "number_input", "is_decimal_allowed": True, "min_value": "0.0000001"},
        ),
        ({"type": "float", "default": 0.0}, {"initial_value": "0.0"}),
        ("bool", {"type": "radio_buttons", "initial_option": None}),
        ({"type": "bool", "optional": True}, {"type": "static_select"}),
        ({"type": "choice", "choices": [*"abcde"]}, {"type": "radio_buttons"}),
        ({"type": "choice", "choices": [*"abcdef"]}, {"type": "static_select"}),
        ({"type": "choice", "choices": ["a"], "optional": True}, {"type": "static_select"}),
        ({"type": "multichoice", "choices": [*"abcdefghij"]}, {"type": "checkboxes"}),
        (
            {"type": "multichoice", "choices": [*"abcdefghijk"], "max_length": 2},
            {"type": "multi_static_select", "max_selected_items": 2},
        ),
        ("date", {"type": "datepicker"}),
        ("datetime", {"type": "datetimepicker"}),
        ({"type": "datetime", "default": "2026-11-24T17:00Z"}, {"initial_date_time": 1795539600}),
        ("email", {"type": "email_text_input"}),
        ("url", {"type": "url_text_input"}),
        ("user", {"type": "users_select"}),
        (
            {"type": "list[str]", "default": ["a b", "c"]},
            {"type": "plain_text_input", "multiline": True, "initial_value": "a b\nc", "max_length": 3000},
        ),
        ({"type": "list[float]", "default": [0.5, 1e-7]}, {"initial_value": "0.5\n1e-07"}),
    ],
)
def test_each_type_has_its_element(settings: Any, expected: dict[str, Any]) -> None:
    """The element that fits the type, with the field's limits in the form in which Slack takes them."""
    found = element(settings)
    assert {key: found.get(key) for key in expected} == expected
    assert None not in found.values()


def test_a_required_bool_can_be_answered_no() -> None:
    """Yes and No are two buttons of which one must be chosen, and No arrives as False."""
    form = fields(normalise({"sure": "bool"}))
    yes, no = element("bool")["options"]
    assert (yes["text"]["text"], no["text"]["text"]) == ("Yes", "No")
    state = {block_id(0): {"value": {"type": "radio_buttons", "selected_option": no}}}
    assert form_values(form, state) == {"sure": False}


def test_labels_hints_and_optional_are_the_fields() -> None:
    """The label is the name in words unless the author gave one; help stands below; optional is said to Slack."""
    schema = normalise(
        {"deploy_target": "str", "n": {"type": "int", "label": "How many", "help": "At once", "optional": True}}
    )
    first, second = form_blocks(fields(schema))
    assert first["label"] == {"type": "plain_text", "text": "Deploy target"}
    assert (first["optional"], "hint" in first) == (False, False)
    assert second["label"]["text"] == "How many"
    assert second["hint"] == {"type": "plain_text", "text": "At once"}
    assert second["optional"] is True


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"type": "int", "min": 1, "max": 9, "default": 3}, "A whole number from 1 to 9"),
        ({"type": "int", "min": 1, "help": "How many pods."}, "How many pods. A whole number at least 1."),
        ({"type": "str", "max_length": 9, "help": "Short"}, "Short. Text of 1 to 9 characters."),
        ({"type": "multichoice", "choices": ["a", "b", "c"], "max_length": 2}, "Choose 1 to 2"),
        ({"type": "str", "help": "Anything"}, "Anything"),
        ("list[str]", "One item on each line, at least 1 item"),
        ("list[str]?", "One item on each line"),
        (
            {"type": "list[int]", "max_length": 1, "min": 1, "max": 9, "help": "Which shards."},
            "Which shards. One whole number on each line, 1 item, each a whole number from 1 to 9.",
        ),
    ],
)
def test_bounds_are_shown_beside_a_description_and_a_value(settings: dict[str, Any], hint: str) -> None:
    """What a field accepts stands below it, also where there is a description, and once it holds a value."""
    (block,) = form_blocks(fields(normalise({"it": settings})))
    assert block["hint"]["text"] == hint
    assert "placeholder" not in block["element"] or "from" not in block["element"]["placeholder"]["text"]


def test_given_values_win_over_defaults() -> None:
    """What an earlier voter entered is filled in; None leaves the input empty; a missing name gets the default."""
    settings = {"type": "int", "default": 1, "optional": True}
    assert element(settings)["initial_value"] == "1"
    assert element(settings, it=2)["initial_value"] == "2"
    assert "initial_value" not in element(settings, it=None)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"type": "choice", "choices": ["a"]}, "b"),
        ({"type": "multichoice", "choices": ["a"]}, ["b"]),
        ("int", "many"),
        ("date", "soon"),
        ("datetime", "1970-01-01T00:00:00+00:00"),
        ({"type": "str", "optional": True}, ""),
        ({"type": "multichoice", "choices": ["a"], "optional": True}, []),
    ],
)
def test_a_value_that_slack_would_refuse_is_left_out(settings: Any, value: Any) -> None:
    """One bad value beforehand would cost the whole view, so the input stays empty instead."""
    assert not [key for key in element(settings, it=value) if key.startswith("initial")]


@pytest.mark.parametrize("typed", ["", "  ", None])
def test_a_blank_input_is_empty(typed: str | None) -> None:
    """An input of nothing but space was left empty."""
    form = fields(normalise({"notes": "str", "n": "int"}))
    state = {block_id(index): {"value": {"type": "plain_text_input", "value": typed}} for index in (0, 1)}
    assert form_values(form, state) == {"notes": None, "n": None}


def test_a_list_is_read_by_its_lines() -> None:
    """Blank lines and space around an item don't count; a line that can't be read is refused with what is accepted."""
    form = fields(schema := normalise({"tags": "list[str]", "shards": "list[int]?"}))
    state = {block_id(0): {"value": {"value": " “a, b” \r\n\n[c]\n"}}, block_id(1): {"value": {"value": "1\nx\n"}}}
    found = form_values(form, state)
    assert found == {"tags": ["“a, b”", "[c]"], "shards": [1, "x"]}
    with pytest.raises(InvalidInput, match=r"^shards must be a list of items, each a whole number\.$"):
        validate(schema, found)


def test_titles_are_what_a_menu_shows() -> None:
    """A choice of ``oneOf`` is shown by its titles and sends its value."""
    options = [{"const": "eu", "title": "Europe, slow"}, {"const": 7, "title": "Elsewhere"}]
    schema = normalise({"type": "object", "properties": {"to": {"oneOf": options}}, "required": ["to"]})
    form = fields(schema)
    (block,) = blocks = form_blocks(form, values={"to": 7})
    assert [(one["text"]["text"], one["value"]) for one in block["element"]["options"]] == [
        ("Europe, slow", "eu"),
        ("Elsewhere", "7"),
    ]
    assert form_values(form, submitted(blocks)) == {"to": 7}


def test_what_cannot_be_read_stays_for_validation() -> None:
    """A number, option or moment that no form of ours sends is passed on as it is, and validation refuses it."""
    schema = normalise(
        {
            "n": "int",
            "c": {"type": "choice", "choices": ["a"]},
            "t": "datetime",
            "ok": "bool",
            "gone": {"type": "int", "default": 1},
        }
    )
    form = fields(schema)
    state = {
        block_id(0): {"value": {"value": "1e5"}},
        block_id(1): {"value": {"selected_option": {"value": "b"}}},
        block_id(2): {"value": {"selected_date_time": "now"}},
        block_id(3): {"value": {"selected_option": {"value": "Perhaps"}}},
    }
    found = form_values(form, state)
    assert found == {"n": "1e5", "c": "b", "t": "now", "ok": "Perhaps"}
    with pytest.raises(InvalidInput, match=r"n must be .* c must be .* t must be .* ok must be "):
        validate(schema, found)


def test_problems_stand_under_their_inputs() -> None:
    """Each error is keyed by its input's block; one about a name that the form lacks stands under the first."""
    form = fields(normalise({"a": "int", "b": "bool"}))
    assert form_errors(form, [Problem("b", "must be yes or no")]) == {block_id(1): "Must be yes or no"}
    assert form_errors(form, [Problem("x", "is not a field")]) == {block_id(0): "x is not a field"}
    assert len(form_errors(form, [Problem("a", "y" * 5000)])[block_id(0)]) == 300
