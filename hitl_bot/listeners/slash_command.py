"""The slash command: its words, what people type after them, and the answer to the person who typed it alone."""

import re
import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from slack_bolt import Ack, Respond
from slack_sdk import WebClient

from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.reminding import Reminding
from hitl_bot.surfaces.sight import Sight
from metaflow_extensions.hitl.approvals.deciding.permission import LIFTED_BY_POLICY
from metaflow_extensions.hitl.approvals.duration import BadDuration, in_words, parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import replies

from .payloads import Json

# What people type after /hitl.

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
    def arguments(self) -> list[str]:
        """The words after the first one, each without quotes around it."""
        return [bare for word in (self.approval_id, *self.rest.split()) if (bare := _bare(word))]

    @property
    def without_first(self) -> "Words":
        """The same without the word after the first one, which becomes part of it: ``stats rules``."""
        first, *others = self.arguments
        return Words(verb=f"{self.verb} {first}", approval_id="".join(others[:1]), rest=" ".join(others[1:]))

    @property
    def text(self) -> str:
        """All words, as they can be typed again."""
        return " ".join([self.verb, *self.arguments])


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
class Period:
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
    verb, _, arguments = text.strip().partition(" ")
    match = re.match(r"\s*(\S*)\s*(.*)", arguments, re.DOTALL)
    first, rest = (match[1], match[2]) if match else ("", "")
    return Words(verb=verb.strip(_AROUND_ID).lower(), approval_id=_bare(first), rest=rest.strip())


def read_pairs(rest: str) -> dict[str, list[str]]:
    """Read ``name=value name="two words"``; the same name more than once is a list's items.

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
    pairs: dict[str, list[str]] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise BadWords(
                f"{part!r} is not name=value, so nothing was "
                "decided. Use /hitl approve ID name=value, or /hitl approve ID to open the form."
            )
        pairs.setdefault(name, []).append(value)
    return pairs


def read_filter(words: Words) -> Filter:
    """Read what follows ``list``: nothing, ``mine``, ``overdue``, ``flow NAME`` or ``step NAME``.

    Raises
    ------
    BadWords
        It is something else.
    """
    arguments = words.arguments
    first = arguments[0].lower() if arguments else ""
    if first in {Only.ALL.value, Only.MINE.value, Only.OVERDUE.value} and len(arguments) <= 1:
        return Filter(only=Only(first))
    if first in {Only.FLOW.value, Only.STEP.value} and len(arguments) == 2 and _NAME.fullmatch(arguments[1]):  # noqa: PLR2004 - the word and the name
        return Filter(only=Only(first), name=arguments[1])
    raise BadWords("Use /hitl list, or /hitl list with one of: mine, flow NAME, step NAME, overdue.")


def read_span(words: Words, default: timedelta) -> Period:
    """Read what follows ``history`` and ``stats``: ``flow NAME``, a time such as ``7d``, or both.

    Raises
    ------
    BadWords
        It is something else.
    """
    arguments, flow = words.arguments, None
    if arguments and arguments[0].lower() == Only.FLOW.value:
        if len(arguments) == 1 or not _NAME.fullmatch(arguments[1]):
            raise BadWords(f"/hitl {words.verb} flow needs the name of a flow: /hitl {words.verb} flow TrainFlow 7d.")
        flow, arguments = arguments[1], arguments[2:]
    if not arguments:
        return Period(length=default, flow=flow)
    try:
        return Period(length=timedelta(seconds=parse_duration("The time", " ".join(arguments))), flow=flow)
    except BadDuration:
        raise BadWords(
            f"{' '.join(arguments)!r} is not a valid time. Use /hitl {words.verb} 7d or /hitl {words.verb} flow "
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


# The slash command: which of its words is meant, answered to the person who typed it alone.


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A command that somebody typed, and what it can be answered with.

    Attributes
    ----------
    words : Words
        What was typed after the command.
    user_id : str
        Of the Slack user who typed it.
    body : dict
        What Slack sent, with a ``trigger_id`` that opens one view.
    """

    words: Words
    user_id: str
    body: Json
    client: WebClient
    cases: UseCases
    queries: Queries
    people: SlackPeople
    workers: Executor
    reminding: Reminding

    @property
    def sight(self) -> Sight:
        """What the person who typed it may see."""
        return Sight(self.cases, self.people, self.user_id)

    @property
    def who(self) -> Person:
        """The person who typed it."""
        return self.people.person(self.user_id)


Answer = Callable[[Typed], replies.Reply | None]
"""What a word does. None: it has opened a view, which is the answer."""


def dispatcher(words: Mapping[str, Answer], words_with_id: Mapping[str, Answer]) -> Callable[..., None]:
    """Return the callback of a command that does what the first word says, and explains the words for any other."""

    def dispatch(
        ack: Ack,
        command: Json,
        body: Json,
        client: WebClient,
        respond: Respond,
        cases: UseCases,
        queries: Queries,
        people: SlackPeople,
        workers: Executor,
        reminding: Reminding,
    ) -> None:
        ack()
        said = read_words(command.get("text") or "")
        if said.verb in words_with_id and not said.approval_id:
            raise BadWords(
                f"/hitl {said.verb} needs an approval ID. It is shown under each question and in /hitl list."
            )
        answer = words.get(said.verb) or words_with_id.get(said.verb)
        typed = Typed(
            words=said,
            user_id=command["user_id"],
            body=body,
            client=client,
            cases=cases,
            queries=queries,
            people=people,
            workers=workers,
            reminding=reminding,
        )
        reply = answer(typed) if answer else replies.help_text(unknown=said.verb)
        if reply is not None:
            respond(**reply)

    return dispatch


def explain(_: Typed) -> replies.Reply:
    """``/hitl help``: list the words."""
    return replies.help_text()


def remind(typed: Typed) -> replies.Reply:
    """``/hitl remind ID``: ask again in the thread, now."""
    approval = typed.reminding.by_hand(typed.sight.find(typed.words.approval_id), typed.who)
    return replies.said(f"A reminder of {approval.id} will be posted in its thread.")


# /hitl delegate PERSON until DATE.

# <@U…|name> is what Slack sends of a mention where the manifest says should_escape, as ours does; an app made from an
# older manifest sends the @name that was typed (docs.slack.dev/interactivity/implementing-slash-commands).
_PERSON = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{2,30})|([^@\s]+@\S+\.\S+)")
_HOW = (
    "Use /hitl delegate @person until 2026-12-24, with an email address or member ID in place of @person if "
    "you like, or /hitl delegate end."
)


def delegate(typed: Typed) -> replies.Reply:
    """Let somebody decide in one's place until the end of a day, take that back, or say who decides for whom."""
    cases, people, arguments = typed.cases, typed.people, typed.words.arguments
    me, now = typed.who, cases.clock()
    if [word.lower() for word in arguments] == ["end"]:
        cases.delegations.withdraw(me, now)
        arguments = []
    if not arguments:
        absent = list(cases.delegations.absent_for(me, now))
        return replies.delegating(cases.delegations.of(me, now), absent, now=now)
    if len(arguments) < 3 or arguments[-2].lower() != "until":  # noqa: PLR2004 - person, until, date
        raise BadWords(_HOW)
    other, day = _delegate(" ".join(arguments[:-2]), people), arguments[-1]
    until = _end_of(day, _zone(people.zone(typed.user_id)))
    return replies.delegated(cases.delegations.delegate(me, other, until, now), day=day)


def person_typed(typed: str, people: SlackPeople, how: str) -> Person:
    """Return whom somebody typed: a mention, an email address, a member ID or a name.

    Raises
    ------
    BadWords
        Nobody is called so; the error ends with ``how``.
    """
    match = _PERSON.fullmatch(typed)
    found = people.find(next(filter(None, match.groups()))) if match else people.called(typed)
    if found is None:
        raise BadWords(f"No one in Slack matches {typed!r}. {how}")
    return found


def _delegate(typed: str, people: SlackPeople) -> Person:
    found = person_typed(typed, people, _HOW)
    bar = people.barred(found)
    if bar is not None and bar not in LIFTED_BY_POLICY:
        raise BadWords(f"{found.name} can't decide for you: {bar} Nothing was recorded.")
    return found


def _end_of(text: str, zone: tzinfo) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadWords(f"{text!r} is not a date. {_HOW}") from None
    return datetime.combine(day + timedelta(days=1), time(0), tzinfo=zone).astimezone(timezone.utc)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return timezone.utc
