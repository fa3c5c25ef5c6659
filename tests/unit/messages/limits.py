"""What Slack takes, read off its documentation once more and apart from the code under test.

Sources: docs.slack.dev/reference/block-kit (blocks, elements, composition objects), docs.slack.dev/reference/views.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

LIMITS = {"header": 150, "section": 3_000, "field": 2_000, "context": 3_000, "button": 75, "title": 24, "option": 75}
TOKEN = re.compile(
    r"<@[UW][A-Z0-9]+>"
    r"|<!subteam\^S[A-Z0-9]+>"
    r"|<!date\^\d+\^\{date_short_pretty\} \{time\}\|[^<>|]*>"
    r"|<https?://[^<>|\s]+\|[^<>]*>"
)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def texts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every text object."""
    if isinstance(value, dict):
        if value.get("type") in {"plain_text", "mrkdwn"}:
            yield value
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def visible(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(text["text"] for text in texts(blocks))


def check_texts(blocks: list[dict[str, Any]]) -> None:
    for text in texts(blocks):
        assert 1 <= units(text["text"]) <= LIMITS["section"]
        text["text"].encode()  # no half pair
        if text["type"] == "mrkdwn":
            check_mrkdwn(text["text"])


def check_mrkdwn(text: str) -> None:
    """Every token in it is one of ours, and every entity whole."""
    rest = TOKEN.sub("", text)
    assert "<" not in rest
    assert ">" not in rest
    assert "&" not in re.sub(r"&(amp|lt|gt);", "", rest)


def check_blocks(blocks: list[dict[str, Any]]) -> None:
    for block in blocks:
        kind = block["type"]
        if kind in {"header", "section"} and "text" in block:
            assert units(block["text"]["text"]) <= LIMITS[kind]
        for field in block.get("fields", []):
            assert units(field["text"]) <= LIMITS["field"]
        assert len(block.get("fields", [])) <= 10
        for element in block.get("elements", []):
            if element["type"] == "button":
                assert units(element["text"]["text"]) <= LIMITS["button"]
                assert len(element.get("value", "")) <= 2_000
                assert len(element.get("url", "")) <= 3_000
            for option in element.get("options", []):
                assert len(option["value"]) <= 150
    check_texts(blocks)


def check_message(text: str, blocks: list[dict[str, Any]]) -> None:
    """Hold a message to all limits at once."""
    assert 0 < units(text) <= 4_000
    check_mrkdwn(text)
    assert 0 < len(blocks) <= 50
    assert units(json.dumps(blocks, ensure_ascii=False)) <= 13_000
    check_blocks(blocks)


def check_view(view: dict[str, Any]) -> None:
    assert 0 < len(view["blocks"]) <= 100
    for name in ("title", "close", "submit"):
        assert units(view.get(name, {"text": ""})["text"]) <= LIMITS["title"]
    assert len(view.get("private_metadata", "")) <= 3_000
    assert len(json.dumps(view).encode()) <= 250_000
    check_blocks(view["blocks"])
