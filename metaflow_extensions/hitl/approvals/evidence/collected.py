"""Everything that a question records about its task, and what it is compared with."""

import hashlib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

# A number that a decision is based on, and how it reads.

_TEXT = 60  # characters of a value that is a text
_PROBLEM = 120
_LARGEST = 2**53  # a whole number beyond is kept as a float: not every reader of JSON has larger ones


class Better(str, Enum):
    """Which way a metric should go."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One value of a task, as the question recorded it."""

    name: str
    value: Any = None  # a finite number, True, False or a short text; None where there is none
    problem: str = ""  # why there is none
    format: str = ""  # as for Python's format(): ".1%", ",.0f"
    better: Better | None = None
    warn_below: float | None = None
    warn_above: float | None = None
    warn_change: float | None = None  # negative: warn of a loss of this much or more; positive: of a gain

    @property
    def number(self) -> float | None:
        """The value if it can be calculated with."""
        return self.value if isinstance(self.value, (int, float)) and not isinstance(self.value, bool) else None

    @property
    def shown(self) -> str:
        """The value in words."""
        return self.written(self.value) if self.value is not None else self.problem or "no value"

    def written(self, value: Any) -> str:
        """Write a value of this metric the way its author wants."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if not isinstance(value, (int, float)):
            return _cut(str(value), _TEXT) or "empty"
        return _cut(_format(value, self.format), _TEXT)

    def written_change(self, change: float) -> str:
        """Write a difference of two values, with its sign."""
        if self.format.endswith("%"):
            points = _format(abs(change) * 100, f"{self.format[:-1]}f" if "." in self.format else ".1f")
            return f"{_sign(change)}{points} points"
        return f"{_sign(change)}{_format(abs(change), self.format)}"


def _sign(change: float) -> str:
    return "+" if change > 0 else "−" if change < 0 else "±"


def _format(value: float, spec: str) -> str:
    if spec:
        try:
            return format(value, spec)
        except (ValueError, TypeError, OverflowError):
            return str(value)  # a whole number where the format is made for floats, or the other way round
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.4g}"  # noqa: PLR2004 - a million reads better as 1.2e+06


def measure(value: Any) -> tuple[Any, str]:
    """Turn what a flow holds into what a record can hold.

    Parameters
    ----------
    value : Any
        Anything at all: its own code may run, and may raise.

    Returns
    -------
    tuple
        The value, or None and why there is none.
    """
    try:
        return _measure(value)
    except Exception as error:  # noqa: BLE001 - an artifact's own code may raise anything
        return None, failed(error)


def failed(error: BaseException) -> str:
    """Say in words that a value could not be had."""
    words = " ".join(str(error).split())
    return _cut(f"failed with {type(error).__name__}" + (f": {words}" if words else ""), _PROBLEM)


def _measure(value: Any) -> tuple[Any, str]:
    value = _scalar(value)
    if value is None:
        return None, "is None"
    if isinstance(value, bool):
        return value, ""
    if isinstance(value, str):
        words = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(value[: 4 * _TEXT].split()))
        return _cut(words, _TEXT), ""
    if isinstance(value, numbers.Real) or _is_decimal(value):
        return _number(value)
    kind: str = type(value).__name__
    article = "an" if kind[:1].lower() in "aeiou" or kind == "ndarray" else "a"
    return None, _cut(f"is {article} {kind}{_size(value)}, not a number", _PROBLEM)


def _scalar(value: Any) -> Any:
    """Take a value out of an array or tensor without dimensions, and out of NumPy's own number types."""
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        return value.item()
    return value


def _is_decimal(value: Any) -> bool:
    from decimal import Decimal  # noqa: PLC0415 - rare, and not worth its import time

    return isinstance(value, Decimal)


def _number(value: Any) -> tuple[Any, str]:
    if isinstance(value, int) and abs(value) <= _LARGEST:
        return int(value), ""
    try:
        number = float(value)
    except OverflowError:
        return None, "is too large a number"
    if math.isnan(number):
        return None, "is NaN"
    if math.isinf(number):
        return None, "is infinite" if number > 0 else "is minus infinity"
    return number, ""


def _size(value: Any) -> str:
    shape: Any = getattr(value, "shape", None)
    if type(shape).__name__ in {"tuple", "Size"}:
        return f" of {' × '.join(map(str, shape))}"
    return f" of {len(value):,}" if type(value) in {dict, list, tuple, set, bytes} else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


# Everything that a question records about its task, and what it is compared with.

# The codec reads the annotations.

LATER = {"later": True}
"""Of a field that came after the first records: where it says nothing, no hash of a question holds it."""

LISTED = 100  # artifacts that are recorded by name; the digest covers all of them


@dataclass(frozen=True, kw_only=True)
class Code:
    """Which code runs."""

    commit: str | None = None  # of git, in hex
    changed: bool | None = None  # whether there were local changes beside it; None: nobody knows
    package: str | None = None  # SHA-1 of Metaflow's code package, in hex


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """What comes into the task, by Metaflow's own content-addressed keys."""

    count: int
    sha256: str  # over all names and keys
    keys: dict[str, str] = field(default_factory=dict[str, str])  # of the first hundred names, in order

    @classmethod
    def of(cls, keys: Mapping[str, str]) -> "Artifacts":
        """Note artifacts, by name; in a join the name begins with the task that it comes from."""
        ordered = dict(sorted(keys.items()))
        listed = dict(list(ordered.items())[:LISTED])
        return cls(count=len(ordered), sha256=digest(ordered), keys=listed)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture of the run's own, as its author wants it shown."""

    name: str
    sha256: str = ""  # of the PNG, in hex, by which it is found; empty: there is none
    problem: str = ""  # why there is none
    shows: str = field(default="", metadata=LATER)  # its titles and the names of its axes, for who can't see it


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The approval before this one, as the question found it."""

    approval_id: str
    run: str
    at: datetime
    run_url: str | None = None
    metrics: dict[str, Any] = field(
        default_factory=dict[str, Any]
    )  # the values by name; those with a problem are left out
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    code: Code = field(default_factory=Code)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a decision is based on."""

    metrics: tuple[Metric, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    code: Code = field(default_factory=Code)
    artifacts: Artifacts | None = None
    baseline: Baseline | None = None  # None: no earlier approval of this step was found
    plots: tuple[Plot, ...] = field(default=(), metadata=LATER)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, in hex; the same for the same value, whatever the order of its names."""
    body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(body.encode("ascii")).hexdigest()
