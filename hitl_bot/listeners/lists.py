"""Lists that people ask for: ``/hitl list``, ``history`` and ``stats``, and the pages of the long ones."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from slack_bolt import Ack, Respond

from hitl_bot.listeners.command_text import Filter, Only, Words, read_filter, read_span, read_words
from hitl_bot.listeners.payloads import Json, user_of
from hitl_bot.listeners.slash_command import Typed
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.asked_of import asked_of
from hitl_bot.surfaces.sight import Sight
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import answers, lists
from metaflow_extensions.hitl.messages.answers import Reply
from metaflow_extensions.hitl.messages.pages import turned_page

_LATELY = timedelta(days=30)  # in which the newest decision is looked for
_LAST_FEW = 5
_RULES = "rules"  # a word after `stats`
_HISTORY, _STATISTICS = timedelta(days=7), timedelta(days=30)


def list_open(typed: Typed) -> Reply:
    """``/hitl list``: what waits, with what this person is asked first."""
    return _open_page(typed.cases, typed.queries, typed.people, typed.user_id, typed.words)


def history(typed: Typed) -> Reply:
    """``/hitl history``: what was decided, newest first."""
    return _history_page(typed.cases, typed.queries, typed.sight, typed.words)


def statistics(typed: Typed) -> Reply:
    """``/hitl stats``: how many, and how long it took; ``/hitl stats rules``: how often rules agreed with people."""
    if typed.words.behind[:1] == [_RULES]:
        return _rule_scores(typed)
    span, now = read_span(typed.words, _STATISTICS), typed.cases.clock()
    figures, left_out = typed.queries.statistics(now - span.length, flow=span.flow, sees=typed.sight.sees)
    return lists.figures(figures, now=now, span=span.text, left_out=left_out)


def _rule_scores(typed: Typed) -> Reply:
    span, now = read_span(typed.words.without_first, _STATISTICS), typed.cases.clock()
    scores, left_out = typed.queries.rule_scores(now - span.length, flow=span.flow, sees=typed.sight.sees)
    return lists.rules(scores, now=now, span=span.text, left_out=left_out)


def turn_page(
    ack: Ack, action: Json, body: Json, respond: Respond, cases: UseCases, queries: Queries, people: SlackPeople
) -> None:
    """Next and Previous below a long list: show another page of the list, as it is now, in the place of this one."""
    ack()
    page, typed = turned_page(str(action.get("value", "")))
    words = read_words(typed)
    if words.verb == "history":
        shown = _history_page(cases, queries, Sight(cases, people, user_of(body)), words, page)
    else:
        shown = _open_page(cases, queries, people, user_of(body), words, page)
    shown["replace_original"] = True
    respond(**shown)


def _open_page(
    cases: UseCases, queries: Queries, people: SlackPeople, user_id: str, words: Words, page: int = 1
) -> Reply:
    chosen = read_filter(words)
    found = queries.open()
    sight = Sight(cases, people, user_id)
    everything = sight.of(cases.governed(one) for one in found.approvals)
    mine = asked_of(cases, people, user_id, everything)
    now = cases.clock()
    wanted = [one for one in everything if _is_wanted(one, chosen, now, mine)]
    if not everything and not found.problems and chosen.only is Only.ALL:
        newest = sight.of(queries.decided(now - _LATELY).approvals[:_LAST_FEW])
        return answers.nothing_waits(next(iter(newest), None), now=now)
    return lists.listing(
        wanted,
        now=now,
        mine=mine,
        problems=found.problems,
        page=page,
        words=words.text,
    )


def _is_wanted(approval: Approval, chosen: Filter, now: datetime, mine: Collection[str]) -> bool:
    if chosen.only is Only.MINE:
        return approval.id in mine
    if chosen.only is Only.OVERDUE:
        return approval.deadline is not None and approval.deadline <= now
    if chosen.only is Only.FLOW:
        return approval.pathspec.flow == chosen.name
    return chosen.only is Only.ALL or approval.pathspec.step == chosen.name


def _history_page(cases: UseCases, queries: Queries, sight: Sight, words: Words, page: int = 1) -> Reply:
    span = read_span(words, _HISTORY)
    now = cases.clock()
    decided = queries.decided(now - span.length, flow=span.flow)
    return lists.history(
        sight.of(decided.approvals),
        now=now,
        span=span.text,
        left_out=decided.left_out,
        page=page,
        words=words.text,
    )
