"""The record as JSON. Reading is strict: what is not understood to the letter does not open a gate."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from metaflow_extensions.hitl.approvals import record
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, HitlError, NewerFormat
from metaflow_extensions.hitl.approvals.record import Approval

FORMAT = 1
_ENVELOPE = ("format", "version", "previous", "event", "at")


class _Unreadable(Exception):
    """What is wrong, and where in the document."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable object of a ledger: the whole approval, and its place in the chain."""

    number: int  # from 1
    previous: str | None  # SHA-256 of the object before, in hex; None for the first
    event: str  # what this version adds: requested, posted, decided, expired, closed, settled
    at: datetime
    approval: Approval


def encode(version: Version) -> bytes:
    """Write a version as UTF-8 JSON, the same bytes for the same version."""
    body = _plain(version.approval)
    unknown = body.pop("unknown")
    document = {
        "format": FORMAT,
        "version": version.number,
        "previous": version.previous,
        "event": version.event,
        "at": _plain(version.at),
        **body,
        **unknown,
    }
    # A lone surrogate can't be UTF-8; written as the escape \\udXXX it is still the same JSON.
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False).encode("utf-8", "backslashreplace")


def decode(key: str, body: bytes) -> Version:
    """Read a version.

    Raises
    ------
    CorruptRecord
        It is truncated, no JSON, or a value has another type than it should.
    NewerFormat
        A later release wrote it in a way that this one can't read.
    """
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(key, f"it is not JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):  # pyright: ignore[reportUnknownMemberType] - JSON
        raise CorruptRecord(key, "it says no format")
    document = cast("dict[str, Any]", document)
    if document["format"] > FORMAT:
        raise NewerFormat(key, document["format"], FORMAT)
    try:
        known = {field.name for field in fields(Approval)} - {"unknown"}
        unknown = {name: value for name, value in document.items() if name not in known and name not in _ENVELOPE}
        body_of = {name: value for name, value in document.items() if name in known}
        approval = _read(Approval, {**body_of, "unknown": unknown}, "")
        number, previous = document.get("version"), document.get("previous")
        version = Version(
            number=_read(int, number, "version"),
            previous=_read(Union[str, None], previous, "previous"),  # noqa: UP007 - a value, not an annotation
            event=_read(str, document.get("event"), "event"),
            at=_read(datetime, document.get("at"), "at"),
            approval=approval,
        )
    except (_Unreadable, HitlError) as error:
        raise CorruptRecord(key, str(error)) from error
    if approval.id != approval.pathspec.approval_id:
        raise CorruptRecord(key, f"the id {approval.id} does not follow from {approval.pathspec}")
    return version


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    # The record's annotations are strings, and some of the names stand under TYPE_CHECKING there.
    return get_type_hints(cls, globalns={**vars(record), "datetime": datetime, "Mapping": Mapping})


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        (only,) = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _read(only, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _Unreadable(f"{where} is no list")
        return tuple(_read(arguments[0], part, f"{where}[{n}]") for n, part in enumerate(value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _Unreadable(f"{where} is no object")
        return value  # pyright: ignore[reportUnknownVariableType] - JSON
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    return _read_plain(kind, value, where)


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _Unreadable(f"{where or 'it'} is no object")
    read: dict[str, Any] = {}
    for name, hint in _hints(kind).items():
        if name in value:
            read[name] = _read(hint, value[name], f"{where}.{name}".lstrip("."))
    try:
        # Below the top, a later release's own names are left out: they refine what is known here.
        return kind(**read)
    except TypeError as error:
        raise _Unreadable(f"{where or 'it'} is incomplete ({error})") from error


def _read_plain(kind: Any, value: Any, where: str) -> Any:
    if kind is datetime:
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except (AttributeError, ValueError) as error:
            raise _Unreadable(f"{where} is no time") from error
        if moment.tzinfo is None:
            raise _Unreadable(f"{where} has no time zone")
        return moment
    if issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError as error:
            raise _Unreadable(f"{where} is {value!r}") from error
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Unreadable(f"{where} is no {kind.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Unreadable(f"{where} is no number")
    return value
