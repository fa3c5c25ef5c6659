"""Narrow a JSON value of unknown shape, once, so that the rest is typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast


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
