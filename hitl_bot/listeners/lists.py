"""Lists that people ask for: ``/hitl list``, ``history`` and ``stats``, and the pages of the long ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import tee

from slack_bolt import Ack, Respond

from hitl_bot.listeners.command_text import Filter, Only, Span, Words, read_filter, read_span, read_words
from hitl_bot.listeners.payloads import Json, user_of
from hitl_bot.listeners.slash_command import Typed
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.asked_of import asked_of
from hitl_bot.surfaces.sight import Sight
from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.statistics import statistics as counted
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import answers, lists
from metaflow_extensions.hitl.messages.answers import Reply
from metaflow_extensions.hitl.messages.pages import turned_page

_LATELY = timedelta(days=30)  # in which the newest decision is looked for
_HISTORY, _STATISTICS = timedelta(days=7), timedelta(days=30)
_LAST_FEW = 5
_READ = 1_000  # records for one answer: some two seconds on S3


def list_open(typed: Typed) -> Reply:
    """``/hitl list``: what waits, with what this person is asked first."""
    return _open_page(typed.cases, typed.people, typed.user_id, typed.words)


def history(typed: Typed) -> Reply:
    """``/hitl history``: what was decided, newest first."""
    return _history_page(typed.cases, typed.sight, typed.words)


def statistics(typed: Typed) -> Reply:
    """``/hitl stats``: how many, and how long it took."""
    cases, span = typed.cases, read_span(typed.words, _STATISTICS)
    now = cases.clock()
    decided = _read_decided(cases, typed.sight, span, now)
    waiting = [
        one
        for one in typed.sight.of(_readable(cases.ledger.read_many(cases.ledger.open_ids())))
        if span.flow in (None, one.pathspec.flow)
    ]
    figures = counted(decided.approvals, waiting, since=now - span.length)
    return lists.figures(figures, now=now, span=span.text, left_out=decided.left_out)


def turn_page(ack: Ack, action: Json, body: Json, respond: Respond, cases: UseCases, people: SlackPeople) -> None:
    """Next and Previous below a long list: show another page of the list, as it is now, in the place of this one."""
    ack()
    page, typed = turned_page(str(action.get("value", "")))
    words = read_words(typed)
    if words.verb == "history":
        shown = _history_page(cases, Sight(cases, people, user_of(body)), words, page)
    else:
        shown = _open_page(cases, people, user_of(body), words, page)
    shown["replace_original"] = True
    respond(**shown)


def _open_page(cases: UseCases, people: SlackPeople, user_id: str, words: Words, page: int = 1) -> Reply:
    chosen = read_filter(words)
    found = list(cases.ledger.read_many(cases.ledger.open_ids()))
    sight = Sight(cases, people, user_id)
    everything = sight.of(cases.governed(one) for one in _readable(found))
    problems = [error for error in found if isinstance(error, RecordError)]
    mine = asked_of(cases, people, user_id, everything)
    now = cases.clock()
    wanted = [one for one in everything if _is_wanted(one, chosen, now, mine)]
    if not everything and not problems and chosen.only is Only.ALL:
        return answers.nothing_waits(_newest_decided(cases, sight, now), now=now)
    return lists.listing(
        wanted,
        now=now,
        mine=mine,
        problems=problems,
        page=page,
        words=words.text,
    )


def _newest_decided(cases: UseCases, sight: Sight, now: datetime) -> Approval | None:
    """Return the newest decision that this person may see, of the last few there were."""
    newest = nlargest(_LAST_FEW, cases.ledger.decided_since(now - _LATELY))
    seen = sight.of(_readable(cases.ledger.read_many(approval_id for _, approval_id in newest)))
    return next(iter(seen), None)


def _is_wanted(approval: Approval, chosen: Filter, now: datetime, mine: Collection[str]) -> bool:
    if chosen.only is Only.MINE:
        return approval.id in mine
    if chosen.only is Only.OVERDUE:
        return approval.deadline is not None and approval.deadline <= now
    if chosen.only is Only.FLOW:
        return approval.pathspec.flow == chosen.name
    return chosen.only is Only.ALL or approval.pathspec.step == chosen.name


@dataclass(frozen=True, kw_only=True)
class _Decided:
    approvals: list[Approval]  # newest first
    left_out: int


def _history_page(cases: UseCases, sight: Sight, words: Words, page: int = 1) -> Reply:
    span = read_span(words, _HISTORY)
    now = cases.clock()
    decided = _read_decided(cases, sight, span, now)
    return lists.history(
        decided.approvals, now=now, span=span.text, left_out=decided.left_out, page=page, words=words.text
    )


def _read_decided(cases: UseCases, sight: Sight, span: Span, now: datetime) -> _Decided:
    markers, all_of_them = tee(cases.ledger.decided_since(now - span.length, flow=span.flow))
    newest = nlargest(_READ, markers)
    left_out = max(0, sum(1 for _ in all_of_them) - len(newest))
    approvals = sight.of(_readable(cases.ledger.read_many(approval_id for _, approval_id in newest)))
    return _Decided(approvals=[one for one in approvals if one.decision is not None], left_out=left_out)


def _readable(found: Iterable[Entry | RecordError]) -> list[Approval]:
    return [entry.approval for entry in found if not isinstance(entry, RecordError)]
