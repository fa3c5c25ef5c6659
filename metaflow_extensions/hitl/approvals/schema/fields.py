"""One field of a form, read from a schema in its normal form."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from typing import cast
from urllib.parse import urlsplit

from metaflow_extensions.hitl.approvals.errors import HitlError

# Narrow a JSON value of unknown shape, once, so that the rest is typed.


def as_mapping(value: object) -> Mapping[object, object] | None:
    return cast("Mapping[object, object]", value) if isinstance(value, Mapping) else None


def as_list(value: object) -> list[object] | None:
    """Return a list for a list or a tuple; a set has no order and a string is not a list."""
    return list(cast("list[object]", value)) if isinstance(value, (list, tuple)) else None


def as_number(value: object) -> int | float | None:
    """Return an int or a float; a bool is neither."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def as_whole(value: object) -> int | None:
    """Return an int, also for a float without a fraction: JSON Schema holds 3.0 to be an integer."""
    number = as_number(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() else None
    return number


def as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# What is wrong with a schema, and what is wrong with an answer to it.


class InputSchemaError(HitlError, ValueError):
    """``input_schema`` can't become a form. Raised when the flow is loaded.

    Attributes
    ----------
    field : str or None
        The field's name as the author wrote it; None if it is about the schema as a whole.
    """

    def __init__(self, what: str, *, field: str | None = None) -> None:
        self.what = what
        self.field = field
        super().__init__(f"input_schema: {what}" if field is None else f"input_schema, field {field!r}: {what}")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one value.

    Attributes
    ----------
    field : str
        The name of the field, or the unknown name that was given.
    text : str
        What is accepted, to stand beside the field's name or under its input: "must be a whole number from 1 to 100".
        Never holds the value that was entered.
    """

    field: str
    text: str


class InvalidInput(HitlError):
    """What was entered does not fit the schema. Nothing was decided.

    Attributes
    ----------
    problems : tuple of Problem
        At least one; at most one a field, in the schema's order, unknown names last.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field} {problem.text}" for problem in self.problems) + ".")


# The formats that a text can have, each as a question about one string.

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<hour>\d{2}:\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r" ?(?P<offset>[Zz]|[+-]\d{2}:\d{2})?",
    re.ASCII,
)
_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(?:\.[^@\s<>,;.]+)*")
_USER = re.compile(r"[A-Z][A-Z0-9]{2,30}", re.ASCII)
_EMAIL_MOST = 254  # RFC 5321, 4.5.3.1.3: a path of 256 with its angle brackets


def read_date(text: str) -> date | None:
    """Read ``2026-11-24``; None for anything else, ISO 8601's other spellings included."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read_datetime(text: str) -> datetime | None:
    """Read ``2026-11-24T17:00`` with or without seconds, up to six decimals of them, and an offset; else None.

    The result is aware: without an offset the time is taken as UTC.
    """
    found = _DATETIME.fullmatch(text)
    if found is None:
        return None
    offset = (found["offset"] or "Z").upper().replace("Z", "+00:00")
    # Python 3.10 reads three or six decimals only.
    fraction = f".{found['fraction']:0<6}" if found["fraction"] else ""
    try:
        moment = datetime.fromisoformat(f"{found['day']}T{found['hour']}:{found['second'] or '00'}{fraction}{offset}")
        moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):  # the 30th of February; the first of January of year 1, east of Greenwich
        return None
    return moment


def is_date(text: str) -> bool:
    return read_date(text) is not None


def is_instant(text: str) -> bool:
    """A date and time as a record keeps it: what ``datetime.isoformat`` writes for an aware one."""
    moment = read_datetime(text)
    return moment is not None and moment.isoformat() == text


def is_email(text: str) -> bool:
    """Something, an @, and a host; a mail server alone knows more."""
    return len(text) <= _EMAIL_MOST and _EMAIL.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """A scheme, ``://`` and a host (or bucket); no spaces and no control characters."""
    if "://" not in text or any(character.isspace() or not character.isprintable() for character in text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and parts.hostname)
    except ValueError:  # a bracket of an IPv6 address that is never closed
        return False


def is_user(text: str) -> bool:
    """An id as chat systems write them: a capital letter, then capital letters and digits."""
    return _USER.fullmatch(text) is not None


FORMATS = {"date": is_date, "date-time": is_instant, "email": is_email, "uri": is_url, "user-id": is_user}
"""The check behind each ``format`` of a schema in normal form."""

# One field of a form, read from a schema in its normal form.


class Kind(Enum):
    """What a field asks for. The value is the type's name in ``input_schema``."""

    STR = "str"  # one line of text
    TEXT = "text"  # several lines
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATE = "date"
    DATETIME = "datetime"
    CHOICE = "choice"  # one of a few
    MULTICHOICE = "multichoice"  # some of a few
    EMAIL = "email"
    URL = "url"
    USER = "user"  # somebody's id in the chat system
    LIST = "list[str]"  # one item a line; of what, its field says


KIND_BY_FORMAT = {
    None: Kind.STR,
    "textarea": Kind.TEXT,
    "date": Kind.DATE,
    "date-time": Kind.DATETIME,
    "email": Kind.EMAIL,
    "uri": Kind.URL,
    "user-id": Kind.USER,
}
"""The kind of a JSON Schema string by its ``format``. ``textarea`` and ``user-id`` are ours: to any other reader of
the schema an unknown format is a remark, so it reads as a plain string."""

BUTTONS = "x-buttons"
"""Our own keyword in a schema: a choice is made with a button for each; to any other reader it is a remark."""

MOST_BUTTONS = 4

TITLES = "x-titles"
"""Our own keyword beside ``enum``: what each choice is called."""

PATH = "x-path"
"""Our own keyword of a field that was nested: the names from the outermost object down to it."""

GROUPS = "x-optional"
"""Our own keyword of a schema: the objects, by their dotted names, that are left out if nothing of them is given."""

LINES = "x-lines"
"""Our own keyword of a list of free items: each is one line of a text, and the text is held to ``LONGEST_TEXT``."""

NOUNS = {
    Kind.STR: "text",
    Kind.TEXT: "text",
    Kind.INT: "a whole number",
    Kind.FLOAT: "a number",
    Kind.BOOL: "yes or no",
    Kind.DATE: "a date such as 2026-11-24",
    Kind.DATETIME: "a date and time such as 2026-11-24T17:00Z",
    Kind.EMAIL: "an email address",
    Kind.URL: "an address such as https://example.com/page",
    Kind.USER: "a user ID such as U0123ABCD",
}
"""What a kind accepts, in words; those of a choice are its choices."""

LONGEST_NAME = 255
LONGEST_TEXT = 3_000
"""How many characters a text may have where its author does not say: an answer is a sentence or a page, not a book."""

FORMAT_BY_KIND = {kind: format_ for format_, kind in KIND_BY_FORMAT.items()}

TEXTUAL = frozenset({Kind.STR, Kind.TEXT, Kind.EMAIL, Kind.URL})
"""The kinds that a person types as text and that can have a length and a pattern."""

MANY = frozenset({Kind.MULTICHOICE, Kind.LIST})
"""The kinds whose value is a list; a length of theirs counts its items."""

LISTED = {kind.value: kind for kind in (Kind.STR, Kind.INT, Kind.FLOAT, Kind.DATE, Kind.EMAIL, Kind.URL)}
"""What the items of a list may be, by the name between its brackets: each fits on one line."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input of the form.

    Attributes
    ----------
    name : str
        The key in the values; 1 to 255 characters.
    label : str
        What stands above the input; from the name if the author gave none.
    help : str or None
        What stands below it.
    default : object
        A JSON value that fits, filled in beforehand and taken when the name is missing; None if there is none.
    required : bool
        The field can't be left empty. What an empty one yields is :attr:`empty`.
    choices : tuple of str, int or float
        For ``CHOICE`` and ``MULTICHOICE``, in the author's order; each shows a different text.
    titles : tuple of str
        What each choice is called; empty where its value is shown.
    min, max : int, float or None
        The least and the greatest number, both allowed.
    above, below : float or None
        Limits that are themselves not allowed; ``FLOAT`` only, and only from JSON Schema or pydantic.
    min_length, max_length : int or None
        In characters; of ``MULTICHOICE`` in choices, of ``LIST`` in items.
    pattern : str or None
        A regular expression that is searched for in the text (JSON Schema's meaning); anchors are in it.
    buttons : bool
        Of the only field of a form: each choice is a button that approves with it, and no form is opened.
    item : Field or None
        What each item of a ``LIST`` has to be.
    unique : bool
        No item of a ``LIST`` is there twice.
    path : tuple of str
        Where the value stands in what the step sees: more than one name if it is part of an object.
    """

    name: str
    kind: Kind
    label: str
    help: str | None = None
    default: object = None
    required: bool = True
    choices: tuple[str | int | float, ...] = ()
    min: int | float | None = None
    max: int | float | None = None
    above: float | None = None
    below: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    buttons: bool = False
    titles: tuple[str, ...] = ()
    item: "Field | None" = None
    unique: bool = False
    path: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The type as ``input_schema`` has it."""
        return self.kind.value if self.item is None else f"list[{self.item.kind.value}]"

    @property
    def labelled(self) -> tuple[tuple[str, str | int | float], ...]:
        """The choices, each with what is shown for it."""
        return tuple(zip(self.titles or map(choice_text, self.choices), self.choices, strict=True))

    @property
    def empty(self) -> object:
        """What the step sees if the field is left empty: ``[]`` of a multichoice or a list, else None.

        A text whose default is the empty string yields that: its author expects a ``str`` in any case.
        """
        if self.kind in MANY:
            return []
        return "" if self.kind in TEXTUAL and self.default == "" else None


def fields(schema: Mapping[str, object]) -> tuple[Field, ...]:
    """Read the fields of a schema in the author's order.

    Parameters
    ----------
    schema : Mapping
        What :func:`normalise` returned, or that after a trip through JSON. An empty one has no fields.

    Raises
    ------
    InputSchemaError
        It is not in normal form: something else wrote it.
    """
    properties = as_mapping(schema.get("properties", {}))
    required = as_list(schema.get("required", []))
    if properties is None or required is None:
        raise InputSchemaError("this is not a schema that @hitl has stored")
    return tuple(field_of(str(name), prop, required=name in required) for name, prop in properties.items())


def field_of(name: str, prop: object, *, required: bool) -> Field:
    """Read one property in normal form."""
    found = as_mapping(prop)
    kind = None if found is None else _kind(found)
    if found is None or kind is None:
        raise InputSchemaError("this is not a property that @hitl has stored", field=name)
    many = kind in MANY
    items = (as_mapping(found.get("items")) or {}) if many else found
    choices = tuple(choice for choice in as_list(items.get("enum")) or [] if isinstance(choice, (str, int, float)))
    titles = tuple(str(title) for title in as_list(items.get(TITLES)) or [])
    return Field(
        name=name,
        kind=kind,
        label=as_text(found.get("title")) or humanised(name),
        help=as_text(found.get("description")),
        default=found.get("default"),
        required=required,
        choices=choices,
        titles=titles if len(titles) == len(choices) else (),
        min=as_number(found.get("minimum")),
        max=as_number(found.get("maximum")),
        above=as_number(found.get("exclusiveMinimum")),
        below=as_number(found.get("exclusiveMaximum")),
        min_length=as_whole(found.get("minItems" if many else "minLength")),
        max_length=as_whole(found.get("maxItems" if many else "maxLength")),
        pattern=as_text(found.get("pattern")),
        buttons=found.get(BUTTONS) is True,
        item=field_of(name, items, required=True) if kind is Kind.LIST else None,
        unique=kind is Kind.LIST and found.get("uniqueItems") is True,
        path=tuple(str(part) for part in as_list(found.get(PATH)) or [name]),
    )


def _kind(prop: Mapping[object, object]) -> Kind | None:
    types = prop.get("type")
    names = [name for name in as_list(types) or [types] if name != "null"]
    if "enum" in prop:
        return Kind.CHOICE
    if names == ["string"]:
        return KIND_BY_FORMAT.get(as_text(prop.get("format")))
    if names == ["array"]:
        return Kind.MULTICHOICE if "enum" in (as_mapping(prop.get("items")) or {}) else Kind.LIST
    by_type = {"integer": Kind.INT, "number": Kind.FLOAT, "boolean": Kind.BOOL}
    return by_type.get(str(names[0])) if len(names) == 1 else None


def humanised(name: str) -> str:
    """``deploy_target`` -> ``Deploy target``; a name of separators alone stays as it is."""
    words = " ".join(name.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:] if words else name


# What a field accepts, in words for people.

WHOLE_PATTERN = ("^(?:", r")$(?!\n)")
"""What stands around a pattern that the whole value must match. ``$`` alone lets a line break pass in Python; the part
behind it says the same in every dialect of regular expressions."""

_CHOICES_SHOWN = 10
_PATTERN_SHOWN = 100


def accepted(field: Field) -> str:
    """Say what a field accepts: "a whole number from 1 to 100"."""
    if field.kind is Kind.CHOICE:
        return f"one of {_listed(field)}"
    if field.kind is Kind.MULTICHOICE:
        least, most = field.min_length or None, field.max_length
        count = _between(least, most) if least or most is not None else "any"
        return f"{count} of {_listed(field)}, each once"
    if field.item is not None:
        each = f"each {'a ' if field.item.kind is Kind.STR else ''}{accepted(field.item)}"
        return f"a list of {_count(field)}, {each}{', and there once' if field.unique else ''}"
    parts = [NOUNS[field.kind]]
    if field.kind in TEXTUAL:
        parts.append(_characters(field))
    if field.kind in {Kind.INT, Kind.FLOAT}:
        parts.append(_range(field))
    if field.pattern is not None:
        parts.append(f"that matches {_shown(field.pattern)}")
    return " ".join(part for part in parts if part)


def bounds(field: Field) -> str:
    """Say what limits a field has beyond its type; empty if it has none, or if its input shows them itself."""
    words = accepted(field)
    if field.kind is Kind.CHOICE or words == NOUNS.get(field.kind):
        return ""
    if field.kind is Kind.MULTICHOICE:
        return f"Choose {words.partition(' of ')[0]}" if field.min_length or field.max_length is not None else ""
    if field.item is not None:
        each = bounds(field.item)
        said = [f"One {_NOUN_OF_ITEM.get(field.item.kind, NOUNS[field.item.kind])} on each line"]
        said += [_count(field)] if field.min_length or field.max_length is not None else []
        said += [f"each {each[:1].lower()}{each[1:]}"] if each else []
        return ", ".join([*said, *(["each once"] if field.unique else [])])
    return words[:1].upper() + words[1:]


_NOUN_OF_ITEM = {kind: words.removeprefix("a ").removeprefix("an ") for kind, words in NOUNS.items()}
_NOUN_OF_ITEM[Kind.STR] = "item"


def _count(field: Field) -> str:
    """Say how many items a list has: "1 to 5 items"."""
    least, most = field.min_length or None, field.max_length
    if least is None and most is None:
        return "items"
    return f"{_between(least, most)} item{'' if (most or least) == 1 else 's'}"


def _characters(field: Field) -> str:
    """A least length of 1 means filled in, and a greatest that the author did not choose is of no interest."""
    most = None if field.max_length == LONGEST_TEXT else field.max_length
    if most is None and (field.min_length or 0) <= 1:
        return ""
    return f"of {_between(field.min_length, most)} characters"


def _between(least: int | None, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    if not least:
        return f"at most {most}"
    return str(least) if least == most else f"{least} to {most}"


def _range(field: Field) -> str:
    if field.min is not None and field.max is not None and field.above is None and field.below is None:
        return f"from {plain_digits(field.min)} to {plain_digits(field.max)}"
    limits = {"at least": field.min, "at most": field.max, "above": field.above, "below": field.below}
    return " and ".join(f"{word} {plain_digits(limit)}" for word, limit in limits.items() if limit is not None)


def _shown(pattern: str) -> str:
    before, after = WHOLE_PATTERN
    if pattern.startswith(before) and pattern.endswith(after):
        pattern = pattern[len(before) : -len(after)]
    return pattern if len(pattern) <= _PATTERN_SHOWN else pattern[: _PATTERN_SHOWN - 1] + "…"


def _listed(field: Field) -> str:
    shown = [(title, choice_text(choice)) for title, choice in field.labelled]
    quote = '"' if any("," in text for _, text in shown) else ""  # with a comma of its own one would read as two
    texts = [f"{quote}{text}{quote}" + ("" if title == text else f" ({title})") for title, text in shown]
    if len(texts) <= _CHOICES_SHOWN:
        return ", ".join(texts)
    return f"{', '.join(texts[:_CHOICES_SHOWN])}, … ({len(texts)} in all)"


def choice_text(choice: str | float) -> str:
    """Return what a choice looks like in a form and on a command line."""
    return choice if isinstance(choice, str) else repr(choice)


def plain_digits(number: float) -> str:
    """Write a number without an exponent, so that it can be typed: ``0.0000001``, not ``1e-07``."""
    return format(Decimal(repr(number)), "f")


def close_match(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, if one is near."""
    near = get_close_matches(name, list(known), n=1)
    return near[0] if near else None
