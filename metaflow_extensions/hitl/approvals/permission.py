"""Who may decide. Checked when the decision is made, and closed when in doubt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.record import Origin
from metaflow_extensions.hitl.approvals.refusals import NotAllowed

if TYPE_CHECKING:
    from metaflow_extensions.hitl.approvals.ports import People
    from metaflow_extensions.hitl.approvals.record import Approval, Person

_GROUP = re.compile(r"@[^@]+|S[A-Z0-9]+")  # a handle, or the id that usergroups.list gives (S0614TZR7)


def check_may_decide(approval: Approval, person: Person, people: People) -> None:
    """Hold a person to the approvers that the step names; where it names none, whoever sees the question may answer.

    Raises
    ------
    NotAllowed
        The person is none of them, or is of a kind that never decides.
    PeopleUnavailable
        It takes Slack to know, and Slack can't say.
    """
    # Only Slack has guests and strangers; who has an account on the machine is the machine's own affair.
    bar = people.barred(person) if person.origin is Origin.SLACK else None
    if bar is not None:
        raise NotAllowed(approval, person, bar)
    approvers = approval.question.approvers
    if not approvers or _named(person, approvers):
        return
    groups = frozenset(name for name in approvers if _GROUP.fullmatch(name))
    if person.origin is Origin.SLACK and groups and people.groups_of(person, groups):
        return
    if person.origin is Origin.LOCAL and groups:
        raise NotAllowed(
            approval, person, f"{_listed(approvers)} may, and only Slack knows who that is. Answer it there."
        )
    raise NotAllowed(approval, person, f"{_listed(approvers)} may. Ask one of them.")


def _named(person: Person, approvers: tuple[str, ...]) -> bool:
    names = {person.id}
    if person.email:
        names.add(person.email.lower())
    if person.origin is Origin.LOCAL:
        names.add(person.name)
    return any(name in names or name.lower() in names for name in approvers)


def _listed(approvers: tuple[str, ...]) -> str:
    return approvers[0] if len(approvers) == 1 else f"{', '.join(approvers[:-1])} or {approvers[-1]}"
