"""One field of a form, read from a schema in its normal form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from metaflow_extensions.hitl.approvals.schema.errors import InputSchemaError
from metaflow_extensions.hitl.approvals.schema.shapes import as_list, as_mapping, as_number, as_text, as_whole


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
    min, max : int, float or None
        The least and the greatest number, both allowed.
    above, below : float or None
        Limits that are themselves not allowed; ``FLOAT`` only, and only from JSON Schema or pydantic.
    min_length, max_length : int or None
        In characters; of ``MULTICHOICE`` in choices.
    pattern : str or None
        A regular expression that is searched for in the text (JSON Schema's meaning); anchors are in it.
    buttons : bool
        Of the only field of a form: each choice is a button that approves with it, and no form is opened.
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

    @property
    def empty(self) -> object:
        """What the step sees if the field is left empty: ``[]`` of a multichoice, else None.

        A text whose default is the empty string yields that: its author expects a ``str`` in any case.
        """
        if self.kind is Kind.MULTICHOICE:
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
    many = kind is Kind.MULTICHOICE
    items = (as_mapping(found.get("items")) or {}) if many else found
    return Field(
        name=name,
        kind=kind,
        label=as_text(found.get("title")) or _humanised(name),
        help=as_text(found.get("description")),
        default=found.get("default"),
        required=required,
        choices=tuple(choice for choice in as_list(items.get("enum")) or [] if isinstance(choice, (str, int, float))),
        min=as_number(found.get("minimum")),
        max=as_number(found.get("maximum")),
        above=as_number(found.get("exclusiveMinimum")),
        below=as_number(found.get("exclusiveMaximum")),
        min_length=as_whole(found.get("minItems" if many else "minLength")),
        max_length=as_whole(found.get("maxItems" if many else "maxLength")),
        pattern=as_text(found.get("pattern")),
        buttons=found.get(BUTTONS) is True,
    )


def _kind(prop: Mapping[object, object]) -> Kind | None:
    types = prop.get("type")
    names = [name for name in as_list(types) or [types] if name != "null"]
    if "enum" in prop:
        return Kind.CHOICE
    if names == ["string"]:
        return KIND_BY_FORMAT.get(as_text(prop.get("format")))
    by_type = {"integer": Kind.INT, "number": Kind.FLOAT, "boolean": Kind.BOOL, "array": Kind.MULTICHOICE}
    return by_type.get(str(names[0])) if len(names) == 1 else None


def _humanised(name: str) -> str:
    """``deploy_target`` -> ``Deploy target``; a name of separators alone stays as it is."""
    words = " ".join(name.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:] if words else name
