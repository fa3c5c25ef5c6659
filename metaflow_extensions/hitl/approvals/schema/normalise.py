"""From what the author wrote to the one form of JSON Schema that records hold."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import unquote

from .fields import (
    BUTTONS,
    FORMAT_BY_KIND,
    GROUPS,
    KIND_BY_FORMAT,
    LINES,
    LISTED,
    LONGEST_NAME,
    LONGEST_TEXT,
    MANY,
    MOST_BUTTONS,
    PATH,
    TEXTUAL,
    TITLES,
    Field,
    InputSchemaError,
    Kind,
    as_list,
    as_mapping,
    as_number,
    as_text,
    as_whole,
    field_of,
    humanised,
)
from .settings import TYPES, translate
from .showable import UNLIMITED, FormLimits, refuse_unshowable
from .values import canonical

# Follow ``$ref`` and drop ``null`` in JSON Schema, so that what is left of a property is one plain schema.


def resolve(prop: object, root: Mapping[object, object], *, field: str | None) -> dict[object, object]:
    """Return a property without ``$ref``, and without an ``anyOf`` or ``allOf`` that only wraps one schema.

    Parameters
    ----------
    prop : object
        The property as written; what stands beside a ``$ref`` wins over what it refers to.
    root : Mapping
        The whole schema, in which references are looked up. Only references within it are followed.

    Returns
    -------
    dict
        With ``nullable: True`` if null is allowed. The title of a referenced schema is a type's name and is dropped.

    Raises
    ------
    InputSchemaError
        A reference points to nothing, elsewhere, or round in a circle; or the property is not an object.
    """
    seen: set[str] = set()
    nullable = False
    found = dict(_object(prop, field))
    while True:
        if "$ref" in found:
            target = str(found.pop("$ref"))
            if target in seen:
                raise InputSchemaError(f"the reference {target} points back to itself", field=field)
            seen.add(target)
            inner = {key: value for key, value in _look_up(target, root, field).items() if key != "title"}
        else:
            wrapper, options = _wrapped(found)
            rest = [option for option in options if wrapper == "allOf" or not _is_null(option)]
            if wrapper is None or len(rest) != 1:
                break
            found.pop(wrapper)
            nullable = nullable or len(rest) < len(options)
            inner = dict(_object(rest[0], field))
        _refuse_clash(found, inner, field)
        found = inner | found
    return _without_null(found, nullable=nullable)


def _wrapped(found: Mapping[object, object]) -> tuple[str | None, list[object]]:
    """Return the one keyword that may wrap a schema, and what it lists; pydantic writes ``anyOf`` for an Optional."""
    for keyword in ("anyOf", "oneOf", "allOf"):
        options = as_list(found.get(keyword))
        if options is not None:
            return keyword, options
    return None, []


def _is_null(option: object) -> bool:
    return (as_mapping(option) or {}).get("type") == "null"


def _refuse_clash(outer: Mapping[object, object], inner: Mapping[object, object], field: str | None) -> None:
    """JSON Schema holds a value to both sides of a ``$ref``; to let one win would drop the other's limit."""
    remarks = {"title", "description", "default", "examples", "$comment", "deprecated"}
    for key in outer:
        if key in inner and key not in remarks and inner[key] != outer[key]:
            raise InputSchemaError(f"{key!r} is given twice, next to a reference and in its target", field=field)


def _without_null(found: dict[object, object], *, nullable: bool) -> dict[object, object]:
    types = as_list(found.get("type"))
    if types is not None:
        nullable = nullable or "null" in types
        rest = [name for name in types if name != "null"]
        found["type"] = rest[0] if len(rest) == 1 else rest
    choices = as_list(found.get("enum"))
    if choices is not None and None in choices:
        found["enum"] = [choice for choice in choices if choice is not None]
        # With a type beside it that excludes null, the null among the choices can never be given.
        nullable = nullable or "type" not in found
    if nullable:
        found["nullable"] = True
    return found


def _object(value: object, field: str | None) -> Mapping[object, object]:
    found = as_mapping(value)
    if found is None:
        raise InputSchemaError(f"a JSON Schema must be an object, not {value!r}", field=field)
    return found


def _look_up(target: str, root: Mapping[object, object], field: str | None) -> Mapping[object, object]:
    if not target.startswith("#"):
        raise InputSchemaError(
            f"the reference {target} points outside the schema; move its target into $defs", field=field
        )
    place: object = root
    for part in target[1:].split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        place = (as_mapping(place) or {}).get(key)
    found = as_mapping(place)
    if found is None:
        raise InputSchemaError(f"the reference {target} points to nothing", field=field)
    return found


# From what the author wrote to the one form of JSON Schema that records hold.

_Draft = tuple[str, Mapping[object, object], bool]  # name, JSON Schema as written, asked for by it
_DEEPEST = 8

DIALECT = "https://json-schema.org/draft/2020-12/schema"

FORMS = (
    'a dict of name to type, a dict of name to settings, a JSON Schema object (with "type": "object" and '
    '"properties"), or a pydantic model class'
)

_LENGTHS = {"minLength", "maxLength", "pattern"}
_LIMITS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
# Keywords that restrict a value (JSON Schema 2020-12, Core chapter 10 and Validation chapter 6, and their
# predecessors). One that we don't carry over must not be lost in silence; anything else is a remark, and may be.
_RESTRICTING = (
    _LENGTHS
    | _LIMITS
    | {
        *("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
        *("dependentSchemas", "dependentRequired", "dependencies", "propertyNames", "patternProperties", "properties"),
        *("minProperties", "maxProperties", "required", "unevaluatedProperties", "unevaluatedItems"),
        *("items", "prefixItems", "additionalItems", "contains", "minContains", "maxContains"),
        *("minItems", "maxItems", "uniqueItems", "multipleOf", "format", "enum", "const", "type"),
    }
)


def normalise(input_schema: object, limits: FormLimits = UNLIMITED) -> dict[str, object]:
    """Turn ``@hitl(input_schema=...)`` into the schema that the record holds.

    Parameters
    ----------
    input_schema : dict or pydantic model class
        One of four forms:

        - ``{"deploy_target": "str"}``: name to type. Types are str (one line), text (several lines), int, float,
          bool, date, datetime, choice, multichoice, email, url, user (somebody's id in the chat system), and
          list[str], with int, float, date, email or url in the place of str. With a question mark after it
          (``"str?"``) the field may be left empty.
        - ``{"deploy_target": {"type": "choice", "choices": ["staging", "production"]}}``: name to settings; both may be
          mixed. Settings are type, label, help, default, optional, choices, min, max (numbers, both allowed),
          min_length, max_length (characters; of a multichoice, choices; of a list, items), pattern (the whole value,
          or each item, must match) and buttons (the only field is a choice of 2 to 4, and each is a button).
        - A JSON Schema object: ``type`` is "object" and ``properties`` an object, or it has ``$schema`` or ``$ref``.
        - A class with a ``model_json_schema`` method, as pydantic's models have.

    limits : FormLimits
        What the form can show.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12: an object with ``properties`` in the author's order, ``required``, and
        ``additionalProperties: false``. It is JSON, and the same after a trip through it and through this function.
        The types become

        ============  ==========================================================
        str           ``string``
        text          ``string``, format ``textarea`` (our own)
        int, float    ``integer``, ``number``
        bool          ``boolean``
        date          ``string``, format ``date``
        datetime      ``string``, format ``date-time``
        choice        ``enum`` of strings or numbers
        multichoice   ``array`` of ``enum`` items, ``uniqueItems``
        email, url    ``string``, format ``email`` or ``uri``
        user          ``string``, format ``user-id`` (our own)
        list[str]     ``array`` of ``string`` items, each one line (``x-lines``, our own)
        ============  ==========================================================

        A required property is one that must be filled in: a required text has ``minLength`` of at least 1, a required
        multichoice or list ``minItems``. A default fills it in beforehand. Any other may be left empty, and then is
        null, or ``[]`` for a multichoice or a list, or ``""`` for a text with that default; null is allowed by its
        type. A text takes at most 3,000 characters, and so do all lines of a list together. The fields of an object
        are named with the objects around it, ``target.region``, and have these names one by one in ``x-path``.

    Raises
    ------
    InputSchemaError
        It is none of these forms, contradicts itself, or goes over one of the limits.
    """
    source = _json_schema(input_schema)
    optional: list[str] = []
    if source is None:
        found = as_mapping(input_schema) or {}
        drafts: list[_Draft] = [(_name(name), *translate(_name(name), settings)) for name, settings in found.items()]
    else:
        drafts = list(_drafts(source, optional))
    if not drafts:
        raise InputSchemaError("it has no fields; leave out input_schema if the step needs no input")
    if len(drafts) > limits.fields:
        raise InputSchemaError(
            f"{len(drafts)} fields are too many for one form; {limits.system} shows at most {limits.fields} below the "
            "question",
            field=drafts[limits.fields][0],
        )
    properties: dict[str, object] = {}
    required: list[str] = []
    shown: list[Field] = []
    for name, draft, asked in drafts:
        if name in properties:
            raise InputSchemaError("two fields have this name", field=name)
        prop, needed = _property(name, draft, asked=asked)
        _refuse_needed(name, optional, needed=needed)
        properties[name] = prop
        required += [name] if needed else []
        shown.append(field_of(name, prop, required=needed))
    refuse_unshowable(shown, limits)
    _refuse_buttons(shown)
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        **({GROUPS: optional} if optional else {}),
    }


def _refuse_needed(name: str, optional: list[str], *, needed: bool) -> None:
    group = next((group for group in optional if name.startswith(f"{group}.")), None)
    if needed and group is not None:
        raise InputSchemaError(
            f"it must be filled in, but all of {group!r} may be left out, and a form can't say both. Make {group!r} "
            "required, or let this field be null and have no default",
            field=name,
        )


def _refuse_buttons(form: list[Field]) -> None:
    for field in form:
        if field.buttons and (len(form) > 1 or not 2 <= len(field.choices) <= MOST_BUTTONS):  # noqa: PLR2004 - a choice
            raise InputSchemaError(
                f"buttons are for a form of one field with 2 to {MOST_BUTTONS} choices. Leave `buttons` out: "
                "the form then shows a menu",
                field=field.name,
            )


def _json_schema(given: object) -> Mapping[object, object] | None:
    """Return the JSON Schema that was given or that a model makes, or None for one of the short forms."""
    if isinstance(given, type) and callable(make := getattr(given, "model_json_schema", None)):
        try:
            return _without_made_titles(cast("Mapping[object, object]", make()))
        except Exception as error:  # whatever the model's library raises for a type that JSON Schema can't express
            raise InputSchemaError(f"{given.__name__} can't be turned into a JSON Schema: {error}") from error
    found = as_mapping(given)
    if found is None:
        near = " This is an instance of a model; use its class." if hasattr(given, "model_json_schema") else ""
        raise InputSchemaError(f"{type(given).__name__} is not accepted.{near} Use {FORMS}.")
    if any(isinstance(found.get(key), str) for key in ("$schema", "$ref")):
        return found
    # A field may well be called "type" or "properties": only the two together, as JSON Schema writes them, are one.
    is_object = found.get("type") == "object"
    if is_object and as_mapping(found.get("properties")) is not None:
        return found
    if is_object or (as_mapping(found.get("properties")) and "required" in found):
        raise InputSchemaError(f"this looks like a JSON Schema, but is incomplete. Use {FORMS}.")
    return None


def _without_made_titles(schema: Mapping[object, object]) -> Mapping[object, object]:
    """Drop the titles that pydantic makes of names: ours are made alike for every form, "Deploy target"."""
    kept = dict(schema)
    if (definitions := as_mapping(schema.get("$defs"))) is not None:
        kept["$defs"] = {name: _without_made_titles(as_mapping(one) or {}) for name, one in definitions.items()}
    if (properties := as_mapping(schema.get("properties"))) is not None:
        kept["properties"] = {name: _without_made_title(name, prop) for name, prop in properties.items()}
    return kept


def _without_made_title(name: object, prop: object) -> dict[object, object]:
    found = as_mapping(prop) or {}
    made = found.get("title") == str(name).replace("_", " ").title()
    return {key: value for key, value in found.items() if not (made and key == "title")}


def _drafts(source: Mapping[object, object], optional: list[str]) -> Iterator[_Draft]:
    """Yield the fields of a JSON Schema, those of objects within it too; name in ``optional`` what may be left out."""
    root = resolve(source, source, field=None)
    optional += [str(name) for name in as_list(root.pop(GROUPS, None)) or []]
    if "nullable" in root:
        raise InputSchemaError("a form can't follow 'nullable' of the schema as a whole")
    yield from _members(root, source, optional)


def _members(
    found: Mapping[object, object], source: Mapping[object, object], optional: list[str], above: tuple[str, ...] = ()
) -> Iterator[_Draft]:
    properties, required = _checked(found, ".".join(above) or None)
    for at, (key, prop) in enumerate(properties.items()):
        path = (*above, _name(key))
        name, asked = _name(".".join(path)), key in required
        draft = _draft(name, prop, source)
        if above:
            _describe(draft, path, found, first=at == 0)
        if as_mapping(draft.get("properties")) is None:
            yield name, draft, asked
            continue
        if len(path) > _DEEPEST:
            raise InputSchemaError(
                f"it is more than {_DEEPEST} objects deep. If it contains itself, no form can show it", field=above[0]
            )
        if draft.pop("nullable", False) or not (asked or as_mapping(draft.get("default"))):
            optional.append(name)
        draft.setdefault("title", humanised(path[-1]))
        yield from _members(draft, source, optional, path)


def _checked(found: Mapping[object, object], group: str | None) -> tuple[Mapping[object, object], list[object]]:
    """Return the properties of an object and the names of those that are required."""
    for keyword in found:
        if keyword in _RESTRICTING - {"type", "properties", "required"}:
            which = "the schema as a whole" if group is None else "this object"
            raise InputSchemaError(f"a form can't follow {keyword!r} of {which}", field=group)
    properties = as_mapping(found.get("properties"))
    required = as_list(found.get("required", []))
    if found.get("type", "object") != "object" or properties is None or required is None:
        raise InputSchemaError('a JSON Schema must have "type": "object" and "properties"', field=group)
    for name in required:
        if name not in properties:
            known = str(name) if group is None else f"{group}.{name}"
            raise InputSchemaError("it is required but not among the properties", field=known)
    if group is not None and not properties:
        raise InputSchemaError("it has no fields", field=group)
    return properties, required


def _describe(
    draft: dict[object, object], path: tuple[str, ...], outer: Mapping[object, object], *, first: bool
) -> None:
    """Say in a field's draft that it is part of an object: where, below which title, and with which default."""
    draft[PATH] = list(path)
    draft["title"] = f"{outer['title']}: {as_text(draft.get('title')) or humanised(path[-1])}"
    said = [as_text(outer.get("description")) if first else None, as_text(draft.get("description"))]
    if any(said):
        draft["description"] = " ".join(filter(None, said))
    defaults = as_mapping(outer.get("default")) or {}
    if path[-1] in defaults:
        draft["default"] = defaults[path[-1]]


def _draft(name: str, prop: object, source: Mapping[object, object]) -> dict[object, object]:
    found = _named_choices(resolve(prop, source, field=name))
    if as_mapping(found.get("items")) is not None:
        found["items"] = _named_choices(resolve(found["items"], source, field=name))
    return found


def _named_choices(found: dict[object, object]) -> dict[object, object]:
    """Turn a ``oneOf`` of values with titles into choices that are called by their titles."""
    for keyword in ("oneOf", "anyOf"):
        options = [as_mapping(option) or {} for option in as_list(found.get(keyword)) or []]
        kept = [option for option in options if option.get("type") != "null"]
        if not kept or any("const" not in option for option in kept):
            continue
        del found[keyword]
        found["enum"] = [option["const"] for option in kept]
        if any("title" in option for option in kept):
            found[TITLES] = [option.get("title", option["const"]) for option in kept]
        if len(kept) < len(options):
            found["nullable"] = True
    return found


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InputSchemaError(f"{name!r} is not a field's name; use a non-empty string")
    if len(name) > LONGEST_NAME:
        raise InputSchemaError(f"a name has at most {LONGEST_NAME} characters, this one {len(name)}", field=name)
    if not name.isprintable() or name != name.strip() or "=" in name:
        # With "=" in it, no name=value could ever set it.
        raise InputSchemaError("a name has no control characters, no '=', and no space around it", field=name)
    return name


def _property(name: str, draft: Mapping[object, object], *, asked: bool) -> tuple[dict[str, object], bool]:
    """Return one property in normal form, and whether it must be filled in."""
    kind = _kind(name, draft)
    _refuse_strays(name, kind, draft)
    default = draft.get("default")
    nullable = draft.get("nullable") is True
    made = _values(name, kind, draft)
    least = as_whole(made.get("minItems", made.get("minLength"))) or 0
    if kind in MANY:
        needed = least > 0
        if needed and nullable:
            raise InputSchemaError(
                f"it may be left empty but needs at least {least}; remove one of the two", field=name
            )
        nullable = False
    else:
        blank = kind in TEXTUAL and default == "" and least == 0
        needed = not nullable and not blank and (asked or default is not None)
        nullable = not needed and not blank
    if needed and kind in {Kind.STR, Kind.TEXT}:
        made["minLength"] = max(1, least)
    json_type = _json_type(kind, draft, made)
    made = {
        "type": [json_type, "null"] if json_type and nullable else json_type,
        "title": _words(name, "label", draft.get("title")),
        "description": _words(name, "help", draft.get("description")) or None,
        **made,
    }
    made = {key: value for key, value in made.items() if value is not None}
    if default is not None:
        made["default"] = canonical(field_of(name, made, required=needed), default)
    if nullable and kind is Kind.CHOICE:
        made["enum"] = [*(as_list(made["enum"]) or []), None]
    return made, needed


def _values(name: str, kind: Kind, draft: Mapping[object, object]) -> dict[str, object]:
    """Return what bounds a value, and where it belongs."""
    made: dict[str, object] = {}
    if kind is Kind.CHOICE and draft.get(BUTTONS) is True:
        made[BUTTONS] = True
    if as_list(draft.get(PATH)):
        made[PATH] = draft[PATH]
    if kind is Kind.CHOICE:
        made |= _choices(name, draft)
    elif kind is Kind.MULTICHOICE:
        made |= {"items": _choices(name, _items(name, draft)), "uniqueItems": True}
    elif kind is Kind.LIST:
        made |= {"items": _item(name, draft), "uniqueItems": draft.get("uniqueItems") is True or None, LINES: True}
    return made | {"format": FORMAT_BY_KIND.get(kind), **_numbers(name, kind, draft), **_lengths(name, kind, draft)}


def _kind(name: str, draft: Mapping[object, object]) -> Kind:
    if "enum" in draft or "const" in draft:
        return Kind.CHOICE
    json_type = draft.get("type")
    if json_type == "string":
        kind = KIND_BY_FORMAT.get(as_text(draft.get("format")))
        if kind is not None:
            return kind
        known = ", ".join(format_ for format_ in KIND_BY_FORMAT if format_)
        raise InputSchemaError(f"unknown format {draft.get('format')!r}. Formats are {known}.", field=name)
    if json_type == "array":
        items = as_mapping(draft.get("items")) or {}
        return Kind.MULTICHOICE if "enum" in items or "const" in items else Kind.LIST
    kinds = {"integer": Kind.INT, "number": Kind.FLOAT, "boolean": Kind.BOOL}
    kind = kinds.get(str(json_type))
    if kind is not None:
        return kind
    if json_type == "object" or "properties" in draft:
        raise InputSchemaError("a form can show an object only if its properties are listed", field=name)
    raise InputSchemaError(
        f"a form needs one type for it, and it is not clear which. Types are {', '.join(TYPES)}; in JSON Schema "
        "string, integer, number, boolean, an enum, an array of an enum, of strings or of numbers, an object with "
        "properties, or one of these or null.",
        field=name,
    )


def _refuse_strays(name: str, kind: Kind, draft: Mapping[object, object]) -> None:
    carried = {"type"}
    if kind in TEXTUAL:
        carried |= _LENGTHS | {"format"}
    elif kind in {Kind.INT, Kind.FLOAT}:
        carried |= _LIMITS
    elif kind is Kind.CHOICE:
        carried |= {"enum", "const"}
    elif kind in MANY:
        carried |= {"items", "minItems", "maxItems", "uniqueItems"}
    elif kind is not Kind.BOOL:
        carried |= {"format"}
    stray = [str(key) for key in draft if key in _RESTRICTING - carried]
    if stray:
        raise InputSchemaError(f"a form can't follow {', '.join(map(repr, stray))} for {kind.value}", field=name)


def _items(name: str, draft: Mapping[object, object]) -> Mapping[object, object]:
    items = as_mapping(draft.get("items")) or {}
    _refuse_strays(name, Kind.CHOICE, items)
    return items


def _item(name: str, draft: Mapping[object, object]) -> dict[str, object]:
    """Return what each item of a list has to be, in normal form."""
    items = as_mapping(draft.get("items")) or {}
    kind = _kind(name, items) if items.get("type") in {"string", "integer", "number"} else None
    if kind not in LISTED.values() or "nullable" in items or "default" in items:
        raise InputSchemaError(
            "a list can only be shown if its items are an enum, or each one line: texts, numbers, dates, email or web "
            "addresses",
            field=name,
        )
    return _property(name, {key: items[key] for key in items if key not in {"title", "description"}}, asked=True)[0]


def _choices(name: str, draft: Mapping[object, object]) -> dict[str, object]:
    choices = [draft["const"]] if "const" in draft else as_list(draft.get("enum"))
    if choices is None:
        raise InputSchemaError("choices must be a list", field=name)
    for choice in choices:
        if not isinstance(choice, str) and as_number(choice) is None:
            raise InputSchemaError(f"a choice must be a string or a number, not {choice!r}", field=name)
        if "type" in draft and not _is(choice, draft["type"]):
            raise InputSchemaError(f"the choice {choice!r} is not of type {draft['type']!r}", field=name)
    titles = as_list(draft.get(TITLES))
    if titles is not None and not all(isinstance(title, str) for title in titles):
        raise InputSchemaError("the title of a choice must be a string", field=name)
    return {"enum": choices, TITLES: titles} if titles else {"enum": choices}


def _is(choice: object, json_type: object) -> bool:
    names = as_list(json_type) or [json_type]
    if isinstance(choice, str):
        return "string" in names
    return "number" in names or ("integer" in names and as_whole(choice) is not None)


def _numbers(name: str, kind: Kind, draft: Mapping[object, object]) -> dict[str, object]:
    """Return the limits of a number; those of an integer become whole and inclusive."""
    found: dict[str, int | float] = {}
    for keyword in sorted(_LIMITS & set(draft), key=str):
        limit = as_number(draft[keyword])
        if limit is None or (isinstance(limit, float) and not math.isfinite(limit)):
            raise InputSchemaError(f"a limit must be a number, not {draft[keyword]!r}", field=name)
        found[str(keyword)] = limit
    if kind is not Kind.INT:
        return dict(found)
    least = [math.ceil(found["minimum"])] if "minimum" in found else []
    least += [math.floor(found["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in found else []
    most = [math.floor(found["maximum"])] if "maximum" in found else []
    most += [math.ceil(found["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in found else []
    return {"minimum": max(least, default=None), "maximum": min(most, default=None)}


def _lengths(name: str, kind: Kind, draft: Mapping[object, object]) -> dict[str, object]:
    keywords = ("minItems", "maxItems") if kind in MANY else ("minLength", "maxLength")
    made: dict[str, object] = {}
    for keyword in keywords:
        length = as_whole(draft.get(keyword))
        if keyword in draft and (length is None or length < 0):
            raise InputSchemaError(f"a length must be a whole number from 0, not {draft[keyword]!r}", field=name)
        made[keyword] = length
    if kind in TEXTUAL:
        made["maxLength"] = LONGEST_TEXT if made["maxLength"] is None else made["maxLength"]
        made["pattern"] = _pattern(name, draft.get("pattern"))
    return made


def _pattern(name: str, pattern: object) -> str | None:
    if pattern is None or pattern == "":
        return None
    if not isinstance(pattern, str):
        raise InputSchemaError(f"the pattern must be a string, not {pattern!r}", field=name)
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputSchemaError(f"the pattern is not a regular expression: {error}", field=name) from error
    return pattern


def _json_type(kind: Kind, draft: Mapping[object, object], made: Mapping[str, object]) -> str | None:
    if kind in MANY:
        return "array"
    if kind is not Kind.CHOICE:
        return str(draft["type"])
    choices = as_list(made["enum"]) or []
    return "string" if choices and all(isinstance(choice, str) for choice in choices) else None


def _words(name: str, what: str, given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise InputSchemaError(f"the {what} must be a string, not {given!r}", field=name)
    if what == "label" and not given.strip():
        raise InputSchemaError("the label is empty; leave it out to have one made from the name", field=name)
    return given
