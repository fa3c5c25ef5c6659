"""From what people enter to typed values."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.schema import (
    Field,
    InvalidInput,
    Kind,
    Problem,
    accepted,
    choice_text,
    fields,
    fits,
    normalise,
    typed,
)
from metaflow_extensions.hitl.approvals.schema.fields import is_date, is_instant, is_url
from metaflow_extensions.hitl.inputs import parse, validate
from metaflow_extensions.hitl.inputs.validation import _FORMATS, _Validator
from tests.input_schemas import anything, fitting, settings, settings_dicts


def schema_of(**fields_by_name: Any) -> dict[str, Any]:
    return normalise(fields_by_name)


def problems(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        validate(schema, values)
    return {problem.field: problem.text for problem in caught.value.problems}


@given(st.data(), settings())
def test_the_quick_check_and_jsonschema_agree(data: st.DataObject, given_settings: dict[str, Any]) -> None:
    """Without the library, pods and flows come to the same verdict on any JSON value but null, the pattern apart."""
    schema: Any = normalise({"it": given_settings})
    (field,) = fields(schema)
    value = data.draw(anything() | fitting(field))
    plain = {key: held for key, held in schema["properties"]["it"].items() if key != "pattern"}
    library = _Validator(plain, format_checker=_FORMATS)
    assert fits(field, value) == library.is_valid(value)


@given(st.text() | st.dates().map(str) | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"))
def test_our_dates_are_those_of_json_schema(text: str) -> None:
    """The library's own check of the format agrees with ours."""
    assert is_date(text) == FormatChecker(["date"]).conforms(text, "date")


@given(st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_our_instants_are_rfc_3339(moment: datetime) -> None:
    """A date and time as records keep it is one to the library's own check too."""
    text = moment.isoformat()
    if is_instant(text):
        assert FormatChecker(["date-time"]).conforms(text, "date-time")


def test_every_instant_with_whole_minutes_of_offset_is_one() -> None:
    """What isoformat writes in UTC is accepted, with and without decimals."""
    moment = datetime(2026, 11, 24, 17, 0, 0, 120, tzinfo=timezone.utc)
    assert is_instant(moment.isoformat())
    assert is_instant(moment.replace(microsecond=0).isoformat())
    assert not is_instant(moment.replace(tzinfo=None).isoformat())


@pytest.mark.slow
@given(st.data(), settings_dicts())
def test_values_that_fit_pass_unchanged(data: st.DataObject, given_schema: dict[str, Any]) -> None:
    """Valid values come back equal, with equal types, in the schema's order; and again when validated again."""
    schema = normalise(given_schema)
    form = fields(schema)
    values = {field.name: data.draw(fitting(field)) for field in reversed(form)}
    complete = validate(schema, values)
    assert list(complete) == [field.name for field in form]
    assert complete == values
    assert {name: type(value) for name, value in complete.items()} == {name: type(v) for name, v in values.items()}
    assert json.dumps(validate(schema, json.loads(json.dumps(complete)))) == json.dumps(complete)
    assert Draft202012Validator(schema).is_valid(complete)


@pytest.mark.parametrize(
    ("prop", "values"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, {0: False, 0.5: True, 1: False}),
        ({"type": "number", "minimum": 0, "maximum": 1}, {-0.1: False, 0: True, 1: True, 1.1: False}),
        ({"enum": [0, 1.5, "a"]}, {False: False, 1.5: True, "a": True, "A": False}),
        ({"enum": [0, 1.5, "a"]}, {0.0: True, True: False}),
    ],
)
def test_limits_and_choices_are_exact(prop: Any, values: dict[Any, bool]) -> None:
    """At each limit, and where Python holds false to be 0, both checks come to the verdict that JSON demands."""
    schema: Any = normalise({"type": "object", "properties": {"it": prop}, "required": ["it"]})
    (field,) = fields(schema)
    library = Draft202012Validator(schema["properties"]["it"])
    for value, verdict in values.items():
        assert fits(field, value) == library.is_valid(value) == verdict


def _typing(field: Field, value: Any) -> str:
    """What a person types for a value."""
    if field.kind in {Kind.MULTICHOICE, Kind.LIST}:
        return json.dumps(value)
    return choice_text(value) if field.kind is Kind.CHOICE else str(value)


@pytest.mark.slow
@given(st.data(), settings_dicts())
def test_what_is_typed_is_what_is_meant(data: st.DataObject, given_schema: dict[str, Any]) -> None:
    """Values written out and parsed again are the same values, and valid."""
    schema = normalise(given_schema)
    form = fields(schema)
    values = {field.name: data.draw(fitting(field)) for field in form}
    texts = {field.name: _typing(field, values[field.name]) for field in form}
    quoted = [name for name, text in texts.items() if text.strip()[:1] in {"“", "„", "‘", "‚", "«"}]
    texts = {name: text for name, text in texts.items() if name not in quoted}
    if not quoted:
        assert parse(schema, texts) == values


@given(settings_dicts())
def test_left_empty_is_refused_or_empty(given_schema: dict[str, Any]) -> None:
    """An empty field is a problem if it is required and its empty value if not, whether null, blank or left out."""
    schema = normalise(given_schema)
    form = fields(schema)
    required = [field.name for field in form if field.required]
    for read in (
        lambda: validate(schema, dict.fromkeys(given_schema)),
        lambda: validate(schema, {}),
        lambda: parse(schema, dict.fromkeys(given_schema, " ")),
    ):
        if required:
            with pytest.raises(InvalidInput) as caught:
                read()
            assert [problem.field for problem in caught.value.problems] == required
        else:
            assert read() == {field.name: field.empty for field in form}


@given(st.data(), settings())
def test_a_refusal_says_what_is_accepted(data: st.DataObject, given_settings: dict[str, Any]) -> None:
    """Whatever is entered, the outcome is a value that fits or one problem that says what does."""
    schema = normalise({"it": given_settings})
    (field,) = fields(schema)
    value = data.draw(anything() | st.sampled_from([float("nan"), float("inf"), "\ud800", 10**5000, object()]))
    try:
        found = validate(schema, {"it": value})["it"]
    except InvalidInput as error:
        (problem,) = error.problems
        assert problem.field == "it"
        assert accepted(field) in problem.text
    else:
        assert fits(field, found)
        json.dumps(found, allow_nan=False)


def test_numbers_arrive_typed() -> None:
    """3.0 is the int 3, 3 is the float 3.0, and an int may be larger than any float; true is not a number."""
    schema = schema_of(count="int", rate="float")
    found = validate(schema, {"count": 3.0, "rate": 3})
    assert [(type(value), value) for value in found.values()] == [(int, 3), (float, 3.0)]
    assert validate(schema, {"count": 10**500, "rate": 0})["count"] == 10**500
    assert set(problems(schema, {"count": True, "rate": False})) == {"count", "rate"}
    assert set(problems(schema, {"count": 3.5, "rate": float("nan")})) == {"count", "rate"}
    assert set(problems(schema, {"count": float("inf"), "rate": 10**400})) == {"count", "rate"}


def test_a_missing_value_is_the_default_and_an_emptied_one_is_not() -> None:
    """Saying nothing takes the default, of a required field too; emptying an optional field does not."""
    schema = schema_of(
        a={"type": "int", "default": 1},
        b={"type": "int", "default": 2, "optional": True},
        c={"type": "str", "default": ""},
    )
    assert validate(schema, {}) == {"a": 1, "b": 2, "c": ""}
    assert validate(schema, {"b": None, "c": None}) == {"a": 1, "b": None, "c": ""}
    assert problems(schema, {"a": None}) == {"a": "is required: a whole number"}


def test_choices_come_back_in_the_authors_order_and_type() -> None:
    """The same choices in another order are the same input; each keeps the type that the author gave."""
    schema = schema_of(
        many={"type": "multichoice", "choices": ["b", "a", 2]}, one={"type": "choice", "choices": [1, 2.5]}
    )
    assert validate(schema, {"many": [2.0, "a", "b"], "one": 1.0}) == {"many": ["b", "a", 2], "one": 1}
    assert parse(schema, {"many": "2, a", "one": "2.5"}) == {"many": ["a", 2], "one": 2.5}


@pytest.mark.parametrize(
    ("settings_", "text"),
    [
        ("str", "is required: text"),
        ({"type": "str", "min_length": 3, "max_length": 20}, "is required: text of 3 to 20 characters"),
        ({"type": "str", "max_length": 20}, "is required: text of 1 to 20 characters"),
        ({"type": "str", "min_length": 3}, "is required: text of at least 3 characters"),
        ({"type": "str", "pattern": "v[0-9]+"}, "is required: text that matches v[0-9]+"),
        ({"type": "int", "min": 1, "max": 100}, "is required: a whole number from 1 to 100"),
        ({"type": "int", "min": 1}, "is required: a whole number at least 1"),
        ({"type": "float", "max": 1e-7}, "is required: a number at most 0.0000001"),
        ("bool", "is required: yes or no"),
        (
            {"type": "choice", "choices": [*"abcdefghijkl"]},
            "is required: one of a, b, c, d, e, f, g, h, i, j, … (12 in all)",
        ),
        ({"type": "choice", "choices": ["Ulm, small", "Bonn"]}, 'is required: one of "Ulm, small", "Bonn"'),
        ({"type": "multichoice", "choices": ["a", "b"]}, "is required: at least 1 of a, b, each once"),
        (
            {"type": "list[str]", "max_length": 5, "pattern": "[a-z]+"},
            "is required: a list of 1 to 5 items, each a text that matches [a-z]+",
        ),
    ],
)
def test_problems_name_what_is_accepted(settings_: Any, text: str) -> None:
    """The words beside a field are short and say what to enter."""
    assert problems(schema_of(it=settings_), {}) == {"it": text}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """A misspelt name is not dropped: the person believes that it was heard."""
    schema = schema_of(deploy_target={"type": "str", "optional": True})
    assert problems(schema, {"deploy_targt": "x"}) == {"deploy_targt": "is not a field (did you mean deploy_target?)"}
    assert problems(schema, {"zzz": "x"}) == {"zzz": "is not a field (the fields are deploy_target)"}


def test_all_problems_come_at_once() -> None:
    """In the schema's order, unknown names last, in an error of the one tree whose message has them all."""
    with pytest.raises(HitlError, match=r"a must be .*; b is required: .*; c is not a field") as caught:
        validate(schema_of(a="int", b="bool"), {"c": 1, "a": "x"})
    assert isinstance(caught.value, InvalidInput)
    assert caught.value.problems[0] == Problem("a", "must be a whole number")


@pytest.mark.parametrize(
    ("settings_", "text", "value"),
    [
        ("int", "+3", 3),
        ("int", " -12 ", -12),
        ("int", "3.0", 3),
        ("int", "“7”", 7),
        ("float", "2.50", 2.5),
        ("float", "-1e3", -1000.0),
        ("float", ".5", 0.5),
        ("bool", "TRUE", True),
        ("bool", "yes", True),
        ("bool", "On", True),
        ("bool", "1", True),
        ("bool", "false", False),
        ("bool", "no", False),
        ("bool", "off", False),
        ("bool", "0", False),
        ("date", "'2026-11-24'", "2026-11-24"),
        ("datetime", "2026-11-24T17:00", "2026-11-24T17:00:00+00:00"),
        ("datetime", "2026-11-24 17:00:01.5Z", "2026-11-24T17:00:01.500000+00:00"),
        ("datetime", "2026-11-24T17:00+01:00", "2026-11-24T17:00:00+01:00"),
        ("str", "“canary first”", "canary first"),
        ("str", '"quoted"', '"quoted"'),
        ("str", "“a” and “b”", "“a” and “b”"),
        ("str", "a=b, c", "a=b, c"),
        ("text", "two\nlines", "two\nlines"),
        ("email", "<mailto:a@b.org|a@b.org>", "a@b.org"),
        ("url", "<https://a.org/x|a.org>", "https://a.org/x"),
        ("url", "s3://bucket/key", "s3://bucket/key"),
        ("user", "<@U0123ABCD|alice>", "U0123ABCD"),
        ({"type": "choice", "choices": ["a,b", 3]}, "3", 3),
        ({"type": "choice", "choices": ["''", "a"]}, "''", "''"),
        ({"type": "choice", "choices": ["''", "a"]}, "'a'", "a"),
        ({"type": "multichoice", "choices": ["a,b", "c"]}, "a,b", ["a,b"]),
        ({"type": "multichoice", "choices": ["a", '"b"']}, '"a", "b"', ["a", '"b"']),
        ({"type": "multichoice", "choices": ["a,b", "c"]}, '["c", "a,b"]', ["a,b", "c"]),
        ({"type": "multichoice", "choices": ["a", "b"]}, " b , “a”, ", ["a", "b"]),
        ("list[str]", "a, b", ["a, b"]),
        ("list[str]", " a \n\n“b”\n", ["a", "b"]),
        ("list[str]", '["a", "[b"]', ["a", "[b"]),
        ("list[str]", "[b", ["[b"]),
        ("list[int]", "1\n2", [1, 2]),
        ("list[url]", "<https://a.org/x|a.org>", ["https://a.org/x"]),
    ],
)
def test_texts_are_read_as_people_type_them(settings_: Any, text: str, value: Any) -> None:
    """Signs, space, quotation marks, Slack's markup and several spellings are understood."""
    found = parse(schema_of(it=settings_), {"it": text})["it"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("settings_", "text"),
    [
        ("int", "3,5"),
        ("int", "3.5"),
        ("int", "1_000"),
        ("int", "٣"),
        ("int", "9" * 5000),
        ("float", "3,5"),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "1e999"),
        ("bool", "maybe"),
        ("date", "20261124"),
        ("date", "2026-W01-1"),
        ("date", "2026-02-30"),
        ("datetime", "2026-11-24"),
        ("datetime", "2026-11-24T25:00"),
        ("datetime", "0001-01-01T00:00+14:00"),
        ("email", "a@b@c"),
        ("email", "a" * 250 + "@b.org"),
        ("url", "javascript:alert(1)"),
        ("url", "https://"),
        ("url", "https://[::1"),
        ("url", "https://a b"),
        ("url", "https://a.org/\x07"),
        ("user", "@alice"),
        ({"type": "choice", "choices": ["a"]}, "A"),
        ({"type": "multichoice", "choices": ["a"]}, "a,a"),
        ({"type": "multichoice", "choices": ["a"]}, "[a"),
        ({"type": "str", "pattern": "v[0-9]+"}, "v1\n"),
        ({"type": "str", "pattern": "v[0-9]+"}, "xv1"),
        ({"type": "str", "max_length": 3}, "abcd"),
        ("str", "x" * 3001),
        ("list[str]", "\n".join(["x"] * 1501)),
        ("list[str]", '["a\\nb"]'),
        ("list[int]", "1, 2"),
        ({"type": "list[str]", "max_length": 1}, "a\nb"),
        ({"type": "list[str]", "pattern": "[a-z]"}, "a\nB"),
    ],
)
def test_texts_that_are_something_else_are_refused(settings_: Any, text: str) -> None:
    """Nothing is guessed: a comma in a number, another calendar, a script for an address."""
    schema = schema_of(it=settings_)
    with pytest.raises(InvalidInput) as caught:
        parse(schema, {"it": text})
    assert caught.value.problems == (Problem("it", f"must be {accepted(fields(schema)[0])}"),)


def test_a_list_is_typed_item_by_item() -> None:
    """The same name several times is a list's items or a choice's; for one value it is refused, and nothing guessed."""
    schema = schema_of(
        tags="list[str]", on="list[date]?", to={"type": "multichoice", "choices": ["a", "b"]}, share="int?"
    )
    found = parse(schema, {"tags": ["x", "y=z"], "to": ["b", "a"], "on": "2026-11-24"})
    assert found == {"tags": ["x", "y=z"], "on": ["2026-11-24"], "to": ["a", "b"], "share": None}
    assert typed(schema, found)["on"] == [date(2026, 11, 24)]
    with pytest.raises(InvalidInput, match="share is given 2 times; it must be a whole number"):
        parse(schema, {"tags": "x", "to": "a", "share": ["1", "2"]})


def test_an_object_is_given_whole_or_by_dotted_names() -> None:
    """Both are the same input; what is left out of an optional object is left out as a whole; a typo is named."""
    inner: dict[str, Any] = {
        "type": "object",
        "properties": {"region": {"type": "string"}, "size": {"type": "integer"}},
    }
    target = {**inner, "required": ["region"]}
    optional = {"anyOf": [inner, {"type": "null"}]}
    schema = normalise({"type": "object", "properties": {"to": target, "back": optional}, "required": ["to"]})
    given = parse(schema, {"to.region": "eu", "to.size": "3"})
    assert given == validate(schema, {"to": {"region": "eu", "size": 3}, "back": None})
    assert typed(schema, given) == {"to": {"region": "eu", "size": 3}, "back": None}
    assert typed(schema, {**given, "back.size": 1})["back"] == {"region": None, "size": 1}
    assert problems(schema, {"to": {"regoin": "eu"}}) == {
        "to.region": "is required: text",
        "to.regoin": "is not a field (did you mean to.region?)",
    }


def test_a_choice_can_be_called_by_its_title() -> None:
    """What Slack's menu shows can be typed; a refusal names both."""
    options = [{"const": "eu", "title": "Europe"}, {"const": "us", "title": "eu"}]
    schema = normalise({"type": "object", "properties": {"to": {"oneOf": options}}, "required": ["to"]})
    assert parse(schema, {"to": "Europe"}) == parse(schema, {"to": "eu"}) == {"to": "eu"}
    assert problems(schema, {"to": "asia"}) == {"to": "must be one of eu (Europe), us (eu)"}


def test_the_step_sees_dates() -> None:
    """What JSON holds as text arrives as date and aware datetime; the rest as it is, and null as None."""
    schema = schema_of(d="date", t="datetime", n="float", e={"type": "date", "optional": True})
    values = {"d": "2026-11-24", "t": "2026-11-24T17:00:00+01:00", "n": 3, "e": None}
    found = typed(schema, values)
    zone = timezone(timedelta(hours=1))
    assert found == {"d": date(2026, 11, 24), "t": datetime(2026, 11, 24, 17, tzinfo=zone), "n": 3.0, "e": None}
    assert [type(value) for value in found.values()] == [date, datetime, float, type(None)]
    assert typed({}, {"anything": [1]}) == {"anything": [1]}
    with pytest.raises(InvalidInput, match="d must be a date"):
        typed(schema, {"d": "soon"})


@given(st.text())
def test_no_text_is_an_address_with_space_in_it(text: str) -> None:
    """Any text gets a verdict, and none with space or a control character in it passes."""
    assert not is_url(f"https://example.com/ {text}")
    assert is_url(text) in {True, False}
