"""Pieces of Block Kit that can't exceed Slack's limits.

Source of the limits: the pages of docs.slack.dev/reference/block-kit, one for each block, element and composition
object. That all blocks of a message together may hold some 13,200 characters of JSON is not documented
(github.com/slackapi/bolt-js/issues/2509); `fitted` stays below.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.slack import SLACK

# Text that flows computed and people typed, made safe for Slack.

ELLIPSIS = "…"
LINE = 300  # what a line of a message shows of a text that may be long
BACKTICK = "ˋ"  # MODIFIER LETTER GRAVE ACCENT: looks like a backtick and ends no code

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # control characters but tab and line feed
    r"|[\u202a-\u202e\u2066-\u2069]"  # would turn the text around them, and so make one sentence look like another
    r"|[\ud800-\udfff]"  # half a character: can't be sent
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_EMOJI = re.compile(r":(?=[\d_]*(?:[^\W\d_]|[+-])[\w+'-]*:)")  # begins one's name; not the minutes of a time of day
_JOINER = "\u2060"  # WORD JOINER: unseen, takes no room, and ends the name of an emoji
_COLON = "\ua789"  # MODIFIER LETTER COLON: looks like a colon, and takes no more room than one
_MARKUP = re.compile(r"[*_~](?!\w)|(?<!\w)[*_~]|`")
_USER = re.compile(r"[UW][A-Z0-9]{2,30}")
_GROUP = re.compile(r"S[A-Z0-9]{2,30}")
_LINK = re.compile(r"https?://[^\s|<>\"`]+", re.IGNORECASE)
_LONGEST_LINK = 2_000
_LONGEST_CLUSTER = 32  # characters that one visible character may consist of before a cut may fall into it


def legible(text: str) -> str:
    """Replace what a reader can't see or Slack can't carry: control characters, overrides of direction, half pairs."""
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    return " ".join(text.split())


def _line(text: str, limit: int) -> str:
    """Put text into one line without looking at more of it than can be shown."""
    most = 4 * limit
    return one_line(legible(text)) if len(text) <= most else one_line(legible(text[:most])) + ELLIPSIS


def length(text: str) -> int:
    """Count UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """Make text legible and shorten it to a number of UTF-16 units, with "…" where something is missing."""
    return _cut(text, limit, {})


def escape(text: str, limit: int | None = None) -> str:
    """Escape text for mrkdwn, outside of code: what looks like the name of an emoji stays letters.

    Parameters
    ----------
    text : str
        Anything.
    limit : int, optional
        How long the escaped text may become. It is cut before it is escaped, so no entity is ever cut.
    """
    escaped = _entities(text, limit)
    letters = spelled(escaped)
    return letters if limit is None or length(letters) <= limit else _EMOJI.sub(_COLON, escaped)


def spelled(text: str) -> str:
    """Keep what looks like the name of an emoji letters, where nothing else in a text is parsed."""
    return _EMOJI.sub(f":{_JOINER}", text)


def _entities(text: str, limit: int | None = None) -> str:
    text = legible(text) if limit is None else _cut(text, limit, _ENTITIES)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int, entities: Mapping[str, str]) -> str:
    """Cut such that the text fits once its entities are written out."""
    whole = len(text) <= limit
    text = legible(text[: limit + 1])  # at least a unit each, so more of a 3 MB value is not even looked at
    if whole and length(text) + sum(text.count(char) * (len(name) - 1) for char, name in entities.items()) <= limit:
        return text  # as almost every text is
    room, end = limit - len(ELLIPSIS), 0
    used = 0
    for position, char in enumerate(text):
        used += len(entities.get(char, "")) or length(char)
        if used <= room:
            end = position + 1
        if used > limit:
            whole = False
            break
    if whole:
        return text
    return text[: _cluster_start(text, end)].rstrip() + ELLIPSIS if limit > 0 else ""


def _cluster_start(text: str, end: int) -> int:
    """Move a cut out of a character that consists of several: an accent, a skin tone, a family of emoji."""
    start = end
    while 0 < start < len(text) and end - start < _LONGEST_CLUSTER and _joins(text[start - 1], text[start]):
        start -= 1
    return start if end - start < _LONGEST_CLUSTER else end


def _joins(before: str, after: str) -> bool:
    return (
        "\u200d" in (before, after)
        or unicodedata.combining(after) != 0
        or "\ufe00" <= after <= "\ufe0f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )


def code(text: str, limit: int = LINE) -> str:
    """Show text letter by letter, in one line. Backticks and line breaks in it can't end the formatting."""
    return f"`{_entities(_line(text, limit).replace('`', BACKTICK), limit - 2) or ' '}`"


def code_block(text: str, limit: int) -> str:
    """Show text letter by letter, with its lines."""
    return f"```\n{_entities(text[: limit + 1].replace('`', BACKTICK), limit - 8)}\n```"


def quoted(text: str, limit: int = LINE) -> str:
    """Show what a person said, in one line and in quotation marks."""
    return f"“{escape(_line(text, limit), limit - 2)}”"


def literal(text: str, limit: int) -> str:
    """Show a value such that none of its characters is taken for formatting: as it is, or as code where need be."""
    if not _MARKUP.search(text[: limit + 1]):
        return escape(text, limit)
    return code_block(text, limit) if "\n" in text.strip() else code(text, limit)


def bold(text: str, limit: int) -> str:
    text = _line(text, limit)
    return code(text, limit) if _MARKUP.search(text) or not text else f"*{escape(text, limit - 2)}*"


def mention(person: Person) -> str:
    """Name a person: as a mention if Slack vouches for the id, in words otherwise.

    The client shows a mention in each reader's own way; in a changed or an ephemeral message it notifies nobody.
    """
    if person.origin == SLACK and _USER.fullmatch(person.id):
        return f"<@{person.id}>"
    return name(person)


def name(person: Person) -> str:
    return escape(one_line(person.name) or person.id, 80)


def approver(written: str, ids: Mapping[str, str]) -> str:
    """Name an approver as the author wrote it: an id becomes a mention, anything else is shown in words.

    Parameters
    ----------
    written : str
        ``U…`` or ``W…`` of a user, ``S…`` of a user group, a handle, an email address.
    ids : Mapping[str, str]
        The ids of handles and email addresses, as far as somebody has looked them up.
    """
    found = ids.get(written, written)
    if _USER.fullmatch(found):
        return f"<@{found}>"
    if _GROUP.fullmatch(found):
        return f"<!subteam^{found}>"
    return literal(one_line(written), 100)


def link(url: str | None, text: str) -> str:
    """Link text to a web address; without one, or with anything that is none, the text alone."""
    if url is None or not is_web_address(url):
        return escape(text, LINE)
    return f"<{_entities(url)}|{escape(text, LINE)}>"


def is_web_address(url: str | None) -> bool:
    """Whether this is an address that can stand in a message: http or https, nothing that would end the link."""
    return url is not None and _LINK.fullmatch(url) is not None and len(_entities(url)) <= _LONGEST_LINK


def date(moment: datetime) -> str:
    """Show an instant in the reader's own time zone; in UTC where a client can't.

    Source: docs.slack.dev/messaging/formatting-message-text, "Date formatting".
    """
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} {{time}}|{utc(moment)}>"


def utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


# Pieces of Block Kit that can't exceed Slack's limits.

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
