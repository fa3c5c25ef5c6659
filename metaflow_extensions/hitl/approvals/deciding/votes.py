"""Votes where several people must agree: which count, and what they add up to. Pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from metaflow_extensions.hitl.approvals.question import Need, OnVeto, Requirements
from metaflow_extensions.hitl.approvals.record import Approval, Origin, Person, Verdict, Vote


def cast(votes: Sequence[Vote], vote: Vote) -> tuple[Vote, ...]:
    """Add a vote to those that count.

    A person has one vote, and one by a delegate is the absent person's own: a newer one takes the place of the older.
    An approver who enters a different input makes a new proposal, so earlier approvals no longer count. Who voted in a
    chat system is known for certain, and on a command line is not: a vote there puts those from command lines aside,
    because they might be the same person's.
    """
    earlier = next((one for one in votes if _identity(one.by) == _identity(vote.by)), None)
    if earlier is not None and _says_the_same(earlier, vote):
        return tuple(votes)
    others = [one for one in votes if not _same_place(one, vote)]
    aside = [one for one in others if _makes_way(one, vote)]
    return (*[one for one in others if one not in aside], replace(vote, instead_of=tuple(one.by for one in aside)))


def _makes_way(one: Vote, vote: Vote) -> bool:
    if one.by.is_claimed and vote.by.is_vouched_for:
        return True
    return one.verdict is vote.verdict is Verdict.APPROVE and one.input != vote.input


def outcome(votes: Sequence[Vote], requirements: Requirements) -> Verdict | None:
    """Say what the votes add up to; None while somebody has yet to vote."""
    against = [one for one in votes if one.verdict is not Verdict.APPROVE]
    if against and (requirements.on_veto is OnVeto.REJECT or len(against) >= requirements.quorum):
        return against[-1].verdict
    return Verdict.APPROVE if requirements.agree(_standing_for(votes)) else None


def missing(approval: Approval) -> tuple[Need, ...]:
    """Say who has yet to agree."""
    return approval.requirements.missing(_standing_for(approval.votes))


def in_favour(votes: Iterable[Vote]) -> tuple[Vote, ...]:
    return tuple(one for one in votes if one.verdict is Verdict.APPROVE)


def proposal(approval: Approval) -> dict[str, Any] | None:
    """Return the input that those who voted so far approve; None before the first of them."""
    return next((one.input for one in approval.votes if one.verdict is Verdict.APPROVE), None)


def represented(vote: Vote) -> Person:
    """Return the person in whose place somebody votes: their own, or that of who is absent."""
    return vote.on_behalf_of or vote.by


def _standing_for(votes: Iterable[Vote]) -> list[tuple[str, ...]]:
    return [one.counts_for for one in in_favour(votes)]


def _same_place(one: Vote, other: Vote) -> bool:
    return _identity(one.by) == _identity(other.by) or _identity(represented(one)) == _identity(represented(other))


def _identity(person: Person) -> tuple[Origin, str]:
    # Whoever types two names is one person for all that anybody knows: claims count once a record.
    return person.origin, "" if person.is_claimed else person.id


def _says_the_same(one: Vote, other: Vote) -> bool:
    return (one.verdict, one.input, one.reason, one.obligation) == (
        *(other.verdict, other.input, other.reason),
        other.obligation,
    )
