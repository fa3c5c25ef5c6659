"""What people type behind /hitl."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.errors import HitlError

_TYPOGRAPHIC = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "\u00a0": " "}
)
_ESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_AROUND_ID = "\"'`*_~ "


class BadWords(HitlError):
    """What was typed can't be understood. Nothing was decided."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """The text of a command: its first word, the id that follows, and the rest."""

    verb: str
    approval_id: str
    rest: str


def read_words(text: str) -> Words:
    """Split what was typed. An id may stand in quotes of any kind or in backticks, as people paste it.

    Slack sends ``&``, ``<`` and ``>`` escaped, and nothing else
    (docs.slack.dev/messaging/formatting-message-text, "Escaping text").
    """
    for escaped, plain in _ESCAPED:
        text = text.replace(escaped, plain)
    verb, _, behind = text.strip().partition(" ")
    match = re.match(r"\s*(\S*)\s*(.*)", behind, re.DOTALL)
    first, rest = (match[1], match[2]) if match else ("", "")
    return Words(verb=verb.strip(_AROUND_ID).lower(), approval_id=_bare(first), rest=rest.strip())


def read_pairs(rest: str) -> dict[str, str]:
    """Read ``name=value name="two words"``.

    Raises
    ------
    BadWords
        It is something else.
    """
    try:
        parts = shlex.split(rest.translate(_TYPOGRAPHIC))
    except ValueError:
        raise BadWords(
            'A quotation mark is left open, so nothing was decided. Write name=value or name="two words".'
        ) from None
    pairs: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise BadWords(
                f"{part!r} is no name=value, so nothing was decided. "
                "Write /hitl approve ID name=value, or /hitl approve ID alone for the form."
            )
        pairs[name] = value
    return pairs


def unquoted(text: str) -> str:
    """Return a reason without the quotes, straight or typographic, around all of it. Those inside stay as typed."""
    plain = text.translate(_TYPOGRAPHIC)
    quoted = len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _bare(word: str) -> str:
    return word.translate(_TYPOGRAPHIC).strip(_AROUND_ID)
