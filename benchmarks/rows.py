"""A measured value, beside what it should be, and how many of them are printed and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

_HEADS = ("name", "value", "unit", "ratio", "goal", "", "n", "min", "median", "max")
_WIDTHS = (74, 9, 10, 7, 7, 4, 6, 9, 9, 9)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        What was measured.
    value : float
        The median unless the subject says otherwise.
    unit : str
        Of ``value``, ``min``, ``median`` and ``max``.
    ratio : float, optional
        To what the name says, where a ratio makes sense.
    goal : float, optional
        At most this much: of the ratio where there is one, of the value otherwise.
    n : int
        How often it was measured.
    """

    name: str
    value: float
    unit: str
    n: int
    min: float
    median: float
    max: float
    ratio: float | None = None
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.goal is None else (self.value if self.ratio is None else self.ratio) <= self.goal

    @classmethod
    def of(
        cls, name: str, samples: Sequence[float], unit: str, ratio: float | None = None, goal: float | None = None
    ) -> Row:
        """Sum up samples by their median."""
        middle = median(samples)
        return cls(
            name=name,
            value=middle,
            unit=unit,
            n=len(samples),
            min=min(samples),
            median=middle,
            max=max(samples),
            ratio=ratio,
            goal=goal,
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def heads() -> str:
    """Return the head of the table."""
    return _laid_out(_HEADS)


def line(row: Row) -> str:
    """Lay a row out in columns, the name left and the figures right."""
    ratio, goal = ("" if one is None else f"{one:.3g}" for one in (row.ratio, row.goal))
    sign = {None: "", True: "ok", False: "MISS"}[row.met]
    figures = (f"{row.min:.4g}", f"{row.median:.4g}", f"{row.max:.4g}")
    return _laid_out((row.name, f"{row.value:.4g}", row.unit, ratio, goal, sign, str(row.n), *figures))


def _laid_out(cells: Sequence[str]) -> str:
    return "  ".join(
        cell.ljust(width) if head in {"name", "unit"} else cell.rjust(width)
        for head, cell, width in zip(_HEADS, cells, _WIDTHS, strict=True)
    ).rstrip()
