"""What waits for somebody: the open approvals in which their answer would count now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.deciding.permission import check_may_decide
from metaflow_extensions.hitl.approvals.deciding.votes import represented
from metaflow_extensions.hitl.approvals.errors import HitlError, PeopleUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.approvals.use_cases import UseCases

if TYPE_CHECKING:
    from hitl_bot.slack.people import SlackPeople


def asked_of(
    cases: UseCases, people: SlackPeople, user_id: str, approvals: Iterable[Approval]
) -> dict[str, Person | None]:
    """Return the ids of those approvals that wait for this person, each with who is absent and whom they decide for.

    Held to the rules that an answer is held to; who has voted has done their part. A list is worth having without its
    order, so where Slack can't say who somebody is, only names tell: those that name their id.
    """
    try:
        person = people.person(user_id)
        absent = list(cases.delegations.absent_for(person, cases.clock()))
    except HitlError:
        return {one.id: None for one in approvals if user_id in one.rule.names}
    mine: dict[str, Person | None] = {}
    for approval in approvals:
        try:
            # Who started it is asked of the cluster when somebody decides; a list takes the record's word.
            own = check_may_decide(approval, person, people, absent=absent, started_by=(approval.requester,))
        except (NotAllowed, PeopleUnavailable):
            continue
        if (own.on_behalf_of or person).id not in _have_voted(approval):
            mine[approval.id] = own.on_behalf_of
    return mine


def _have_voted(approval: Approval) -> set[str]:
    voters: list[Person] = [represented(vote) for vote in approval.votes]
    return {person.id for person in voters}
