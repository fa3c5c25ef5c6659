"""What a person reads of a value that is a table or a long list. No package is imported for it: values are asked."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from metaflow_extensions.hitl.messages.markdown import CELL, COLUMNS, ROWS

_FIRST = 8  # items of a long list
_LONG = 12


def rows_of(value: Any) -> list[list[str]]:
    """Return the rows of a dict, of a list of dicts or of a data frame, the head first; none of anything else.

    At most ten rows and six columns. A last row says how much more there is.
    """
    if isinstance(value, Mapping):
        return _of_dict(value)
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, Mapping) and one for one in value):
        columns = list(dict.fromkeys(name for one in value[:ROWS] for name in one))
        return _rows(columns, ([one.get(name, "") for name in columns] for one in value), len(value))
    named, first = getattr(value, "columns", None), getattr(value, "head", None)
    if named is None or not callable(first) or not hasattr(value, "__len__"):
        return []
    some = first(ROWS)
    if callable(tuples := getattr(some, "itertuples", None)):  # pandas
        index = getattr(value, "index", None)
        counts = type(index).__name__ == "RangeIndex"
        names = [*([] if counts else [getattr(index, "name", None) or ""]), *named]
        return _rows(names, tuples(index=not counts, name=None), len(value))
    if callable(records := getattr(some, "rows", None)):  # polars
        return _rows(list(named), records(), len(value))
    return []


def shortened(value: Any) -> Any:
    """Return a list or array as text: its items, or the first of many and how many more there are.

    Any other value stays as it is, and so does a short list of other things than texts and numbers.
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and len(shape) > 1:
        return f"{type(value).__name__} of {' × '.join(map(str, shape))}"
    plain = isinstance(value, (list, tuple))
    if not plain and not (isinstance(shape, tuple) and len(shape) == 1):
        return value
    if len(value) <= _LONG:
        reads = plain and value and all(isinstance(one, (str, int, float)) for one in value)
        return ", ".join(map(str, value)) if reads else value
    some = ", ".join(_cell(one) for one in islice(iter(value), _FIRST))
    return f"{some}, … ({len(value) - _FIRST} more)"


def _of_dict(value: Mapping[Any, Any]) -> list[list[str]]:
    inner = list(value.values())
    if inner and all(isinstance(one, Mapping) and one for one in inner):
        columns = list(dict.fromkeys(name for one in inner[:ROWS] for name in one))
        rows = ([key, *(one.get(name, "") for name in columns)] for key, one in value.items())
        return _rows(["", *columns], rows, len(value))
    return _rows(["name", "value"], value.items(), len(value)) if value else []


def _rows(head: Sequence[Any], rows: Iterable[Iterable[Any]], count: int) -> list[list[str]]:
    kept = head[:COLUMNS]
    room = ROWS if count <= ROWS else ROWS - 1
    body = [[_cell(cell) for cell in islice(iter(row), len(kept))] for row in islice(iter(rows), room)]
    more = [f"… {count - room} more", *[""] * (len(kept) - 1)]
    return [[_cell(name) for name in kept], *body, *([more] if count > room else [])]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, (str, int)) or value is None:
        text = "" if value is None else str(value)
    else:
        short = shortened(value)
        text = (
            short if isinstance(short, str) else reprlib.repr(short) if isinstance(short, (list, dict)) else str(short)
        )
    text = " ".join(text[: 4 * CELL].split())
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"
