"""Who decides, who has voted and who is missing, and what the operator demands: words for any medium, none escaped.

A medium hands in how it names an approver (as the author wrote it) and a person; both come back as they are.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from metaflow_extensions.hitl.approvals.auditing import Voucher
from metaflow_extensions.hitl.approvals.deciding import votes
from metaflow_extensions.hitl.approvals.deciding.permission import is_group
from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.question import Need, OnTimeout, OnVeto, Requirements
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Person, Verdict, Vote, Where

# So many are named that the words fit where Slack takes the least, 2,000 characters of a field, at 100 a name.
_APPROVERS, _APPROVERS_BESIDE_A_POLICY, _NEEDS, _OF_A_NEED = 10, 5, 4, 3
_VOTES, _VOTERS = 8, 5
_VOTED = {Verdict.APPROVE: "approves", Verdict.REJECT: "rejects", Verdict.CHANGES: "wants changes"}


def who_decides(approval: Approval, name: Callable[[str], str], everybody: str = "everyone who can see this") -> str:
    """Name the approvers, and how many of them must agree.

    Parameters
    ----------
    name : Callable[[str], str]
        From an approver as written to how the medium shows one.
    everybody : str
        Who it is where nobody is named.
    """
    requirements, question = approval.requirements, approval.question
    if question.needs:
        said = _needs(question.needs, name)
        if requirements.asked.quorum > sum(need.quorum for need in question.needs):
            said += f" ({requirements.asked.quorum} must agree)"
    else:
        most = _APPROVERS_BESIDE_A_POLICY if requirements.name else _APPROVERS
        said = _names(question.approvers, name, most) or everybody
        if question.quorum > 1:
            said += f" ({question.quorum} must agree)"
    if requirements.demanded is not None:
        if further := _needs([need for need in requirements.demanded.needs if need.of], name):
            said += f", and {further}"
        if requirements.demanded.quorum > max(1, requirements.asked.quorum):
            said += f" ({requirements.demanded.quorum} must agree)"
    if requirements.deciders:
        said += f"; only {_names(requirements.deciders, name)} can decide"
    return said


def demands(requirements: Requirements) -> str:
    """Say what else the operator's rule wants; empty if none applies."""
    if not requirements.name:
        return ""
    counts = requirements.on_veto is OnVeto.COUNT and requirements.quorum > 1
    wants = [
        "a reason for an approval, too" if requirements.reason_required else "",
        "an obligation with an approval" if requirements.obligation_required else "",
        "" if requirements.command_line_counts else "no answers from a command line",
        "" if requirements.self_approval_allowed else "that nobody approves their own run",
        "" if requirements.delegation_allowed else "that nobody decides for others",
        "" if requirements.in_advance_allowed else "that nobody answers for shards that have not asked yet",
        "as many rejections as approvals to reject" if counts else "",
    ]
    said = _and(filter(None, wants))
    return f"By rule “{requirements.name}” of the operator's policy" + (f", which requires {said}" if said else "")


def waits_at_most(approval: Approval) -> str:
    """Say that the operator's rule cut the timeout; empty if it did not."""
    requirements, asked = approval.requirements, approval.question.timeout
    if requirements.timeout is None or requirements.timeout == asked:
        return ""
    return f"it waits {in_words(requirements.timeout)} at most"


def deadline_approves(approval: Approval) -> bool:
    """Whether the deadline approves: the step wants it, and the operator does not mind."""
    return approval.question.on_timeout is OnTimeout.APPROVE and approval.requirements.timeout_approves


def votes_so_far(approval: Approval, who: Callable[[Person], str], name: Callable[[str], str]) -> str:
    """Say who has voted how, and who is missing; empty before the first vote."""
    if not approval.votes:
        return ""
    cast = ", ".join(f"{voter(vote, who)} {_VOTED[vote.verdict]}" for vote in approval.votes[-_VOTES:])
    return f"{cast}. Still missing: {missing(approval, name)}."


def put_aside(approval: Approval, who: Callable[[Person], str]) -> str:
    """Say whose votes the newest proposal put aside; empty if none."""
    newest = approval.votes[-1] if approval.votes else None
    if newest is None or not newest.instead_of:
        return ""
    others = _and([who(person) for person in newest.instead_of[:_VOTERS]])
    verb = "votes again" if len(newest.instead_of) == 1 else "vote again"
    return f"{voter(newest, who)} proposes a different input, so {others} {verb}."


def missing(approval: Approval, name: Callable[[str], str]) -> str:
    """Say who has yet to agree: ``1 of @risk and 1 more``."""
    requirements = approval.requirements
    named = () if requirements.is_open else requirements.asked.names
    everybody = requirements.deciders or named  # whom a need that names nobody means
    needs = [need if need.of else replace(need, of=everybody) for need in votes.missing(approval)]
    # Somebody named by themselves who has voted is not missing, whatever their vote was; of a group nobody can tell.
    voted = {written for vote in approval.votes for written in vote.counts_for if not is_group(written)}
    voted |= {votes.represented(vote).id for vote in approval.votes}
    return _needs([_without(need, voted) for need in needs], name) or "nobody"


def _without(need: Need, voted: Collection[str]) -> Need:
    left = tuple(written for written in need.of if written not in voted)
    return replace(need, of=left) if len(left) >= need.quorum else need


def voter(vote: Vote, who: Callable[[Person], str]) -> str:
    """Name who voted, and for whom."""
    return who(vote.by) if vote.on_behalf_of is None else f"{who(vote.by)} for {who(vote.on_behalf_of)}"


def deciders(approval: Approval, decision: Decision, who: Callable[[Person], str]) -> str:
    """Name everybody who made a decision, and for whom."""
    cast = {(vote.by.origin, vote.by.id): vote for vote in approval.votes}
    if len(decision.voters) > 1:
        # What history keeps of a decision has no votes: there, whoever they voted for goes unsaid.
        voters = [(person, cast.get((person.origin, person.id))) for person in decision.voters[:_VOTERS]]
        listed = [who(person) if vote is None else voter(vote, who) for person, vote in voters]
        more = len(decision.voters) - _VOTERS
        return _and([*listed, f"{more} more"] if more > 0 else listed)
    return who(decision.by) if decision.on_behalf_of is None else f"{who(decision.by)} for {who(decision.on_behalf_of)}"


def _needs(needs: Sequence[Need], name: Callable[[str], str]) -> str:
    listed = [_need(need, name) for need in needs[:_NEEDS]]
    return _and([*listed, f"{len(needs) - _NEEDS} further groups"] if len(needs) > _NEEDS else listed)


def _need(need: Need, name: Callable[[str], str]) -> str:
    if not need.of:
        return f"{need.quorum} more"
    everybody = len(need.of) == need.quorum and not any(map(is_group, need.of))
    return _and([name(one) for one in need.of]) if everybody else f"{need.quorum} of {_names(need.of, name)}"


def _names(written: Sequence[str], name: Callable[[str], str], most: int = _OF_A_NEED) -> str:
    listed = ", ".join(name(one) for one in written[:most])
    return f"{listed} and {len(written) - most} more" if len(written) > most else listed


def _and(words: Iterable[str]) -> str:
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# How an answer came, and who vouches for it, in words for people.

_CAME = {
    Where.BUTTON: "answered with a button in Slack",
    Where.FORM: "answered in a form in Slack",
    Where.SLASH_COMMAND: "answered with /hitl in Slack",
    Where.COMMAND_LINE: "answered from a command line",
    Where.CONFIRMATION: "answered from a command line, confirmed in Slack",
    Where.TIMEOUT: "decided by the deadline",
    Where.RULE: "decided by the rule of the step",
    Where.IN_ADVANCE: "answered in Slack before it was asked",
    Where.NEWER_QUESTION: "decided by a newer question",
}


def vouched(approval: Approval) -> str:
    """Say how the answer came, and who vouches for what a record says about it; empty while it has none."""
    decision = approval.decision
    if decision is None or approval.closing is not None:
        return ""
    came = _CAME.get(decision.where, f"answered ({decision.where.value})")
    if decision.where is Where.COMMAND_LINE and decision.by.is_claimed:
        came += " under an unconfirmed name"
    vouches = "no one vouches for this" if approval.vouched_by is None else "verified by the bot's key"
    return f"{came}; {vouches}"


def requester(approval: Approval, name: Callable[[Person], str]) -> str:
    """Name who started the run, and say so where that is only the run's own claim.

    Parameters
    ----------
    approval : Approval
        Any.
    name : Callable[[Person], str]
        How the medium names a person.
    """
    if approval.confirmed_requester is not None:
        return name(approval.confirmed_requester)
    return name(approval.requester) + (", not confirmed" if approval.requester.is_claimed else "")


def vouchers(approval: Approval) -> str:
    """Name who vouches for an answer, for a step to compare: a key's id, or nobody."""
    return "nobody" if approval.vouched_by is None else f"the bot's key {approval.vouched_by}"


def who_vouches(voucher: Voucher) -> str:
    """Say who vouches for one version of a record; plain text, not yet escaped for any medium."""
    if voucher.key is not None:
        return f"the bot's key {voucher.key}"
    if voucher.unchecked_key is not None:
        return f"nobody here (signed with the key {voucher.unchecked_key[:40]}, which was not checked)"
    if voucher.claimed_by is not None:
        return f"only a claim ({voucher.claimed_by.name or voucher.claimed_by.id})"
    return "nobody"
