"""The short ways to write a schema, turned into JSON Schema: name to type, and name to settings."""

import re
from collections.abc import Mapping
from datetime import date

from .fields import (
    BUTTONS,
    FORMAT_BY_KIND,
    LISTED,
    MANY,
    TEXTUAL,
    WHOLE_PATTERN,
    InputSchemaError,
    Kind,
    as_list,
    as_mapping,
    as_number,
    close_match,
)

TYPES = tuple(kind.value for kind in Kind)
SETTINGS = (
    "type",
    "label",
    "help",
    "default",
    "optional",
    "choices",
    "min",
    "max",
    "min_length",
    "max_length",
    "pattern",
    "buttons",
)
_JSON_TYPES = {
    Kind.INT: "integer",
    Kind.FLOAT: "number",
    Kind.BOOL: "boolean",
    Kind.MULTICHOICE: "array",
}
# What people write who know another tool; difflib can't know.
_OTHER_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "double": "float",
    "boolean": "bool",
    "textarea": "text",
    "enum": "choice",
    "select": "choice",
    "array": "multichoice",
    "list": "list[str]",
    "uri": "url",
}
_OTHER_SETTINGS = {
    "title": "label",
    "description": "help",
    "hint": "help",
    "required": "optional",
    "enum": "choices",
    "options": "choices",
    "minimum": "min",
    "maximum": "max",
    "regex": "pattern",
}


def translate(name: str, settings: object) -> tuple[dict[object, object], bool]:
    """Turn a type name or a dict of settings into a JSON Schema property, and say whether it is required."""
    found = as_mapping(_type_alone(settings) if isinstance(settings, str) else settings)
    if found is None:
        raise InputSchemaError(f"{_shown(settings)} is neither a type nor settings. {_hint(settings)}", field=name)
    for key in found:
        if key not in SETTINGS:
            near = _near(str(key), SETTINGS, _OTHER_SETTINGS)
            raise InputSchemaError(f"unknown setting {key!r}{near} Settings are {', '.join(SETTINGS)}.", field=name)
    kind = _kind(name, found.get("type"))
    item = LISTED[str(found["type"])[5:-1]] if kind is Kind.LIST else None
    _refuse_strays(name, kind, item, found)
    prop: dict[object, object] = {}
    choices = _choices(name, kind, found)
    if kind is Kind.MULTICHOICE:
        prop |= {"type": "array", "items": {"enum": choices}}
    elif kind is Kind.CHOICE:
        prop |= {"enum": choices}
    elif item is None:
        prop |= _plain(name, kind, found)
    else:
        prop |= {"type": "array", "items": _plain(name, item, found)}
    optional = found.get("optional", False)
    if not isinstance(optional, bool):
        raise InputSchemaError(f"optional must be True or False, not {_shown(optional)}", field=name)
    if not isinstance(found.get("buttons", False), bool):
        raise InputSchemaError(f"buttons must be True or False, not {_shown(found['buttons'])}", field=name)
    many = kind in MANY
    least = found.get("min_length")
    prop |= {
        "title": found.get("label"),
        "description": found.get("help"),
        "default": _json(found.get("default")),
        "minItems" if many else "minLength": 1 if many and not optional and least is None else least,
        "maxItems" if many else "maxLength": found.get("max_length"),
        BUTTONS: found.get("buttons") or None,
    }
    prop = {key: value for key, value in prop.items() if value is not None}
    if optional:
        prop["nullable"] = True
    return prop, not optional


def _plain(name: str, kind: Kind, found: Mapping[object, object]) -> dict[object, object]:
    """Return what a value of one type has to be: the field's, or each item's."""
    prop = {
        "type": _JSON_TYPES.get(kind, "string"),
        "format": FORMAT_BY_KIND.get(kind),
        "minimum": found.get("min"),
        "maximum": found.get("max"),
        "pattern": _whole(name, found.get("pattern")),
    }
    return {key: value for key, value in prop.items() if value is not None}


def _type_alone(text: str) -> dict[str, object]:
    """Read a type's name, with a question mark behind it if the field may be left empty."""
    name = text.removesuffix("?")
    return {"type": name} if name == text else {"type": name, "optional": True}


def _kind(name: str, given: object) -> Kind:
    if given is None:
        raise InputSchemaError(f"the setting 'type' is missing. Types are {', '.join(TYPES)}.", field=name)
    if isinstance(given, str) and given in TYPES:
        return Kind(given)
    if isinstance(given, str) and given.startswith("list[") and given.endswith("]") and given[5:-1] in LISTED:
        return Kind.LIST
    raise InputSchemaError(f"unknown type {_shown(given)}{_near_type(given)} Types are {', '.join(TYPES)}.", field=name)


def _near_type(given: object) -> str:
    word = given if isinstance(given, str) else str(getattr(given, "__name__", ""))
    return _near(word, TYPES, _OTHER_TYPES)


def _near(word: str, known: tuple[str, ...], others: dict[str, str]) -> str:
    near = close_match(others.get(word.lower(), word.lower()), known)
    return "." if near is None else f": did you mean {near!r}?"


def _hint(given: object) -> str:
    if as_list(given) is not None:
        return 'For a choice write {"type": "choice", "choices": [...]}.'
    return f"Write a type's name{_near_type(given)} Types are {', '.join(TYPES)}."


def _refuse_strays(name: str, kind: Kind, item: Kind | None, found: Mapping[object, object]) -> None:
    """A setting that would have no effect is a mistake, and its author believes that it holds."""
    by_setting = {
        "choices": {Kind.CHOICE, Kind.MULTICHOICE},
        "min": {Kind.INT, Kind.FLOAT},
        "max": {Kind.INT, Kind.FLOAT},
        "min_length": TEXTUAL | MANY,
        "max_length": TEXTUAL | MANY,
        "pattern": TEXTUAL,
        "buttons": {Kind.CHOICE},
    }
    for setting, kinds in by_setting.items():
        if found.get(setting) is not None and not kinds & {kind, item}:
            takers = ", ".join(known.value for known in Kind if known in kinds)
            raise InputSchemaError(f"{setting!r} does not apply to {kind.value}; it is for {takers}", field=name)


def _choices(name: str, kind: Kind, found: Mapping[object, object]) -> list[object] | None:
    if kind not in {Kind.CHOICE, Kind.MULTICHOICE}:
        return None
    choices = as_list(found.get("choices"))
    if choices is None:
        raise InputSchemaError(f'{kind.value} needs "choices", a list of strings or numbers', field=name)
    return choices


def _json(default: object) -> object:
    if isinstance(default, date):  # a datetime is one too
        return default.isoformat()
    return list(items) if (items := as_list(default)) is not None else default


def _whole(name: str, pattern: object) -> object:
    """Let the whole value match: who writes ``[a-z]+`` as a setting does not expect ``A1z`` to pass."""
    if not isinstance(pattern, str):
        return pattern
    try:
        re.compile(pattern)  # by itself: ")(" would be a pattern only between our brackets
    except (re.error, RecursionError, OverflowError) as error:
        raise InputSchemaError(f"the pattern is not a regular expression: {error}", field=name) from error
    return pattern.join(WHOLE_PATTERN)


def _shown(value: object) -> str:
    text = repr(value) if as_number(value) is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - as much as a line of an error message bears
