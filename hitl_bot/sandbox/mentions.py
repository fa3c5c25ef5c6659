"""Whom a message would notify, and what text it shows."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .elements import Json

# How Slack writes texts in what it sends: with entities for ``& < >``, and with ids where a command escapes names.

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


# Whom a message would notify, and what text it shows.

_MENTION = re.compile(r"<(!channel|!here|!everyone|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)(?:\|[^>]*)?>")
# In a plain_text object Slack shows such a token as it stands; in mrkdwn and in `text` it notifies.
_NOTIFYING = frozenset({"mrkdwn", "markdown"})


def mentions(text: str, blocks: list[Json]) -> list[str]:
    """Return whom a message would notify: ``<!channel>``, ``<!here>``, ``<@U0BOB>``, ``<!subteam^S0RISK>``.

    With blocks, Slack notifies by the blocks and by `text` too (it is the notification); both are looked at.
    Each appears once, in the order of first appearance.
    """
    texts = [text, *(one["text"] for one in text_objects(blocks) if one["type"] in _NOTIFYING)]
    found = [f"<{match[1]}>" for one in texts for match in _MENTION.finditer(one)]
    found += [mention for block in blocks for mention in _rich_text_mentions(block)]
    return list(dict.fromkeys(found))


def text_objects(value: Any) -> Iterator[Json]:
    """Yield every object within that has a ``type`` and a ``text`` of its own."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str) and isinstance(value.get("type"), str):
            yield value
        for inner in value.values():
            yield from text_objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from text_objects(inner)


def visible_text(text: str, blocks: list[Json]) -> str:
    """Return all text that a person sees, a line for each text object; `text` only where there are no blocks."""
    if not blocks:
        return text
    return "\n".join(one["text"] for one in text_objects([_shown(block) for block in blocks]))


def _shown(value: Any) -> Any:
    """Leave out what is shown only after a click: confirm dialogs and the options of menus."""
    if isinstance(value, dict):
        hidden = {"confirm", "options", "option_groups"} if value.get("type") != "radio_buttons" else {"confirm"}
        return {name: _shown(inner) for name, inner in value.items() if name not in hidden}
    return [_shown(inner) for inner in value] if isinstance(value, list) else value


def _rich_text_mentions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        kind = value.get("type")
        if kind == "broadcast":
            yield f"<!{value.get('range')}>"
        elif kind == "user" and "user_id" in value:
            yield f"<@{value['user_id']}>"
        elif kind == "usergroup":
            yield f"<!subteam^{value.get('usergroup_id')}>"
        for inner in value.values():
            yield from _rich_text_mentions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _rich_text_mentions(inner)
