"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Health(str, Enum):
    """How a check ended."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"  # it could not be checked, because of something bad before it or because it is not set


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    check : str
        What was looked at, in a word or two.
    health : Health
        How it is.
    detail : str
        What was seen.
    fix : str
        What to do about it; empty unless it is bad.
    """

    check: str
    health: Health
    detail: str
    fix: str = ""


def good(check: str, detail: str) -> Finding:
    """Report what is as it should be."""
    return Finding(check=check, health=Health.GOOD, detail=detail)


def bad(check: str, detail: str, fix: str) -> Finding:
    """Report what must be fixed."""
    return Finding(check=check, health=Health.BAD, detail=detail, fix=fix)


def unknown(check: str, detail: str) -> Finding:
    """Report what could not be looked at."""
    return Finding(check=check, health=Health.UNKNOWN, detail=detail)
