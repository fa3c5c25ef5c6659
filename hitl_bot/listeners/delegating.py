"""/hitl delegate PERSON until DATE."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hitl_bot.listeners.command_text import BadWords
from hitl_bot.listeners.slash_command import Typed
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.deciding.permission import LIFTED_BY_POLICY
from metaflow_extensions.hitl.approvals.record import Person
from metaflow_extensions.hitl.messages import answers

# <@U…|name> is what Slack sends of a mention where the manifest says should_escape, as ours does; an app made from an
# older manifest sends the @name that was typed (docs.slack.dev/interactivity/implementing-slash-commands).
_PERSON = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{2,30})|([^@\s]+@\S+\.\S+)")
_HOW = (
    "Use /hitl delegate @person until 2026-12-24, with an email address or member ID in place of @person if "
    "you like, or /hitl delegate end."
)


def delegate(typed: Typed) -> answers.Reply:
    """Let somebody decide in one's place until the end of a day, take that back, or say who decides for whom."""
    cases, people, behind = typed.cases, typed.people, typed.words.behind
    me, now = typed.who, cases.clock()
    if [word.lower() for word in behind] == ["end"]:
        cases.delegations.withdraw(me, now)
        behind = []
    if not behind:
        absent = list(cases.delegations.absent_for(me, now))
        return answers.delegating(cases.delegations.of(me, now), absent, now=now)
    if len(behind) < 3 or behind[-2].lower() != "until":  # noqa: PLR2004 - person, until, date
        raise BadWords(_HOW)
    other, day = _person(" ".join(behind[:-2]), people), behind[-1]
    until = _end_of(day, _zone(people.zone(typed.user_id)))
    return answers.delegated(cases.delegations.delegate(me, other, until, now), day=day)


def _person(typed: str, people: SlackPeople) -> Person:
    match = _PERSON.fullmatch(typed)
    found = people.find(next(filter(None, match.groups()))) if match else people.called(typed)
    if found is None:
        raise BadWords(f"No one in Slack matches {typed!r}. {_HOW}")
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
