"""From what was entered, as JSON or as text, to the values that the record keeps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from metaflow_extensions.hitl.approvals.schema import (
    Field,
    InvalidInput,
    Problem,
    accepted,
    canonical,
    close_match,
    fields,
    flattened,
    read_texts,
    storable,
)
from metaflow_extensions.hitl.approvals.schema.fields import FORMATS, LINES
from metaflow_extensions.hitl.approvals.schema.values import are_lines

from .patterns import PatternTooSlow, matches


def _format_checker() -> FormatChecker:
    """Build a checker of our formats alone: what the library checks depends on which packages are installed."""
    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name)(_of_texts(check))
    return checker


def _of_texts(check: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda value: (
        not isinstance(value, str) or check(value)
    )  # a format says nothing about a value of another type


def _pattern(_: object, pattern: str, value: object, __: object) -> Iterator[ValidationError]:
    try:
        if isinstance(value, str) and not matches(pattern, value):
            yield ValidationError("no match")
    except PatternTooSlow:
        yield ValidationError(_TOO_SLOW)


def _lines(_: object, __: object, value: object, ___: object) -> Iterator[ValidationError]:
    if isinstance(value, list) and not are_lines(value):
        yield ValidationError("an item is not one line, or all are too long")


_FORMATS = _format_checker()
_TOO_SLOW = "could not be checked against the pattern in time"
_Validator: Any = extend(Draft202012Validator, {"pattern": _pattern, LINES: _lines})  # type: ignore[no-untyped-call]


def validate(schema: Mapping[str, object], values: Mapping[str, object]) -> dict[str, Any]:
    """Hold an input to its schema and complete it.

    Parameters
    ----------
    schema : Mapping
        A schema in normal form, as the record holds it.
    values : Mapping
        Name to JSON value; the fields of an object by their dotted names, or in an object. None says that the field was
        left empty, as a cleared input of a form does. A name that is missing says nothing: the field's default is
        taken, also of a required one.

    Returns
    -------
    dict
        Every field of the schema, in its order; ready for the record. An int is an int (3.0 becomes 3), a float a
        float (3 becomes 3.0), a date and time has an offset (UTC if none was given), choices are in the author's order.
        An optional field that was left empty is None (``Field.empty`` has the two exceptions).

    Raises
    ------
    InvalidInput
        With every problem: at most one a field, in the schema's order, then the unknown names.
    """
    form = fields(schema)
    values = flattened(form, values)
    complete: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in form:
        value = canonical(field, values.get(field.name, field.default))
        if value is None and not field.required:
            complete[field.name] = field.empty
        elif field.required and value in (None, "", []):
            problems[field.name] = f"is required: {accepted(field)}"
        elif storable(value):
            complete[field.name] = value
        else:
            problems[field.name] = _must_be(field)
    by_name = {field.name: field for field in form}
    for error in _Validator(dict(schema), format_checker=_FORMATS).iter_errors(complete):
        if error.path:  # without one it is about a name that is left out above, whose problem is known
            name = str(error.path[0])
            must_be = _must_be(by_name[name])
            slow = f"{_TOO_SLOW}: {must_be}. Try a shorter value, or ask the author of the flow"
            problems.setdefault(name, slow if error.message == _TOO_SLOW else must_be)
    found = [Problem(field.name, problems[field.name]) for field in form if field.name in problems]
    found += [Problem(name, _unknown(name, by_name)) for name in values if name not in by_name]
    if found:
        raise InvalidInput(found)
    return complete


def _must_be(field: Field) -> str:
    return f"must be {accepted(field)}"


def _unknown(name: str, known: Mapping[str, Field]) -> str:
    near = close_match(name, known)
    return f"is not a field (did you mean {near}?)" if near else f"is not a field (the fields are {', '.join(known)})"


def parse(schema: Mapping[str, object], texts: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """Turn what was typed (``--set name=value``, ``/hitl approve ID name=value``) into values, and validate them.

    Parameters
    ----------
    schema : Mapping
        A schema in normal form.
    texts : Mapping
        Name to text, or to several for a field that takes several items; how texts are read is said at
        ``approvals.schema.read_text``. A blank text leaves the field empty.

    Returns
    -------
    dict
        As :func:`validate` does.

    Raises
    ------
    InvalidInput
        As :func:`validate` does.
    """
    known = {field.name: field for field in fields(schema)}
    listed = {name: [text] if isinstance(text, str) else list(text) for name, text in texts.items()}
    return validate(
        schema, {name: read_texts(known[name], given) if name in known else given for name, given in listed.items()}
    )
