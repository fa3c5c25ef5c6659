"""How Slack writes texts in what it sends: with entities for ``& < >``, and with ids where a command escapes names.

Source: docs.slack.dev/messaging/formatting-message-text, "Escaping text"; docs.slack.dev/interactivity/
implementing-slash-commands, "Escape channels, users, and links"; github.com/slackapi/bolt-python/issues/513.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")
_NAMED = re.compile(r"(?<![\w<])([@#])([a-z0-9][a-z0-9._-]*)|(https?://[^\s<>|]+)|([\w.+-]+@[\w-]+(?:\.[\w-]+)+)")


def escaped(value: Any) -> Any:
    """Return a copy of blocks, messages or views with their texts as Slack sends them back."""
    if isinstance(value, list):
        return [escaped(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("type")
    written = {name: escaped(one) for name, one in value.items()}
    if isinstance(text := value.get("text"), str) and kind in {"plain_text", "mrkdwn"}:
        text = _AMPERSAND.sub("&amp;", text)
        written["text"] = text.replace("<", "&lt;").replace(">", "&gt;") if kind == "plain_text" else text
    return written


def typed(text: str, ids: Mapping[str, str], *, names: bool) -> str:
    """Return what a person typed after a slash command as Slack sends it.

    Parameters
    ----------
    ids : Mapping[str, str]
        By ``@name`` or ``#name``: what Slack writes in its place, such as ``<@U0BOB|bob>``.
    names : bool
        Whether the command's manifest says ``should_escape``.
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _NAMED.sub(lambda found: _marked(found, ids), text) if names else text


def _marked(found: re.Match[str], ids: Mapping[str, str]) -> str:
    sign, name, url, address = found.groups()
    if url:
        return f"<{url}>"
    if address:
        return f"<mailto:{address}|{address}>"
    return ids.get(f"{sign}{name}", found[0])
