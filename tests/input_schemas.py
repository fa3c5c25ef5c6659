"""Schemas, values that fit them, and values that may not, as hypothesis draws them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from hypothesis import assume, strategies as st

from metaflow_extensions.hitl.approvals.schema import Field, Kind, canonical, choice_text, normalise
from metaflow_extensions.hitl.approvals.schema.fields import LISTED
from metaflow_extensions.hitl.slack import FORM

PATTERNS = (None, None, "v[0-9]+", "[a-z]*", "x|yz")

_CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))
_SHORT = st.text(_CHARACTERS, max_size=12)


def names() -> st.SearchStrategy[str]:
    odd = st.text(_CHARACTERS, min_size=1, max_size=20).filter(
        lambda name: name.isprintable() and name == name.strip() and "=" not in name
    )
    return st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True) | odd


def _choices() -> st.SearchStrategy[list[Any]]:
    texts = _SHORT.filter(lambda text: bool(text) and text.isprintable() and text == text.strip())
    numbers = st.integers(-1000, 1000) | st.floats(-100, 100, width=16)
    # 1 and 1.0 are one number to JSON; 1 and "1" look alike in a menu.
    return st.lists(texts | numbers, min_size=1, max_size=14, unique_by=(lambda choice: choice, choice_text))


@st.composite
def settings(draw: st.DrawFn, kind: Kind | None = None) -> dict[str, Any]:
    """Draw the settings of one field, without a default."""
    kind = draw(st.sampled_from(Kind)) if kind is None else kind
    made: dict[str, Any] = {"type": kind.value, "optional": draw(st.booleans())}
    if draw(st.booleans()):
        made |= {"label": draw(_SHORT.filter(str.strip)), "help": draw(_SHORT)}
    if kind in {Kind.STR, Kind.TEXT}:
        least = draw(st.integers(0, 3))
        made |= {"min_length": least, "max_length": least + draw(st.integers(1, 9))}
        pattern = draw(st.sampled_from(PATTERNS))
        if pattern:
            made = {key: value for key, value in made.items() if "length" not in key} | {"pattern": pattern}
    if kind in {Kind.INT, Kind.FLOAT}:
        numbers = st.integers(-1000, 1000) if kind is Kind.INT else st.floats(-1e6, 1e6)
        made["min"], made["max"] = draw(st.tuples(numbers, numbers).map(sorted))
    if kind in {Kind.CHOICE, Kind.MULTICHOICE}:
        made["choices"] = draw(_choices())
    if kind is Kind.MULTICHOICE and not made["optional"]:
        made["min_length"] = draw(st.integers(1, len(made["choices"])))
    if kind is Kind.LIST:
        made["type"] = f"list[{draw(st.sampled_from(sorted(LISTED)))}]"
        made["max_length"] = draw(st.integers(1, 5))
    return made


def settings_dicts() -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    return st.dictionaries(names(), settings(), min_size=1, max_size=6)


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Draw a JSON Schema of an object, with objects in it; one that may be left out has no field that may not."""
    fields = normalise(draw(settings_dicts()))
    inner = draw(st.dictionaries(st.sampled_from(["in", "ner"]), objects(depth - 1), max_size=2)) if depth else {}
    made: dict[str, Any] = {"type": "object", "properties": {}, "required": list(fields["required"])}
    for name, prop in fields["properties"].items():
        if "." not in name and name not in inner:
            made["properties"][name] = prop
    made["required"] = [name for name in made["required"] if name in made["properties"]]
    for name, prop in inner.items():
        made["properties"][name] = prop
        if _needed(prop) or draw(st.booleans()):
            made["required"].append(name)
        else:
            made["properties"][name] = {"anyOf": [prop, {"type": "null"}]}
    assume(made["properties"])
    return made


def _needed(prop: dict[str, Any]) -> bool:
    return bool(prop["required"]) or any(one.get("minItems") for one in prop["properties"].values())


def fitting(field: Field) -> st.SearchStrategy[Any]:
    """Draw values that fit, in the form that records keep, and that Slack's inputs can show."""
    first = datetime.fromtimestamp(FORM.earliest, tz=timezone.utc) + timedelta(days=2)
    moments = st.datetimes(first.replace(tzinfo=None), datetime(2280, 1, 1))  # noqa: DTZ001 - its zone comes next
    zones = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    hosts = st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,3}){0,2}", fullmatch=True)
    by_kind: dict[Kind, Any] = {
        Kind.INT: st.integers(_whole(field.min), _whole(field.max)),
        Kind.FLOAT: st.floats(field.min, field.max, allow_nan=False, allow_infinity=False),
        Kind.BOOL: st.booleans(),
        Kind.DATE: st.dates(date(1000, 1, 1)).map(date.isoformat),
        Kind.DATETIME: st.builds(lambda at, zone: at.replace(microsecond=0, tzinfo=zone).isoformat(), moments, zones),
        Kind.CHOICE: st.sampled_from(field.choices or ("",)),
        Kind.MULTICHOICE: st.lists(
            st.sampled_from(field.choices or ("",)), unique=True, min_size=field.min_length or 0
        ).map(lambda items: canonical(field, items)),
        Kind.EMAIL: st.builds("{}@{}".format, st.from_regex(r"[a-z.+]{1,9}", fullmatch=True), hosts),
        Kind.URL: st.builds(
            "{}://{}/{}".format, st.sampled_from(["https", "s3"]), hosts, st.sampled_from(["", "a?b=c"])
        ),
        Kind.LIST: _lists(field),
        Kind.USER: st.from_regex(r"[UW][A-Z0-9]{8,10}", fullmatch=True),
    }
    if field.kind in by_kind:
        return by_kind[field.kind]
    if field.pattern:
        return st.from_regex(field.pattern).filter(
            lambda text: len(text) >= (field.min_length or 0) and bool(text.strip())
        )
    length = {"min_size": max(1, field.min_length or 0), "max_size": field.max_length}
    return st.text(_CHARACTERS, **length).filter(lambda text: bool(text.strip()))


def _lists(field: Field) -> Any:
    if field.item is None:
        return None
    items = fitting(field.item).map(lambda item: item.strip() if isinstance(item, str) else item)
    lines = items.filter(lambda item: bool(str(item)) and "\n" not in str(item) and "\r" not in str(item))
    return st.lists(lines, min_size=field.min_length or 0, max_size=field.max_length)


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


def anything() -> st.SearchStrategy[Any]:
    """Draw JSON values that are not null; some have the shape of a field's value."""
    shaped = st.sampled_from(
        [
            "2026-11-24",
            "2026-02-30",
            "2026-11-24T17:00:00+00:00",
            "2026-11-24T17:00:00Z",
            "a@b",
            "https://a.b",
            "U0123ABCD",
        ]
    )
    plain = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | shaped
    numbers = st.integers(-1100, 1100) | st.integers(-1100, 1100).map(float)
    return plain | numbers | st.lists(plain, max_size=4) | st.dictionaries(st.text(), plain, max_size=2)
