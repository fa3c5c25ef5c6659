"""/hitl list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable, RecordError
from metaflow_extensions.hitl.messages import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hitl_bot.people import SlackPeople
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def listing(cases: UseCases, people: SlackPeople, user_id: str) -> answers.Reply:
    """List what waits, with what this person is asked first."""
    found = list(cases.ledger.read_many(cases.ledger.open_ids()))
    approvals = [entry.approval for entry in found if not isinstance(entry, RecordError)]
    problems = [error for error in found if isinstance(error, RecordError)]
    groups = _groups(people, user_id, approvals)
    return answers.listing(approvals, now=cases.clock(), user_id=user_id, groups=groups, problems=problems)


def _groups(people: SlackPeople, user_id: str, approvals: Sequence[Approval]) -> frozenset[str]:
    named = {name for approval in approvals for name in approval.question.approvers if name.startswith(("@", "S"))}
    if not named:
        return frozenset()
    try:
        return people.groups_of(people.person(user_id), named)
    except PeopleUnavailable:
        return frozenset()  # the list is worth having without its order
