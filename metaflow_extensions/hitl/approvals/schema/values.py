"""One value and its field: read it from text, bring it into the form that records keep, hold it to the field."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any

from .fields import (
    FORMAT_BY_KIND,
    FORMATS,
    GROUPS,
    LONGEST_TEXT,
    MANY,
    Field,
    InvalidInput,
    Kind,
    Problem,
    accepted,
    as_list,
    as_mapping,
    as_number,
    as_whole,
    choice_text,
    fields,
    read_date,
    read_datetime,
)

_WHOLE = re.compile(r"([+-]?[0-9]{1,1000})(?:\.0*)?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_QUOTES = ("“”", "„“", "‘’", "‚‘", "«»", '""', "''")
_TYPOGRAPHIC = _QUOTES[:5]
# A chat system may send what people type with users and links marked up: <@U0123ABCD|name>, <mailto:a@b.org|a@b.org>.
_MARKUP = re.compile(r"<(?:@|mailto:)?([^|<>]+)(?:\|[^<>]*)?>")
_BREAK = re.compile(r"\r\n|\r|\n")
_MOST_BITS = 3_321  # 999 digits and some of 1,000; Python itself refuses to print or to read more than 4,300


def storable(value: object) -> bool:
    """Say whether JSON and UTF-8 can hold a value: no NaN or infinity, no half of a character, no endless integer."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() <= _MOST_BITS
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    items = as_list(value)
    return value is None or (items is not None and all(storable(item) for item in items))


def canonical(field: Field, value: object) -> object:
    """Bring a value into the form that records keep, if it can be; return any other as it is.

    A whole number for an int loses its ".0", a number for a float becomes one, a date and time gets an offset (UTC
    if it has none), choices get their author's order. Whether the result fits is another question.
    """
    make = _CANONICAL.get(field.kind)
    return value if make is None else make(field, value)


def _canonical_whole(_field: Field, value: object) -> object:
    whole = as_whole(value)
    return value if whole is None else whole


def _canonical_number(_field: Field, value: object) -> object:
    number = as_number(value)
    try:
        return value if number is None else float(number)
    except OverflowError:
        return math.inf  # which no record can hold, so it is refused


def _canonical_date(_field: Field, value: object) -> object:
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


def _canonical_instant(_field: Field, value: object) -> object:
    moment = read_datetime(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        return value
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).isoformat()


def _canonical_choice(field: Field, value: object) -> object:
    return next((choice for choice in field.choices if _same(choice, value)), value)


def _canonical_choices(field: Field, value: object) -> object:
    items = as_list(value)
    return value if items is None else _in_order(field.choices, items)


def _in_order(choices: Sequence[str | int | float], items: list[object]) -> list[object]:
    known = [choice for choice in choices for item in items if _same(choice, item)]
    return [*known, *(item for item in items if not any(_same(choice, item) for choice in choices))]


def _canonical_items(field: Field, value: object) -> object:
    items, item = as_list(value), field.item
    if items is None or item is None:
        return value
    return [canonical(item, one.strip() if isinstance(one, str) else one) for one in items]


_CANONICAL = {
    Kind.INT: _canonical_whole,
    Kind.FLOAT: _canonical_number,
    Kind.DATE: _canonical_date,
    Kind.DATETIME: _canonical_instant,
    Kind.CHOICE: _canonical_choice,
    Kind.MULTICHOICE: _canonical_choices,
    Kind.LIST: _canonical_items,
}


def _same(left: object, right: object) -> bool:
    """JSON's equality: 1 and 1.0 are one number, and true is none."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def fits(field: Field, value: object) -> bool:
    """Say whether a value that is not None fits, as the ``jsonschema`` library does with the stored schema.

    The pattern is left out: it is the author's, and trying it may never end (``inputs.patterns`` has a time limit).
    Where that library is installed, it decides. This is for pods and for the moment when a flow is loaded.
    """
    if field.kind is Kind.CHOICE:
        return any(_same(choice, value) for choice in field.choices)
    if field.kind is Kind.BOOL:
        return isinstance(value, bool)
    if field.kind is Kind.MULTICHOICE:
        items = None if isinstance(value, tuple) else as_list(value)
        return items is not None and _fits_choices(field, items)
    if field.item is not None:
        items = None if isinstance(value, tuple) else as_list(value)
        return items is not None and _fits_items(field, field.item, items)
    if field.kind in {Kind.INT, Kind.FLOAT}:
        number = as_whole(value) if field.kind is Kind.INT else as_number(value)
        return number is not None and _in_range(field, number)
    return isinstance(value, str) and _fits_text(field, value)


def _fits_choices(field: Field, items: list[object]) -> bool:
    known = all(any(_same(choice, item) for choice in field.choices) for item in items)
    return known and _once(items) and _in_length(field, len(items))


def _fits_items(field: Field, item: Field, items: list[object]) -> bool:
    each = all(one is not None and fits(item, one) for one in items)
    return each and _in_length(field, len(items)) and (not field.unique or _once(items)) and are_lines(items)


def _once(items: list[object]) -> bool:
    return not any(_same(item, other) for at, item in enumerate(items) for other in items[:at])


def are_lines(items: Sequence[object]) -> bool:
    """Say whether items can be written one a line, in no more characters than a text has, and be read again."""
    if not all(map(storable, items)):
        return False
    texts = [line(item) for item in items]
    return all(map(_is_line, texts)) and sum(len(text) + 1 for text in texts) <= LONGEST_TEXT + 1


def line(item: object) -> str:
    """Write an item of a list as a line."""
    return choice_text(item) if isinstance(item, (str, int, float)) else str(item)


def _is_line(text: str) -> bool:
    return bool(text) and text == text.strip() and not _BREAK.search(text)


def _in_range(field: Field, number: float) -> bool:
    return (
        (field.min is None or number >= field.min)
        and (field.max is None or number <= field.max)
        and (field.above is None or number > field.above)
        and (field.below is None or number < field.below)
    )


def _in_length(field: Field, length: int) -> bool:
    return (field.min_length or 0) <= length and (field.max_length is None or length <= field.max_length)


def _fits_text(field: Field, text: str) -> bool:
    check = FORMATS.get(FORMAT_BY_KIND[field.kind] or "")
    return _in_length(field, len(text)) and (check is None or check(text))


def read_text(field: Field, text: str) -> object:
    """Read what a person typed: on a command line, after a slash command, in a form's number input.

    Parameters
    ----------
    field : Field
        Says what to look for.
    text : str
        Blank means empty: None. Quotation marks around the whole are dropped, except straight ones around a text,
        which a command line has already seen. Booleans are true, yes, on, 1 and false, no, off, 0 in any case. Numbers
        have ASCII digits and a point. Several choices are separated by commas, or are a JSON list. A choice may also
        be called by its title. A list has an item on each line, or is a JSON list.

    Returns
    -------
    object
        A value in canonical form; the text itself if it can't be read, so that it is refused with what is accepted.
    """
    exact = _exact_choice(field, text.strip())
    if exact is not None:  # before anything else: a choice may have quotation marks, commas or brackets of its own
        return [exact] if field.kind is Kind.MULTICHOICE else exact
    if field.item is not None:
        return _read_items(field, field.item, text)
    prose = field.kind in {Kind.STR, Kind.TEXT}
    plain = _unquoted(text.strip(), _TYPOGRAPHIC if prose else _QUOTES)
    if not plain.strip():
        return [] if field.kind is Kind.MULTICHOICE else None
    if prose:
        return text if plain == text.strip() else plain
    return canonical(field, _READERS.get(field.kind, _read_plain)(field, plain.strip()))


def read_texts(field: Field, texts: Sequence[str]) -> object:
    """Read what a person typed for one field, once or, for several choices or items, more often.

    Raises
    ------
    InvalidInput
        The field has one value, and there are several texts.
    """
    if len(texts) == 1:
        return read_text(field, texts[0])
    if field.kind not in MANY:
        raise InvalidInput([Problem(field.name, f"is given {len(texts)} times; it must be {accepted(field)}")])
    found = [as_list(read_text(field, text)) for text in texts]
    return canonical(field, [item for items in found for item in items or []])


def read_lines(field: Field, text: str) -> list[object]:
    """Read what was entered for a list as lines; blank ones are dropped, and a text stays as it was entered."""
    item = field.item or field
    texts = [line.strip() for line in _BREAK.split(text) if line.strip()]
    return [text if item.kind is Kind.STR else read_text(item, text) for text in texts]


def _read_items(field: Field, item: Field, text: str) -> object:
    if text.strip().startswith("["):
        try:
            return canonical(field, json.loads(text))
        except (ValueError, RecursionError):
            pass  # an item may begin with a bracket
    return canonical(field, [read_text(item, line) for line in _BREAK.split(text) if line.strip()])


def _unquoted(text: str, pairs: Sequence[str]) -> str:
    if len(text) < 2 or text[0] + text[-1] not in pairs:  # noqa: PLR2004 - a pair is two
        return text
    inner = text[1:-1]
    # “a” and “b” begins and ends with a quotation mark, and is not quoted.
    return text if text[0] in inner or text[-1] in inner else inner


def _read_plain(_field: Field, text: str) -> object:
    return text


def _read_marked_up(_field: Field, text: str) -> object:
    found = _MARKUP.fullmatch(text)
    return found[1] if found else text


def _read_whole(_field: Field, text: str) -> object:
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else text


def _read_decimal(_field: Field, text: str) -> object:
    return float(text) if _DECIMAL.fullmatch(text) else text


def _read_bool(_field: Field, text: str) -> object:
    return _BOOLS.get(text.casefold(), text)


def _exact_choice(field: Field, text: str) -> str | int | float | None:
    values = (choice for choice in field.choices if choice_text(choice) == text)
    return next(values, next((choice for title, choice in field.labelled if title == text), None))


def _read_choice(field: Field, text: str) -> object:
    for spelling in (text, _unquoted(text, _QUOTES)):
        exact = _exact_choice(field, spelling)
        if exact is not None:
            return exact
    return text


def _read_choices(field: Field, text: str) -> object:
    if text.startswith("["):
        try:
            return as_list(json.loads(text)) or []
        except (ValueError, RecursionError):
            return text
    return [_read_choice(field, part.strip()) for part in text.split(",") if part.strip()]


_READERS = {
    Kind.INT: _read_whole,
    Kind.FLOAT: _read_decimal,
    Kind.BOOL: _read_bool,
    Kind.CHOICE: _read_choice,
    Kind.MULTICHOICE: _read_choices,
    Kind.EMAIL: _read_marked_up,
    Kind.URL: _read_marked_up,
    Kind.USER: _read_marked_up,
}


def typed(schema: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Turn the values of a record into what the step sees.

    Parameters
    ----------
    schema : Mapping
        The schema of the same record; an empty one leaves every value as it is.
    values : Mapping
        Valid values, as JSON holds them.

    Returns
    -------
    dict
        The same names in the same order, those of a nested object in one dict. A ``date`` is a
        :class:`datetime.date`, a ``datetime`` an aware :class:`datetime.datetime` with the offset that was entered, a
        ``float`` a float. None stays None.

    Raises
    ------
    InvalidInput
        A date can't be read: the record was not written by this product.
    """
    by_name = {field.name: field for field in fields(schema)}
    return nested(
        schema,
        {name: _typed(by_name[name], value) if name in by_name else value for name, value in values.items()},
    )


def nested(schema: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Put the values of a record where the author's schema has them: ``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``."""
    found = {field.name: field for field in fields(schema)}
    optional = {str(name) for name in as_list(schema.get(GROUPS)) or []}
    made: dict[str, object] = {}
    for name, value in values.items():
        *above, last = found[name].path if name in found else (name,)
        place: dict[str, Any] = made
        for depth, part in enumerate(above, start=1):
            if (group := ".".join(above[:depth])) in optional and _is_empty(group, values):
                place[part] = None
                break
            place = place.setdefault(part, {})
        else:
            place[last] = value
    return made


def _is_empty(group: str, values: Mapping[str, object]) -> bool:
    return all(value in (None, "", []) for name, value in values.items() if name.startswith(f"{group}."))


def flattened(form: Sequence[Field], values: Mapping[str, object]) -> dict[str, object]:
    """Give each value the name of its field, also where it was given inside an object: the way back of ``nested``."""
    groups = {".".join(field.path[:depth]) for field in form for depth in range(1, len(field.path))}
    return dict(_leaves(form, groups, values, ""))


def _leaves(
    form: Sequence[Field], groups: set[str], values: Mapping[Any, object], above: str
) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{above}{key}"
        inner = as_mapping(value)
        if name in groups and inner is not None:
            yield from _leaves(form, groups, inner, f"{name}.")
        elif name in groups and value is None:
            yield from ((field.name, None) for field in form if field.name.startswith(f"{name}."))
        else:
            yield name, value


def _typed(field: Field, value: object) -> object:
    if field.item is not None and (items := as_list(value)) is not None:
        return [_typed(field.item, one) for one in items]
    if field.kind not in {Kind.DATE, Kind.DATETIME} or value is None:
        return canonical(field, value)
    read = read_date if field.kind is Kind.DATE else read_datetime
    found = read(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput([Problem(field.name, f"must be {accepted(field)}")])
    return found
