"""A measured value, and how many of them are printed and kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

_HEADS = ("name", "value", "unit", "ratio", "n", "min", "median", "max")


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

    @classmethod
    def of(cls, name: str, samples: Sequence[float], unit: str, ratio: float | None = None) -> Row:
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
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def table(rows: Iterable[Row]) -> str:
    """Lay rows out in columns, the name left and the figures right."""
    lines = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if head in {"name", "unit"} else cell.rjust(width)
            for head, cell, width in zip(_HEADS, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
    figures = (f"{row.min:.4g}", f"{row.median:.4g}", f"{row.max:.4g}")
    return (row.name, f"{row.value:.4g}", row.unit, ratio, str(row.n), *figures)
