"""Whose run it is, where nobody may approve their own."""

from __future__ import annotations

from collections.abc import Iterable

from metaflow_extensions.hitl.approvals.ports import People
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Person
from metaflow_extensions.hitl.approvals.refusals import NotAllowed

_SELF = "the person who started the run may not approve it. Ask another approver."


def check_is_not_a_requester(
    approval: Approval, person: Person, on_behalf_of: Person | None, people: People, started_by: Iterable[Person]
) -> None:
    """Refuse an approval by who deployed or started the run, themselves or by a delegate.

    Raises
    ------
    NotAllowed
        It is one of them, or it can't be known who they are.
    """
    deciding = [person] if on_behalf_of is None else [person, on_behalf_of]
    for requester, certain in _requesters(approval, started_by):
        known = people.identify(requester)
        if known is not None and any(one.id == known.id for one in deciding):
            raise NotAllowed(approval, person, _SELF)
        if known is None:
            raise NotAllowed(
                approval,
                person,
                f"the person who started the run may not approve it, and {_unlinked(requester, people.system)}",
            )
        if not certain:
            raise NotAllowed(
                approval,
                person,
                f"the person who started the run may not approve it, and only the run itself says that this is "
                f"{requester.name}. {known.name} has to confirm it first: the bot has sent a direct message.",
            )


def needs_confirming(approval: Approval) -> bool:
    """Whether the requester has to confirm in the chat that the run is theirs before anybody can approve it."""
    is_local = approval.gate.engine is EngineKind.LOCAL
    return is_local and not approval.rule.self_approval_allowed and not _is_certain(approval)


def _requesters(approval: Approval, started_by: Iterable[Person]) -> list[tuple[Person, bool]]:
    """Return everybody whose run it is, and whether that is certain."""
    if approval.gate.engine is not EngineKind.LOCAL and (found := list(started_by)):
        return [(one, True) for one in found]
    return [(approval.confirmed_requester or approval.requester, _is_certain(approval))]


def _is_certain(approval: Approval) -> bool:
    """Whether more speaks for the requester than a name in the environment of the run."""
    if approval.confirmed_requester is not None or approval.requester.is_vouched_for:
        return True
    return approval.gate.engine is EngineKind.LOCAL and approval.rule.claimed_requester_counts


def _unlinked(requester: Person, system: str) -> str:
    return (
        f"{requester.name} isn't linked to a {system} user. An operator can link them under `people` in the policy "
        f"file: `{requester.id}: their email address`."
    )
