"""Checks of the table block.

Source: docs.slack.dev/reference/block-kit/blocks/table-block; that a message takes one table, and 10,000 characters in
its cells, is in what Slack answers (``only_one_table_allowed``) and in slackapi's own types.
"""

from __future__ import annotations

from typing import Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.complaints import Complaints, Json

_ALIGNMENTS = ("left", "center", "right")


def check_table(found: Complaints, at: str, block: Json) -> None:
    """Check rows, cells and the settings of columns."""
    if not found.required(at, block, "rows"):
        return
    characters = 0
    for number, row in enumerate(found.items(f"{at}/rows", block["rows"], limits.TABLE_ROWS)):
        for column, cell in enumerate(found.items(f"{at}/rows/{number}", row, limits.TABLE_COLUMNS)):
            characters += _check_cell(found, f"{at}/rows/{number}/{column}", cell)
    if characters > limits.TABLE_CHARACTERS:
        found.add(f"{at}/rows", f"no more than {limits.TABLE_CHARACTERS} characters allowed in a table")
    if block.get("column_settings") is not None:
        _check_settings(found, f"{at}/column_settings", block["column_settings"])


def check_single(found: Complaints, at: str, blocks: list[Any]) -> None:
    """Complain about a second table."""
    if sum(isinstance(block, dict) and block.get("type") == "table" for block in blocks) > 1:
        found.add(at, "only_one_table_allowed")


def _check_cell(found: Complaints, at: str, cell: Any) -> int:
    """Check one cell; return how many characters it counts."""
    if not found.is_object(at, cell):
        return 0
    kind = cell.get("type")
    if kind == "raw_text":
        if found.required(at, cell, "text") and found.length(f"{at}/text", cell["text"], limits.TABLE_CHARACTERS, 1):
            return len(cell["text"])
    elif kind == "raw_number":
        if not isinstance(cell.get("value"), (int, float)):
            found.add(at, "missing required field: value")
        return len(str(cell.get("value")))
    elif kind == "rich_text":
        found.required(at, cell, "elements")
    else:
        found.add(f"{at}/type", f"unsupported type: {kind}")
    return 0


def _check_settings(found: Complaints, at: str, settings: Any) -> None:
    for column, setting in enumerate(found.items(at, settings, limits.TABLE_COLUMNS)):
        if setting is None or not found.is_object(f"{at}/{column}", setting):
            continue
        if setting.get("align") not in {None, *_ALIGNMENTS}:
            found.add(f"{at}/{column}/align", f"must be one of: {', '.join(_ALIGNMENTS)}")
        if not isinstance(setting.get("is_wrapped", False), bool):
            found.add(f"{at}/{column}/is_wrapped", "must be a boolean")
