"""What people type after /hitl."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from metaflow_extensions.hitl.approvals.duration import BadDuration, in_words, parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError

_TYPOGRAPHIC = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "\u00a0": " "}
)
_ESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_LINK = re.compile(r"<(?:mailto:|tel:)?((?:https?://)?[^@#!|>\s][^|>\s]*)(?:\|([^>]*))?>")
_NAMED = re.compile(r"<([@#]|!subteam\^)[A-Z0-9]+\|([^>]*)>")
_AROUND_ID = "\"'`*_~ "
_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]*")  # of a flow or step: what a pathspec takes


class BadWords(HitlError):
    """What was typed can't be understood. Nothing was decided."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """The text of a command: its first word, the id that follows, and the rest."""

    verb: str
    approval_id: str
    rest: str

    @property
    def behind(self) -> list[str]:
        """The words after the first one, each without quotes around it."""
        return [bare for word in (self.approval_id, *self.rest.split()) if (bare := _bare(word))]

    @property
    def without_first(self) -> Words:
        """The same without the word after the first one, which becomes part of it: ``stats rules``."""
        first, *others = self.behind
        return Words(verb=f"{self.verb} {first}", approval_id="".join(others[:1]), rest=" ".join(others[1:]))

    @property
    def text(self) -> str:
        """All words, as they can be typed again."""
        return " ".join([self.verb, *self.behind])


class Only(str, Enum):
    """Which of the open approvals a list shows."""

    ALL = ""
    MINE = "mine"
    FLOW = "flow"
    STEP = "step"
    OVERDUE = "overdue"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a list shows; ``name`` is that of a flow or step."""

    only: Only
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time before now, and perhaps one flow."""

    length: timedelta
    flow: str | None = None

    @property
    def text(self) -> str:
        """In words: "in 7 d, TrainFlow"."""
        flow = f", {self.flow}" if self.flow else ""
        return f"in {in_words(self.length.total_seconds())}{flow}"


def read_words(text: str) -> Words:
    """Split what was typed. An id may stand in quotes of any kind or in backticks, as people paste it.

    Slack sends ``&``, ``<`` and ``>`` escaped, and links and people marked up: ``<https://…>``, ``<mailto:…|…>``,
    ``<@U…|name>`` (docs.slack.dev/interactivity/implementing-slash-commands, "Escape channels, users, and links").
    Links become what was typed; people keep their ids, since names are not unique.
    """
    text = _LINK.sub(lambda found: found[2] or found[1], text)
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
            'A quotation mark is missing, so nothing was decided. Use name=value or name="two words".'
        ) from None
    pairs: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise BadWords(
                f"{part!r} is not name=value, so nothing was "
                "decided. Use /hitl approve ID name=value, or /hitl approve ID to open the form."
            )
        pairs[name] = value
    return pairs


def read_filter(words: Words) -> Filter:
    """Read what follows ``list``: nothing, ``mine``, ``overdue``, ``flow NAME`` or ``step NAME``.

    Raises
    ------
    BadWords
        It is something else.
    """
    behind = words.behind
    first = behind[0].lower() if behind else ""
    if first in {Only.ALL.value, Only.MINE.value, Only.OVERDUE.value} and len(behind) <= 1:
        return Filter(only=Only(first))
    if first in {Only.FLOW.value, Only.STEP.value} and len(behind) == 2 and _NAME.fullmatch(behind[1]):  # noqa: PLR2004 - the word and the name
        return Filter(only=Only(first), name=behind[1])
    raise BadWords("Use /hitl list, or /hitl list with one of: mine, flow NAME, step NAME, overdue.")


def read_span(words: Words, default: timedelta) -> Span:
    """Read what follows ``history`` and ``stats``: ``flow NAME``, a time such as ``7d``, or both.

    Raises
    ------
    BadWords
        It is something else.
    """
    behind, flow = words.behind, None
    if behind and behind[0].lower() == Only.FLOW.value:
        if len(behind) == 1 or not _NAME.fullmatch(behind[1]):
            raise BadWords(f"/hitl {words.verb} flow needs the name of a flow: /hitl {words.verb} flow TrainFlow 7d.")
        flow, behind = behind[1], behind[2:]
    if not behind:
        return Span(length=default, flow=flow)
    try:
        return Span(length=timedelta(seconds=parse_duration("The time", " ".join(behind))), flow=flow)
    except BadDuration:
        raise BadWords(
            f"{' '.join(behind)!r} is not a valid time. Use /hitl {words.verb} 7d or /hitl {words.verb} flow "
            "NAME 12h; 366 days at most."
        ) from None


def as_typed(text: str) -> str:
    """Return text with people, groups and channels by their names, as somebody typed them."""
    return _NAMED.sub(lambda found: ("#" if found[1] == "#" else "@") + found[2].removeprefix("@"), text)


def unquoted(text: str) -> str:
    """Return a reason without the quotes, straight or typographic, around all of it. Those inside stay as typed."""
    plain = text.translate(_TYPOGRAPHIC)
    quoted = len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _bare(word: str) -> str:
    return word.translate(_TYPOGRAPHIC).strip(_AROUND_ID)
