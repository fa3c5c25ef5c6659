"""What docs/security.md says each way opens, in each mode."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


@cache
def promised() -> dict[str, dict[str, bool]]:
    """Return for each way, in the words of the page, whether it opens a gate in the open mode and in the sealed one."""
    section = PAGE.read_text().partition("## What each mode promises")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    ways = [row for row in rows if row[1:] != ["open", "sealed"] and set(row[0]) != {"-"}]
    return {
        way: {"open": open_.startswith("opens"), "sealed": sealed.startswith("opens")} for way, open_, sealed in ways
    }
