"""Reading plain JSON values as the types of frozen dataclasses, strictly. A reader is built once for each type."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import Any, TypeAlias, Union, get_args, get_origin

from metaflow_extensions.hitl.approvals.bucket import FIRST_MOMENT, LAST_MOMENT

Reader: TypeAlias = Callable[[Any], Any]
Hints: TypeAlias = Callable[[type], dict[str, Any]]

LARGEST = 10**10
"""A whole number in a record: as seconds some 300 years, so that no moment and no span overflows."""


class Unreadable(Exception):
    """What is wrong, and where in the document."""

    def __init__(self, fault: str, where: str = "") -> None:
        super().__init__(fault)
        self.fault = fault
        self.where = where

    def inside(self, name: str) -> Unreadable:
        """Say the same with the name of what it is in."""
        dot = "." if self.where and not self.where.startswith("[") else ""
        return Unreadable(self.fault, f"{name}{dot}{self.where}")

    def __str__(self) -> str:
        return f"{self.where or 'it'} {self.fault}"


@cache
def reader(kind: Any, hints: Hints) -> Reader:  # noqa: PLR0911 - one line for each kind of type
    """Return what reads a JSON value as a type.

    Parameters
    ----------
    kind : type
        A dataclass, an enumeration, ``datetime``, a plain type, ``Any``, or an optional, a tuple or a mapping of such.
    hints : Callable[[type], dict[str, Any]]
        The types of a dataclass's fields, by name.

    Returns
    -------
    Callable
        Raises ``Unreadable``.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return _as_it_is
    if origin in (Union, types.UnionType):
        (only,) = [argument for argument in arguments if argument is not type(None)]
        return _optional(reader(only, hints))
    if origin is tuple:
        return _tuple(reader(arguments[0], hints))
    if origin in (dict, Mapping):
        return _mapping
    if is_dataclass(kind):
        return _dataclass(kind, hints)
    if kind is datetime:
        return _moment
    if issubclass(kind, Enum):
        return _enum(kind)
    plain = {str: _text, int: _whole, float: _number, bool: _truth}.get(kind)
    return plain or _word(kind)


def _as_it_is(value: Any) -> Any:
    return value


def _optional(read: Reader) -> Reader:
    def optional(value: Any) -> Any:
        return None if value is None else read(value)

    return optional


def _tuple(read: Reader) -> Reader:
    def items(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Unreadable("is not a list")
        position = 0
        found: list[Any] = []
        try:
            for position, part in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON  # noqa: B007 - for the error
                found.append(read(part))
        except Unreadable as error:
            raise error.inside(f"[{position}]") from None
        return tuple(found)

    return items


def _mapping(value: Any) -> Any:
    if type(value) is not dict:
        raise Unreadable("is not an object")
    return value  # pyright: ignore[reportUnknownVariableType] - JSON


def _dataclass(cls: Any, hints: Hints) -> Reader:
    readers = [(name, reader(hint, hints)) for name, hint in hints(cls).items()]
    needed = {one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING}

    def dataclass(value: Any) -> Any:
        if type(value) is not dict:
            raise Unreadable("is not an object")
        name = ""
        arguments: dict[str, Any] = {}
        try:
            # Below the top, a later release's own names are left out: they refine what is known here.
            for name, read in readers:
                if name in value:
                    arguments[name] = read(value[name])
        except Unreadable as error:
            raise error.inside(name) from None
        if not needed <= arguments.keys():
            raise Unreadable(f"is incomplete: {', '.join(sorted(needed - arguments.keys()))} is missing")
        return cls(**arguments)

    return dataclass


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError) as error:
        raise Unreadable("is not a time") from error
    if moment.tzinfo is None:
        raise Unreadable("has no time zone")
    if not FIRST_MOMENT <= moment <= LAST_MOMENT:
        raise Unreadable(f"is not between the years {FIRST_MOMENT.year} and {LAST_MOMENT.year}")
    return moment.astimezone(timezone.utc)


def _enum(cls: type[Enum]) -> Reader:
    by_value = {one.value: one for one in cls}

    def member(value: Any) -> Enum:
        try:
            return by_value[value]
        except (KeyError, TypeError):
            raise Unreadable(f"is {value!r}") from None

    return member


def _word(cls: Any) -> Reader:
    """Read a text of a kind of its own, whose class refuses what it does not take."""

    def word(value: Any) -> Any:
        try:
            return cls(_text(value))
        except ValueError:
            raise Unreadable(f"is {value!r}") from None

    return word


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unreadable("is not a text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise Unreadable("is not a whole number")
    if not -LARGEST <= value <= LARGEST:
        raise Unreadable("is too large a number")
    return value


def _number(value: Any) -> float:
    if type(value) is int and -LARGEST <= value <= LARGEST:
        return float(value)
    if type(value) is not float:
        raise Unreadable("is not a number")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise Unreadable("is not true or false")
    return value
