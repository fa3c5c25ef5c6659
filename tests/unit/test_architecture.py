"""ARCHITECTURE.md and CONTRIBUTING.md name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
CHANGES = re.findall(r"^\| ([^|]+) \| (\d+) \| (.+) \|$", PAGE.partition("## Twelve changes")[2], re.MULTILINE)


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_file_that_is_named_is_there(page: str) -> None:
    """Each path in code quotes leads to a file or folder of the repository."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", text)
    tops = {path.name for path in REPOSITORY.iterdir()}
    assert [path for path in named if path.split("/")[0] in tops and not (REPOSITORY / path).exists()] == []


def test_the_table_has_the_twelve_changes() -> None:
    """Twelve, a notifier counted once; each number is that of the files and modules that its row names."""
    names = [name.partition(",")[0].removesuffix(" of another package") for name, _, _ in CHANGES]
    assert len(set(names)) == 12
    for name, number, places in CHANGES:
        named = len(re.findall(r"`[\w/.]+\.py`", places)) + len(re.findall(r"\b(?:A|a) (?:module|folder) in\b", places))
        assert named + places.count("and where it is counted") == int(number), name
