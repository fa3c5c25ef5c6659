"""Pieces of Block Kit that can't exceed Slack's limits.

Source of the limits: the pages of docs.slack.dev/reference/block-kit, one for each block, element and composition
object. That all blocks of a message together may hold some 13,200 characters of JSON is not documented
(github.com/slackapi/bolt-js/issues/2509); `fitted` stays below.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from metaflow_extensions.hitl.messages.mrkdwn import cut, length

Block = dict[str, Any]
"""A block, an element or a composition object: JSON as Slack takes it."""

MESSAGE_BLOCKS = 50
MESSAGE_LENGTH = 12_000  # our own, below what was measured

HEADER = 150
SECTION = 3_000
FIELDS = 10
FIELD = 2_000
BUTTON = 75
SPOKEN = 75  # of a button, for screen readers
TABLE_CELL = 120  # our own: a cell that is longer is no longer a table's
VIEW_TITLE = 24

_CONFIRM_TITLE = 100
_CONFIRM_TEXT = 300
_SHARES = (2_900, 1_200, 600, 300, 150, 70, 30)  # characters for each text that may be long


def plain(text: str, limit: int = SECTION) -> Block:
    """Text that Slack shows as it stands: no formatting, no mention, no emoji from colons."""
    return {"type": "plain_text", "text": cut(text, limit).strip() or "–", "emoji": False}


def mrkdwn(text: str) -> Block:
    # Without `verbatim` Slack would go looking for channels and addresses in the values.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, HEADER)}


def section(text: Block, **more: Any) -> Block:
    return {"type": "section", "text": text, **more}


def field_sections(texts: Sequence[str]) -> Iterator[Block]:
    """Yield sections of two columns, ten fields each. Each text is mrkdwn of at most 2,000 characters."""
    for start in range(0, len(texts), FIELDS):
        yield {"type": "section", "fields": [mrkdwn(text) for text in texts[start : start + FIELDS]]}


def context(text: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text)]}


def table(rows: Sequence[Sequence[str]]) -> Block:
    """Show rows of plain text, the first of them the head. A message takes one table.

    Source: docs.slack.dev/reference/block-kit/blocks/table-block (100 rows, 20 columns, no empty cell).
    """
    return {
        "type": "table",
        "column_settings": [{"is_wrapped": True} for _ in rows[0]],
        "rows": [[{"type": "raw_text", "text": cut(text, TABLE_CELL).strip() or "–"} for text in row] for row in rows],
    }


def divider() -> Block:
    return {"type": "divider"}


def actions(elements: Iterable[Block]) -> Block:
    return {"type": "actions", "elements": list(elements)}


def button(label: str, action_id: str, value: str, *, about: str = "", **more: Any) -> Block:
    """Build a button.

    Parameters
    ----------
    about : str
        What it acts on: a screen reader reads a button by itself, and in a list there are many of the same name.
    """
    shape = {"type": "button", "text": plain(label, BUTTON), "action_id": action_id, "value": value, **more}
    return shape | _spoken(label, about)


def link_button(label: str, action_id: str, url: str, *, about: str = "") -> Block:
    """Build a button that opens a link; ``about`` as for ``button``."""
    return {"type": "button", "text": plain(label, BUTTON), "action_id": action_id, "url": url} | _spoken(label, about)


def _spoken(label: str, about: str) -> Block:
    # The visible words come first: people who speak to their machine say what they see.
    words = f"{label}: {' '.join(about[: 4 * SPOKEN].split())}"
    return {"accessibility_label": cut(words, SPOKEN)} if about.strip() else {}


def overflow(action_id: str, options: Sequence[tuple[str, str]]) -> Block:
    """Build the menu behind ⋯ from labels and values."""
    return {
        "type": "overflow",
        "action_id": action_id,
        "options": [{"text": plain(label, BUTTON), "value": value} for label, value in options],
    }


def confirm(title: str, text: str, *, yes: str) -> Block:
    return {
        "title": plain(title, _CONFIRM_TITLE),
        "text": plain(text, _CONFIRM_TEXT),
        "confirm": plain(yes, 30),
        "deny": plain("Cancel", 30),
    }


def modal(title: str, blocks: Sequence[Block], *, callback_id: str, close: str, **more: Any) -> Block:
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title, VIEW_TITLE),
        "close": plain(close, VIEW_TITLE),
        "blocks": list(blocks),
        **more,
    }


def fits(blocks: Sequence[Block]) -> bool:
    """Whether Slack takes so many blocks with so much text as one message."""
    return len(blocks) <= MESSAGE_BLOCKS and length(json.dumps(blocks, ensure_ascii=False)) <= MESSAGE_LENGTH


def fitted(build: Callable[[int], list[Block]]) -> list[Block]:
    """Build the blocks of a message with as much of its long texts as fits.

    Parameters
    ----------
    build : Callable[[int], list[Block]]
        From how long each long text may be to the blocks.
    """
    blocks: list[Block] = []
    for share in _SHARES:
        blocks = build(share)
        if fits(blocks):
            break
    return blocks
