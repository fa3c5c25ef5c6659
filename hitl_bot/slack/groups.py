"""Which of the groups that approvals name somebody is in, for lists: without an answer there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.record import Approval


def groups_among(people: SlackPeople, user_id: str, approvals: Iterable[Approval]) -> frozenset[str]:
    """Return the groups, as the approvals name them, that this person is in."""
    named = {name for approval in approvals for name in approval.question.approvers if name.startswith(("@", "S"))}
    if not named:
        return frozenset()
    try:
        return people.groups_of(people.person(user_id), named)
    except PeopleUnavailable:
        return frozenset()  # a list is worth having without its order
