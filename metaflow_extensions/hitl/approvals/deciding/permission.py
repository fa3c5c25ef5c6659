"""Who may decide. Checked when the decision is made, and closed when in doubt."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.ports import Bar, People
from metaflow_extensions.hitl.approvals.record import Approval, Person, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.approvals.rule import Rule

_GROUP = re.compile(r"@[^@]+|S[A-Z0-9]+")  # a handle, or the id that usergroups.list gives (S0614TZR7)
_SELF = "you asked for this run, and somebody else has to approve it. Ask one of the others who may."
LIFTED_BY_POLICY = frozenset({Bar.GUEST, Bar.STRANGER})  # for those that the operator names


@dataclass(frozen=True, kw_only=True)
class Seat:
    """In which capacity somebody answers."""

    counts_for: tuple[str, ...] = ()  # the approvers, as they are named, that they stand for
    on_behalf_of: Person | None = None


def check_may_decide(
    approval: Approval,
    person: Person,
    people: People,
    *,
    verdict: Verdict = Verdict.APPROVE,
    where: Where = Where.BUTTON,
    absent: Iterable[Person] = (),
) -> Seat:
    """Hold a person to the rule of an approval; where nobody is named, whoever sees the question may answer.

    Parameters
    ----------
    verdict : Verdict
        Who asked must not approve where the rule forbids it, and may always reject.
    where : Where
        The way in.
    absent : Iterable[Person]
        Those who delegated to this person, asked for only where the person may not decide in their own right.

    Raises
    ------
    NotAllowed
        The person is none of those who may, or is of a kind that never decides.
    PeopleUnavailable
        The chat system has to be asked, and can't say.
    """
    rule = approval.rule
    # Only a chat system has guests and strangers; who has an account on the machine is the machine's own affair.
    bar = _bar(person, rule, people)
    if bar is not None:
        raise NotAllowed(approval, person, bar)
    if where is Where.FLOW_CLI and not rule.command_line_counts:
        raise NotAllowed(
            approval,
            person,
            f"the rule “{rule.name}” of the operator's policy wants the answer in {people.system}. Give it there.",
        )
    seat = _own_seat(person, rule, people) or _seat_of_absent(approval, person, people, absent)
    if seat is None:
        raise NotAllowed(approval, person, _who_may(person, rule, people))
    if verdict is Verdict.APPROVE:
        if not rule.self_approval_allowed:
            _check_is_not_the_requester(approval, person, seat, people)
        _check_can_be_told_apart(approval, person, people)
    return seat


def _bar(person: Person, rule: Rule, people: People) -> Bar | None:
    bar = people.barred(person) if person.is_vouched_for else None
    return None if bar in LIFTED_BY_POLICY and _named(person, rule.outsiders) else bar


def _own_seat(person: Person, rule: Rule, people: People) -> Seat | None:
    """Return what somebody stands for in their own right; None if they may not decide."""
    wanted = dict.fromkeys((*rule.names, *rule.deciders))
    named = {name for name in wanted if _named(person, (name,))}
    # Groups cost requests: where names alone settle it, nobody asks.
    settled = (not rule.deciders or named & set(rule.deciders)) and (named & set(rule.names) or not rule.names)
    groups = _groups([name for name in wanted if name not in named])
    if groups and person.is_vouched_for and (rule.asks_several or not settled):
        named |= people.groups_of(person, groups)
    if rule.deciders and not named & set(rule.deciders):
        return None
    if not rule.is_open and not named & set(rule.names):
        return None
    return Seat(counts_for=tuple(name for name in rule.names if name in named))


def _seat_of_absent(approval: Approval, person: Person, people: People, absent: Iterable[Person]) -> Seat | None:
    rule = approval.rule
    for other in absent:
        if _bar(other, rule, people) is not None:
            continue
        seat = _own_seat(other, rule, people)
        if seat is None:
            continue
        if not rule.delegation_allowed:
            raise NotAllowed(
                approval,
                person,
                f"{other.name} delegated to you, and the rule “{rule.name}” of the operator's policy does not let "
                f"anybody decide for others. {_who_may(person, rule, people)}",
            )
        return Seat(counts_for=seat.counts_for, on_behalf_of=other)
    return None


def _check_is_not_the_requester(approval: Approval, person: Person, seat: Seat, people: People) -> None:
    requester = approval.requester
    deciding = [person] if seat.on_behalf_of is None else [person, seat.on_behalf_of]
    if any((one.origin, one.id) == (requester.origin, requester.id) for one in deciding):
        raise NotAllowed(approval, person, _SELF)
    if not person.is_vouched_for:
        raise NotAllowed(
            approval,
            person,
            f"who asked must not approve, and only {people.system} tells people apart for certain. Answer it there.",
        )
    known = people.identify(requester)
    if known is None:
        raise NotAllowed(
            approval,
            person,
            f"who asked must not approve, and nobody knows who {requester.name} is in {people.system}. An operator can "
            f"say so: under `people` in the policy file, `{requester.id}: their e-mail address`.",
        )
    if any(one.id == known.id for one in deciding):
        raise NotAllowed(approval, person, _SELF)


def _check_can_be_told_apart(approval: Approval, person: Person, people: People) -> None:
    if person.is_claimed and any(one.by.is_vouched_for for one in approval.votes):
        raise NotAllowed(
            approval,
            person,
            f"others have voted in {people.system}, and nobody can tell whether you are one of them. Vote there.",
        )


def _who_may(person: Person, rule: Rule, people: People) -> str:
    names = rule.names or rule.deciders
    if rule.names and rule.deciders:
        limit = f" The rule “{rule.name}” of the operator's policy takes the answers of {_listed(rule.deciders)} only."
    else:
        limit = ""
    if person.is_claimed and _groups(names):
        return f"{_listed(names)} may, and only {people.system} knows who that is. Answer it there.{limit}"
    return f"{_listed(names)} may. Ask one of them.{limit}"


def _groups(names: Collection[str]) -> frozenset[str]:
    return frozenset(name for name in names if is_group(name))


def is_group(name: str) -> bool:
    """Whether an approver is named as a user group: ``@handle``, or the group's id."""
    return _GROUP.fullmatch(name) is not None


def _named(person: Person, approvers: tuple[str, ...]) -> bool:
    names = {person.id}
    if person.email:
        names.add(person.email.lower())
    if person.is_claimed:
        names.add(person.name)
    return any(name in names or name.lower() in names for name in approvers)


def _listed(approvers: tuple[str, ...]) -> str:
    return approvers[0] if len(approvers) == 1 else f"{', '.join(approvers[:-1])} or {approvers[-1]}"
