"""Follow ``$ref`` and drop ``null`` in JSON Schema, so that what is left of a property is one plain schema."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from metaflow_extensions.hitl.approvals.schema.errors import InputSchemaError
from metaflow_extensions.hitl.approvals.schema.shapes import as_list, as_mapping


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
