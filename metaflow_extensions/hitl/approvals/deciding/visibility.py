"""Whose a question is: who may see it, and the people of its channel. One rule for every list, button and thread."""

from __future__ import annotations

from collections.abc import Iterable

from metaflow_extensions.hitl.approvals.deciding.names import is_group, named_among
from metaflow_extensions.hitl.approvals.deciding.permission import electorate, is_barred
from metaflow_extensions.hitl.approvals.errors import PeopleUnavailable
from metaflow_extensions.hitl.approvals.ports import Bar, People
from metaflow_extensions.hitl.approvals.record import Approval, Person

_SEES_NOTHING = frozenset({Bar.DEACTIVATED, Bar.APP})


def may_see(approval: Approval, person: Person, people: People, *, absent: Iterable[Person] = ()) -> bool:
    """Whether a question is this person's to see: the people of its channel, those it names, and the requester.

    Who decides for somebody absent sees what that person is named for; membership of a channel is not passed on. Guests
    see what is in their channels and no more, unless the operator lets them decide. What can't be known is not shown.

    Parameters
    ----------
    people : People
        As they were up to two minutes ago: this is for showing.
    absent : Iterable[Person]
        Those who delegated to this person; asked for only where nothing else shows it.
    """
    try:
        bar = people.barred(person)
    except PeopleUnavailable:
        return False
    if bar in _SEES_NOTHING:
        return False
    if any(_is_in(person, channel, people) for channel in _channels(approval)):
        return True
    if bar is not None and is_barred(approval, person, people):
        return False
    return asked(approval, person, people) or any(_is_named(approval, one, people) for one in (person, *absent))


def asked(approval: Approval, person: Person, people: People) -> bool:
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


def _is_in(person: Person, channel: str | None, people: People) -> bool:
    try:
        return people.in_channel(person, channel)
    except PeopleUnavailable:
        return False


def _is_named(approval: Approval, person: Person, people: People) -> bool:
    names = approval.rule.names
    if named_among(person, names):
        return True
    groups = [name for name in names if is_group(name)]
    if not groups:
        return False
    try:
        return bool(people.groups_of(person, groups))
    except PeopleUnavailable:
        return False
