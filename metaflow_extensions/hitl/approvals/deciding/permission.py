"""Who may see a question, who may decide it, and whether the operator's policy accepts that. Closed when in doubt."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from metaflow_extensions.hitl.approvals.errors import NoUserGroups, PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar, People
from metaflow_extensions.hitl.approvals.question import Automatic, PolicyRule, Requirements
from metaflow_extensions.hitl.approvals.record import Approval, Decision, EngineKind, Origin, Person, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NeedsConfirmation, NotAllowed

# How approvers are named: by a person's id, an email address, or a user group. And whom a name fits.

_ID = re.compile(r"[UWS][A-Z0-9]{2,30}")  # of a person or a group
_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")  # in ASCII, without blanks, and with one @
_HANDLE = re.compile(r"@[^\s@,;]+")
_GROUP = re.compile(r"@[^@]+|S[A-Z0-9]+")  # a handle, or the id of a group (S0614TZR7)


def is_group(name: str) -> bool:
    """Whether an approver is named as a user group: ``@handle``, or the group's id."""
    return _GROUP.fullmatch(name) is not None


def problem_with(name: str) -> str:
    """Say why nobody can ever be this approver; empty if somebody may be."""
    if name.startswith("@"):
        if _HANDLE.fullmatch(name) is None:
            return f"{name!r} is not one handle. Write each group by itself, such as '@ml-leads'."
        return (
            "" if name == name.lower() else f"handles are in lowercase letters: write {name.lower()!r}, not {name!r}."
        )
    if "@" in name:
        fits = _ADDRESS.fullmatch(name) is not None and not set(name) & set(",;<>")
        return "" if fits else f"{name!r} is not one email address. Write each address by itself, in ASCII letters."
    if _ID.fullmatch(name):
        return ""
    if _ID.fullmatch(name.upper()) and name.isascii() and any(letter.isdigit() for letter in name):
        return f"IDs are in uppercase letters: write {name.upper()!r}, not {name!r}."
    return (
        f"nobody can be {name!r}. Name a group with an @ ('@ml-leads'), or a person by email address or member ID "
        "('U024BE7LH')."
    )


def named_among(person: Person, names: Iterable[str]) -> bool:
    """Whether one of these names is this person's id or email address.

    A name that nobody vouches for equals none of them. Addresses are compared without regard to case, in ASCII alone:
    a Kelvin sign folds to ``k``, and is not one.
    """
    if not person.is_vouched_for:
        return False
    address = _folded(person.email) if person.email else None
    return any(name == person.id or (address is not None and _folded(name) == address) for name in names)


def _folded(address: str) -> str | None:
    return address.lower() if address.isascii() and "@" in address else None


# Whose run it is, where nobody may approve their own.

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
    return is_local and not approval.requirements.self_approval_allowed and not _is_certain(approval)


def _requesters(approval: Approval, started_by: Iterable[Person]) -> list[tuple[Person, bool]]:
    """Return everybody whose run it is, and whether that is certain."""
    if approval.gate.engine is not EngineKind.LOCAL and (found := list(started_by)):
        return [(one, True) for one in found]
    return [(approval.confirmed_requester or approval.requester, _is_certain(approval))]


def _is_certain(approval: Approval) -> bool:
    """Whether more speaks for the requester than a name in the environment of the run."""
    if approval.confirmed_requester is not None or approval.requester.is_vouched_for:
        return True
    return approval.gate.engine is EngineKind.LOCAL and approval.requirements.claimed_requester_counts


def _unlinked(requester: Person, system: str) -> str:
    return (
        f"{requester.name} isn't linked to a {system} user. An operator can link them under `people` in the policy "
        f"file: `{requester.id}: their email address`."
    )


# Whose a question is: who may see it, and the people of its channel. One rule for every list, button and thread.

_SEES_NOTHING = frozenset({Bar.DEACTIVATED, Bar.APP})


def may_see(
    approval: Approval,
    person: Person,
    people: People,
    *,
    absent: Iterable[Person] = (),
    doubts: list[PeopleUnavailable] | None = None,
) -> bool:
    """Whether a question is this person's to see: the people of its channel, those it names, and the requester.

    Who decides for somebody absent sees what that person is named for; membership of a channel is not passed on. Guests
    see what is in their channels and no more, unless the operator lets them decide. What can't be known is not shown.

    Parameters
    ----------
    people : People
        As they were up to two minutes ago: this is for showing.
    absent : Iterable[Person]
        Those who delegated to this person; is_asked for only where nothing else shows it.
    doubts : list, optional
        Takes what nobody could say; where the answer is no, it might have been yes.
    """
    doubts = [] if doubts is None else doubts
    try:
        bar = people.barred(person)
    except PeopleUnavailable as error:
        doubts.append(error)
        return False
    if bar in _SEES_NOTHING:
        return False
    if any(_is_in(person, channel, people, doubts) for channel in _channels(approval)):
        return True
    if bar is not None and is_barred(approval, person, people):
        return False
    if is_asked(approval, person, people):
        return True
    return any(_is_named(approval, one, people, doubts) for one in (person, *absent))


def is_asked(approval: Approval, person: Person, people: People) -> bool:
    """Whether this person is the requester, as far as that is certain or the operator says so."""
    requesters = [approval.requester]
    if approval.confirmed_requester is not None:
        requesters.append(approval.confirmed_requester)
    return any(_is_the_same(one, person, people) for one in requesters)


def _is_the_same(requester: Person, person: Person, people: People) -> bool:
    if requester.is_vouched_for:
        return requester.id == person.id
    known = people.known_as(requester) or requester.email or (requester.id if "@" in requester.id else None)
    return known is not None and named_among(person, (known,))


def _channels(approval: Approval) -> tuple[str | None, ...]:
    """Return the channels where the question is, and the one that it belongs to."""
    posted = [post.channel for post in approval.posts if post.channel]
    return tuple(dict.fromkeys((*posted, electorate(approval))))


def _is_in(person: Person, channel: str | None, people: People, doubts: list[PeopleUnavailable]) -> bool:
    try:
        return people.in_channel(person, channel)
    except PeopleUnavailable as error:
        doubts.append(error)
        return False


def _is_named(approval: Approval, person: Person, people: People, doubts: list[PeopleUnavailable]) -> bool:
    names = approval.requirements.names
    if named_among(person, names):
        return True
    groups = [name for name in names if is_group(name)]
    if not groups:
        return False
    try:
        return bool(people.groups_of(person, groups))
    except NoUserGroups:
        return False
    except PeopleUnavailable as error:
        doubts.append(error)
        return False


# Who may decide. Checked when the decision is made, and closed when in doubt.

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
    requirements = approval.requirements
    if where is Where.COMMAND_LINE and not requirements.command_line_counts:
        raise NotAllowed(
            approval,
            person,
            f"the rule “{requirements.name}” of the operator's policy accepts answers only in {people.system}. Please "
            "answer there.",
        )
    if person.is_claimed:
        # Nobody vouches for a typed name, so it stands for nobody: it counts only where anybody may answer.
        if requirements.is_about_who_approves if verdict is Verdict.APPROVE else requirements.is_about_people:
            raise NeedsConfirmation(approval, person, people.system)
        return Eligibility()
    bar = _bar(person, requirements, people)
    if bar is not None:
        raise NotAllowed(approval, person, bar)
    eligibility = _own_eligibility(approval, person, people) or _eligibility_of_absent(approval, person, people, absent)
    if eligibility is None:
        raise NotAllowed(approval, person, _who_may(approval))
    if verdict is Verdict.APPROVE:
        if requirements.lacks_named_approvers:
            raise NotAllowed(
                approval,
                person,
                f"the rule “{requirements.name}” of the operator's policy requires named approvers, but the step names "
                "none. Name them with `approvers` and start a new run. This run can only be rejected.",
            )
        if not requirements.self_approval_allowed:
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
    return _bar(person, approval.requirements, people) is not None


def _bar(person: Person, requirements: Requirements, people: People) -> Bar | None:
    bar = people.barred(person)
    return None if bar in LIFTED_BY_POLICY and named_among(person, requirements.outsiders) else bar


def _own_eligibility(approval: Approval, person: Person, people: People) -> Eligibility | None:
    """Return what somebody stands for in their own right; None if they may not decide."""
    requirements = approval.requirements
    named = _named_as(person, requirements, people)
    if requirements.deciders and not named & set(requirements.deciders):
        return None
    if not named & set(requirements.names) and not (
        requirements.is_open and people.in_channel(person, electorate(approval))
    ):
        return None
    return Eligibility(counts_for=tuple(name for name in requirements.names if name in named))


def _named_as(person: Person, requirements: Requirements, people: People) -> set[str]:
    """Return which of the names of a rule are this person's, by id, address or group."""
    wanted = dict.fromkeys((*requirements.names, *requirements.deciders))
    named = {name for name in wanted if named_among(person, (name,))}
    # Groups cost requests: where names alone settle it, nobody asks.
    lists = [names for names in (requirements.names, requirements.deciders) if names]
    settled = all(named & set(names) for names in lists)
    groups = frozenset(name for name in wanted if name not in named and is_group(name))
    if groups and (requirements.asks_several or not settled):
        try:
            named |= people.groups_of(person, groups)
        except NoUserGroups:
            if not settled:
                raise
    return named


def _eligibility_of_absent(
    approval: Approval, person: Person, people: People, absent: Iterable[Person]
) -> Eligibility | None:
    requirements = approval.requirements
    for other in absent:
        if _bar(other, requirements, people) is not None:
            continue
        named = _named_as(people.current(other), requirements, people)
        # What somebody is named for can be delegated; that they are in a channel can't.
        if not named & set(requirements.names) or (requirements.deciders and not named & set(requirements.deciders)):
            continue
        if not requirements.delegation_allowed:
            raise NotAllowed(
                approval,
                person,
                f"{other.name} delegated to you, and the rule “{requirements.name}” of the operator's policy does not "
                f"allow anybody to decide for others. {_who_may(approval)}",
            )
        return Eligibility(counts_for=tuple(name for name in requirements.names if name in named), on_behalf_of=other)
    return None


def _who_may(approval: Approval) -> str:
    requirements = approval.requirements
    limit = ""
    if requirements.deciders:
        accepted = _listed(requirements.deciders)
        limit = f" The rule “{requirements.name}” of the operator's policy accepts answers only from {accepted}."
    if requirements.is_open:
        also = f" or {_listed(requirements.names)}" if requirements.names else ""
        return f"only people in the channel of the question{also} can answer it.{limit}"
    return f"only {_listed(requirements.names)} can. Ask one of them.{limit}"


def _listed(approvers: Collection[str]) -> str:
    *others, last = approvers
    return f"{', '.join(others)} or {last}" if others else last


# Whether the operator's policy accepts a decision that was made away from it: on a command line, or by a deadline.

AWAY_FROM_POLICY = frozenset({Where.COMMAND_LINE, Where.TIMEOUT, Where.RULE})
"""The ways in by which a process that doesn't know the operator's policy can decide."""


def unaccepted(
    approval: Approval, demands: PolicyRule | None, check: Callable[[Approval, Decision], Eligibility]
) -> str:
    """Say why a decision that lets the step run does not count; empty if it does.

    What came through a chat system was held to the policy before it was recorded.

    Parameters
    ----------
    demands : PolicyRule, optional
        What the operator demands now.
    check : Callable[[Approval, Decision], Eligibility]
        Holds the person behind the decision to the rule; raises NotAllowed.
    """
    decision = approval.decision
    if decision is None or not approval.lets_run:
        return ""
    governed = replace(approval, policy_rule=demands)
    if decision.where is Where.TIMEOUT:
        lets = decision.verdict is not Verdict.APPROVE or governed.requirements.timeout_approves
        return "" if lets else f"It was approved by the deadline, but {_which(governed)} requires people to decide."
    if decision.where is Where.RULE and governed.requirements.automatic is not Automatic.ALLOWED:
        return f"It was approved by a condition over metrics, but {_which(governed)} requires people to decide."
    if decision.where is Where.COMMAND_LINE:
        return _unaccepted_on_command_line(governed, decision, check)
    return ""


def _unaccepted_on_command_line(
    governed: Approval, decision: Decision, check: Callable[[Approval, Decision], Eligibility]
) -> str:
    said = f"It was {decision.verdict.value} on a command line."
    # Whatever the record says of who it was: on a command line nobody vouches for that.
    claimed = replace(decision, by=replace(decision.by, origin=Origin.CLAIM), on_behalf_of=None)
    try:
        check(governed, claimed)
    except NotAllowed as error:
        return f"{said} {error}"
    if decision.verdict is Verdict.APPROVE and governed.requirements.reason_required and not decision.reason:
        return f"{said} It has no reason, but {_which(governed)} requires one."
    if (
        decision.verdict is Verdict.APPROVE
        and governed.requirements.obligation_required
        and decision.obligation is None
    ):
        return f"{said} It has no obligation, but {_which(governed)} requires one."
    return ""


def _which(governed: Approval) -> str:
    return f"the rule “{governed.requirements.name}” of the operator's policy"
