"""/hitl list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.words import Only, read_filter
from hitl_bot.slack.groups import groups_among
from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.messages import lists

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from hitl_bot.listeners.commands.words import Filter, Words
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.answers import Reply


def listing(cases: UseCases, people: SlackPeople, user_id: str, words: Words, page: int = 1) -> Reply:
    """List what waits, with what this person is asked first."""
    chosen = read_filter(words)
    found = list(cases.ledger.read_many(cases.ledger.open_ids()))
    everything = [entry.approval for entry in found if not isinstance(entry, RecordError)]
    groups = groups_among(people, user_id, everything)
    now = cases.clock()
    return lists.listing(
        [one for one in everything if _is_wanted(one, chosen, now, user_id, groups)],
        now=now,
        user_id=user_id,
        groups=groups,
        problems=[error for error in found if isinstance(error, RecordError)],
        page=page,
        words=words.text,
    )


def _is_wanted(approval: Approval, chosen: Filter, now: datetime, user_id: str, groups: Collection[str]) -> bool:
    if chosen.only is Only.MINE:
        return lists.is_asked(approval, user_id, groups)
    if chosen.only is Only.OVERDUE:
        return approval.deadline is not None and approval.deadline <= now
    if chosen.only is Only.FLOW:
        return approval.pathspec.flow == chosen.name
    return chosen.only is Only.ALL or approval.pathspec.step == chosen.name
