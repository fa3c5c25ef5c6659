"""Who decides for somebody absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from metaflow_extensions.hitl.approvals.bucket import delegate_key
from metaflow_extensions.hitl.approvals.deciding.delegation import LONGEST, BadDelegation, DelegateLoop, Delegations
from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import ALICE, BOB, CAROL, NOW, REQUESTER, after
from tests.fixtures.watched_stores import WatchedStore

TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def delegations(store):
    return Delegations(store)


def absent(delegations, person, now=NOW):
    return list(delegations.absent_for(person, now))


def test_a_delegate_decides_until_the_end(delegations):
    """From now to the end the delegate stands for the absent person, and from then on for nobody."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    assert absent(delegations, CAROL) == [BOB]
    assert absent(delegations, CAROL, TOMORROW - timedelta(microseconds=1)) == [BOB]
    assert absent(delegations, CAROL, TOMORROW) == []
    assert absent(delegations, BOB) == []


def test_one_delegate_may_stand_for_several(delegations):
    """Each person delegates to one, and one may have been asked by many."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    delegations.delegate(ALICE, CAROL, TOMORROW, NOW)
    assert absent(delegations, CAROL) == [ALICE, BOB]


def test_the_newest_holds(delegations):
    """Delegating again moves it to the new delegate, and back again."""
    for to in (CAROL, ALICE, CAROL):
        delegations.delegate(BOB, to, TOMORROW, NOW)
    assert (absent(delegations, CAROL), absent(delegations, ALICE)) == ([BOB], [])


def test_it_can_be_taken_back(delegations):
    """Then the delegate stands for nobody, and there is nothing to take back any more."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    assert delegations.withdraw(BOB, after(1)).to == CAROL
    assert absent(delegations, CAROL, after(1)) == []
    assert delegations.of(BOB, after(1)) is None
    assert delegations.withdraw(BOB, after(2)) is None


@pytest.mark.parametrize("request_", ["unmark", "create"])
def test_whoever_delegates_while_an_earlier_one_is_taken_back_is_found(store, delegations, request_):
    """The marker of the earlier one is removed late: after the new one's was written, or before the new version is."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    done: list[str] = []

    def meanwhile(request, key):
        if request == request_ and not done:
            done.append(key)
            if request == "unmark":
                delegations.delegate(BOB, CAROL, TOMORROW, after(2))
            else:
                store.unmark(delegate_key(CAROL.id, BOB.id))

    slow = Delegations(WatchedStore(store, meanwhile))
    if request_ == "unmark":
        slow.withdraw(BOB, after(1))
    else:
        slow.delegate(BOB, CAROL, TOMORROW, after(2))
    assert done
    assert absent(delegations, CAROL, after(3)) == [BOB]


def test_everything_stays_on_record(delegations):
    """Each delegation is a version of its own, in order, with the hash of the one before."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    delegations.withdraw(BOB, after(1))
    delegations.delegate(BOB, ALICE, TOMORROW, after(2))
    assert [(one.to and one.to.id, one.at) for one in delegations.trail(BOB)] == [
        (CAROL.id, NOW),
        (None, after(1)),
        (ALICE.id, after(2)),
    ]


def test_a_trail_with_a_gap_is_found_out(delegations, store):
    """A version that does not follow the one before it is an error that names it."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    store.create("delegations/U0BOB/00003.json", store.read("delegations/U0BOB/00001.json"))
    with pytest.raises(CorruptRecord, match="00003"):
        delegations.trail(BOB)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"format": 1}', b'{"by": {}}'])
def test_a_broken_record_lets_nobody_decide(delegations, store, body):
    """What can't be read is no delegation: it is an error, and never a yes."""
    store.mark("delegates/U0CAROL/U0BOB")
    store.create("delegations/U0BOB/00001.json", body)
    with pytest.raises(CorruptRecord):
        absent(delegations, CAROL)


def test_a_record_of_somebody_else_is_refused(delegations, store):
    """A sealed record that was copied under another name gives nobody anything."""
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    store.mark("delegates/U0CAROL/U0ALICE")
    store.create("delegations/U0ALICE/00001.json", store.read("delegations/U0BOB/00001.json"))
    with pytest.raises(CorruptRecord, match="someone else"):
        absent(delegations, CAROL)


def test_nothing_is_passed_on(delegations):
    """A delegate who is absent too has a delegate for what is their own, not for what was delegated to them."""
    delegations.delegate(ALICE, BOB, TOMORROW, NOW)
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    assert absent(delegations, CAROL) == [BOB]


def test_a_loop_is_refused(delegations):
    """Oneself, each other, or by way of others: nobody would be there, and the refusal names the way."""
    with pytest.raises(DelegateLoop, match="Bob Brown → Bob Brown"):
        delegations.delegate(BOB, BOB, TOMORROW, NOW)
    delegations.delegate(ALICE, BOB, TOMORROW, NOW)
    with pytest.raises(DelegateLoop, match="Bob Brown → Alice Adams → Bob Brown"):
        delegations.delegate(BOB, ALICE, TOMORROW, NOW)
    delegations.delegate(BOB, CAROL, TOMORROW, NOW)
    with pytest.raises(DelegateLoop):
        delegations.delegate(CAROL, ALICE, TOMORROW, NOW)
    assert delegations.trail(CAROL) == []


def test_a_loop_that_has_ended_is_none(delegations):
    """Who is back may be asked."""
    delegations.delegate(ALICE, BOB, TOMORROW, NOW)
    later = TOMORROW + timedelta(days=1)
    delegations.delegate(BOB, ALICE, later, TOMORROW)
    assert absent(delegations, ALICE, TOMORROW) == [BOB]


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(days=1), NOW + LONGEST + timedelta(seconds=1)])
def test_the_end_is_ahead_and_within_a_year(delegations, until):
    """An end that has passed, or that nobody will remember, is refused."""
    with pytest.raises(BadDelegation):
        delegations.delegate(BOB, CAROL, until, NOW)


@pytest.mark.parametrize("somebody", [REQUESTER, replace(CAROL, id="../open"), replace(CAROL, id="")])
def test_only_people_of_slack_delegate(delegations, somebody):
    """A user of a machine can be anybody, and an id that is none could leave its place in the store."""
    with pytest.raises(BadDelegation):
        delegations.delegate(BOB, somebody, TOMORROW, NOW)
    with pytest.raises(BadDelegation):
        delegations.delegate(somebody, BOB, TOMORROW, NOW)
    assert absent(delegations, somebody) == []
