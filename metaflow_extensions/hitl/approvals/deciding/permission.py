"""Who may decide. Checked when the decision is made, and closed when in doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals.deciding.names import is_group, named_among
from metaflow_extensions.hitl.approvals.deciding.requesters import check_is_not_a_requester
from metaflow_extensions.hitl.approvals.errors import NoUserGroups
from metaflow_extensions.hitl.approvals.ports import Bar, People
from metaflow_extensions.hitl.approvals.record import Approval, Person, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NeedsConfirmation, NotAllowed
from metaflow_extensions.hitl.approvals.requirements import Rule

LIFTED_BY_POLICY = frozenset({Bar.GUEST, Bar.STRANGER})  # for those that the operator names


@dataclass(frozen=True, kw_only=True)
class Eligibility:
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
    started_by: Iterable[Person] = (),
) -> Eligibility:
    """Hold a person to the rule of an approval; where nobody is named, the people of its channel may answer.

    Parameters
    ----------
    people : People
        As they are now, for a decision; as they were lately, for showing.
    verdict : Verdict
        A requester must not approve where the rule forbids it, and may always reject.
    where : Where
        The way in.
    absent : Iterable[Person]
        Those who delegated to this person, asked for only where the person may not decide in their own right.
    started_by : Iterable[Person]
        Who deployed and who started the run, as the engine knows it; asked for only where it matters.

    Raises
    ------
    NotAllowed
        The person is none of those who may, or is of a kind that never decides.
    NeedsConfirmation
        The name comes from a command line, and it matters who answers.
    PeopleUnavailable, EngineUnavailable
        It can't be known now.
    """
    rule = approval.rule
    if where is Where.FLOW_CLI and not rule.command_line_counts:
        raise NotAllowed(
            approval,
            person,
            f"the rule “{rule.name}” of the operator's policy accepts answers only in {people.system}. Please "
            "answer there.",
        )
    if person.is_claimed:
        # Nobody vouches for a typed name, so it stands for nobody: it counts only where anybody may answer.
        if rule.is_about_who_approves if verdict is Verdict.APPROVE else rule.is_about_people:
            raise NeedsConfirmation(approval, person, people.system)
        return Eligibility()
    bar = _bar(person, rule, people)
    if bar is not None:
        raise NotAllowed(approval, person, bar)
    eligibility = _own_eligibility(approval, person, people) or _eligibility_of_absent(approval, person, people, absent)
    if eligibility is None:
        raise NotAllowed(approval, person, _who_may(approval))
    if verdict is Verdict.APPROVE:
        if rule.lacks_named_approvers:
            raise NotAllowed(
                approval,
                person,
                f"the rule “{rule.name}” of the operator's policy requires named approvers, but the step names "
                "none. Name them with `approvers` and start a new run. This run can only be rejected.",
            )
        if not rule.self_approval_allowed:
            check_is_not_a_requester(approval, person, eligibility.on_behalf_of, people, started_by)
    return eligibility


def electorate(approval: Approval) -> str | None:
    """Return the channel whose people answer where nobody is named; None: the bot's default one.

    The operator's channel goes before the one where the question was posted, which a run may have chosen.
    """
    demanded = approval.policy_rule.channel if approval.policy_rule is not None else None
    posted = next((post.channel for post in approval.posts if post.channel), None)
    return demanded or posted or approval.question.channel


def is_barred(approval: Approval, person: Person, people: People) -> bool:
    """Whether this person never decides this approval, whatever they are named."""
    return _bar(person, approval.rule, people) is not None


def _bar(person: Person, rule: Rule, people: People) -> Bar | None:
    bar = people.barred(person)
    return None if bar in LIFTED_BY_POLICY and named_among(person, rule.outsiders) else bar


def _own_eligibility(approval: Approval, person: Person, people: People) -> Eligibility | None:
    """Return what somebody stands for in their own right; None if they may not decide."""
    rule = approval.rule
    named = _named_as(person, rule, people)
    if rule.deciders and not named & set(rule.deciders):
        return None
    if not named & set(rule.names) and not (rule.is_open and people.in_channel(person, electorate(approval))):
        return None
    return Eligibility(counts_for=tuple(name for name in rule.names if name in named))


def _named_as(person: Person, rule: Rule, people: People) -> set[str]:
    """Return which of the names of a rule are this person's, by id, address or group."""
    wanted = dict.fromkeys((*rule.names, *rule.deciders))
    named = {name for name in wanted if named_among(person, (name,))}
    # Groups cost requests: where names alone settle it, nobody asks.
    settled = (not rule.deciders or named & set(rule.deciders)) and (named & set(rule.names) or not rule.names)
    groups = frozenset(name for name in wanted if name not in named and is_group(name))
    if groups and (rule.asks_several or not settled):
        try:
            named |= people.groups_of(person, groups)
        except NoUserGroups:
            if not settled:
                raise
    return named


def _eligibility_of_absent(
    approval: Approval, person: Person, people: People, absent: Iterable[Person]
) -> Eligibility | None:
    rule = approval.rule
    for other in absent:
        if _bar(other, rule, people) is not None:
            continue
        named = _named_as(people.current(other), rule, people)
        # What somebody is named for can be delegated; that they are in a channel can't.
        if not named & set(rule.names) or (rule.deciders and not named & set(rule.deciders)):
            continue
        if not rule.delegation_allowed:
            raise NotAllowed(
                approval,
                person,
                f"{other.name} delegated to you, and the rule “{rule.name}” of the operator's policy does not "
                f"allow anybody to decide for others. {_who_may(approval)}",
            )
        return Eligibility(counts_for=tuple(name for name in rule.names if name in named), on_behalf_of=other)
    return None


def _who_may(approval: Approval) -> str:
    rule = approval.rule
    limit = ""
    if rule.deciders:
        limit = f" The rule “{rule.name}” of the operator's policy accepts answers only from {_listed(rule.deciders)}."
    if rule.is_open:
        also = f" or {_listed(rule.names)}" if rule.names else ""
        return f"only people in the channel of the question{also} can answer it.{limit}"
    return f"only {_listed(rule.names)} can. Ask one of them.{limit}"


def _listed(approvers: Collection[str]) -> str:
    *others, last = approvers
    return f"{', '.join(others)} or {last}" if others else last
