"""/hitl list."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.words import Only, read_filter
from hitl_bot.surfaces.asked_of import asked_of
from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.messages import answers, lists

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from hitl_bot.listeners.commands.words import Filter, Words
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.answers import Reply

_LATELY = timedelta(days=30)  # in which the newest decision is looked for


def listing(cases: UseCases, people: SlackPeople, user_id: str, words: Words, page: int = 1) -> Reply:
    """List what waits, with what this person is asked first."""
    chosen = read_filter(words)
    found = list(cases.ledger.read_many(cases.ledger.open_ids()))
    everything = [cases.governed(entry.approval) for entry in found if not isinstance(entry, RecordError)]
    mine = asked_of(cases, people, user_id, everything)
    now = cases.clock()
    wanted = [one for one in everything if _is_wanted(one, chosen, now, mine)]
    if not found and chosen.only is Only.ALL:  # with what can't be read, or is being carried out, there is more to say
        return answers.nothing_waits(_newest_decided(cases, now), now=now)
    return lists.listing(
        wanted,
        now=now,
        mine=mine,
        problems=[error for error in found if isinstance(error, RecordError)],
        page=page,
        words=words.text,
    )


def _newest_decided(cases: UseCases, now: datetime) -> Approval | None:
    newest = max(cases.ledger.decided_since(now - _LATELY), default=None)
    return None if newest is None else cases.ledger.read(newest[1]).approval


def _is_wanted(approval: Approval, chosen: Filter, now: datetime, mine: Collection[str]) -> bool:
    if chosen.only is Only.MINE:
        return approval.id in mine
    if chosen.only is Only.OVERDUE:
        return approval.deadline is not None and approval.deadline <= now
    if chosen.only is Only.FLOW:
        return approval.pathspec.flow == chosen.name
    return chosen.only is Only.ALL or approval.pathspec.step == chosen.name
