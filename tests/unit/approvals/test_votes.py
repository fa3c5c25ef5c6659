"""Votes where several people must agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.deciding import votes
from metaflow_extensions.hitl.approvals.question import OnTimeout, OnVeto, PolicyRule
from metaflow_extensions.hitl.approvals.record import Origin, Person, State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import (
    AlreadyDecided,
    ApprovalReasonMissing,
    Closed,
    NotAccepted,
    ReasonMissing,
    TooLate,
)
from tests.fixtures.approvals import ALICE, BOB, CAROL, NOW, after, approval, rejecting, voting

RITA = Person(id="rita", name="rita", origin=Origin.CLAIM)
NO = Verdict.REJECT
CHANGES = Verdict.CHANGES


def vote_by_vote(asked, *cast):
    for one in cast:
        asked = transitions.vote(asked, one)
    return asked


def test_where_one_does_a_vote_is_the_decision():
    """Without a quorum nothing is collected: the record is the one that a decision always made."""
    asked = approval()
    assert transitions.vote(asked, voting()) == transitions.decide(asked, transitions.decided_by(voting()))
    assert transitions.vote(asked, voting()).votes == ()
    assert transitions.vote(asked, voting()).decision.voters == ()


def test_a_quorum_waits_for_the_last_of_them():
    """Of two that must agree the first leaves the approval pending; the second decides, and both are named."""
    asked = approval(quorum=2)
    first = transitions.vote(asked, voting(ALICE))
    assert (first.state, [one.by for one in first.votes]) == (State.PENDING, [ALICE])
    second = transitions.vote(first, voting(BOB, at=after(5)))
    assert second.state is State.APPROVED
    assert (second.decision.by, second.decision.at, second.decision.voters) == (BOB, after(5), (ALICE, BOB))


def test_a_person_votes_once():
    """The same vote again, by whatever way in, changes nothing and completes nothing."""
    first = transitions.vote(approval(quorum=2), voting(ALICE))
    assert transitions.vote(first, voting(ALICE, at=after(9), where=Where.SLASH_COMMAND)) == first


@pytest.mark.parametrize("verdict", [NO, CHANGES])
def test_one_rejection_rejects(verdict):
    """However many have approved, the first no decides, and keeps its words and its person."""
    asked = vote_by_vote(approval(quorum=3), voting(ALICE), voting(BOB), voting(CAROL, verdict, reason="Drift."))
    assert asked.state is State.REJECTED
    assert (asked.decision.verdict, asked.decision.by, asked.decision.reason) == (verdict, CAROL, "Drift.")
    assert asked.decision.voters == (CAROL,)


def test_the_operator_may_let_rejections_be_counted():
    """With on_veto=count it takes as many rejections as approvals; before that, one changes nothing for the others."""
    rule = PolicyRule(name="count", quorum=2, on_veto=OnVeto.COUNT)
    asked = transitions.govern(approval(), rule)
    one_no = vote_by_vote(asked, voting(ALICE, NO))
    assert one_no.state is State.PENDING
    assert vote_by_vote(one_no, voting(BOB), voting(CAROL)).state is State.APPROVED
    assert vote_by_vote(one_no, voting(BOB), voting(CAROL, NO)).state is State.REJECTED


def test_a_changed_vote_counts_as_changed():
    """Before the decision one may change one's mind: the last vote of a person counts."""
    counted = transitions.govern(approval(), PolicyRule(name="count", quorum=2, on_veto=OnVeto.COUNT))
    asked = vote_by_vote(counted, voting(ALICE, NO), voting(ALICE, at=after(1)))
    assert [(one.by, one.verdict) for one in asked.votes] == [(ALICE, Verdict.APPROVE)]
    assert vote_by_vote(asked, voting(BOB)).state is State.APPROVED


def test_another_input_is_a_new_proposal():
    """Who approves another input puts the approvals of the first one aside, and is said to; both must then agree."""
    asked = vote_by_vote(approval(quorum=2), voting(ALICE, input={"n": 1}))
    assert votes.proposal(asked) == {"n": 1}
    other = transitions.vote(asked, voting(BOB, input={"n": 2}))
    assert other.state is State.PENDING
    assert [(one.by, one.instead_of) for one in other.votes] == [(BOB, (ALICE,))]
    assert votes.proposal(other) == {"n": 2}
    agreed = transitions.vote(other, voting(ALICE, input={"n": 2}))
    assert (agreed.state, agreed.decision.input) == (State.APPROVED, {"n": 2})


def test_changing_ones_own_input_keeps_nobody_else():
    """A proposer who changes the input starts over: approvals of the old one count no more."""
    asked = vote_by_vote(approval(quorum=3), voting(ALICE, input={"n": 1}), voting(BOB, input={"n": 1}))
    changed = transitions.vote(asked, voting(ALICE, input={"n": 2}))
    assert [(one.by, one.input) for one in changed.votes] == [(ALICE, {"n": 2})]
    assert changed.votes[0].instead_of == (BOB,)


def test_a_delegate_and_the_absent_are_one_voice():
    """Who votes for somebody absent, and then the absent person, are one; and nobody votes twice as two delegates."""
    for_bob = voting(CAROL, on_behalf_of=BOB)
    asked = vote_by_vote(approval(quorum=2), for_bob, voting(BOB, at=after(1)))
    assert [one.by for one in asked.votes] == [BOB]
    assert vote_by_vote(approval(quorum=2), for_bob, voting(CAROL, on_behalf_of=ALICE)).state is State.PENDING


def test_a_vote_in_slack_puts_those_of_command_lines_aside():
    """Nobody can tell whether somebody at a terminal is the same person, so what is certain counts."""
    asked = vote_by_vote(approval(quorum=2), voting(RITA, where=Where.COMMAND_LINE), voting(ALICE))
    assert asked.state is State.PENDING
    assert [(one.by, one.instead_of) for one in asked.votes] == [(ALICE, (RITA,))]


def test_a_late_vote_is_refused_and_so_is_one_that_nobody_waits_for():
    """Deadline and closing hold for votes as for decisions; a rejection needs its reason, whoever gave one before."""
    asked = transitions.vote(approval(quorum=2, timeout=60), voting())
    with pytest.raises(TooLate):
        transitions.vote(asked, voting(BOB, at=after(60)))
    with pytest.raises(Closed):
        transitions.vote(transitions.close(asked, "the run was stopped", after(1)), voting(BOB, at=after(2)))
    with pytest.raises(ReasonMissing):
        transitions.vote(asked, voting(BOB, NO, reason=" "))


def test_a_vote_after_the_decision_is_judged_by_it():
    """Who agrees with what was decided is told nothing bad; who does not learns whose decision stands."""
    decided = vote_by_vote(approval(quorum=2), voting(ALICE), voting(BOB))
    assert transitions.vote(decided, voting(CAROL)) is decided
    with pytest.raises(AlreadyDecided, match="approved by Bob Brown"):
        transitions.vote(decided, voting(CAROL, NO))
    sent_back = transitions.vote(approval(), voting(ALICE, CHANGES))
    with pytest.raises(AlreadyDecided, match="sent back for changes by Alice Adams"):
        transitions.decide(sent_back, rejecting())


def test_an_approval_may_need_a_reason_too():
    """Where the operator wants one, an approval without is refused in words that name the rule."""
    asked = transitions.govern(approval(), PolicyRule(name="audited", reason_required=True))
    with pytest.raises(ApprovalReasonMissing, match="“audited”"):
        transitions.vote(asked, voting())
    assert transitions.vote(asked, voting(reason="Canary is fine.")).state is State.APPROVED


def test_the_deadline_follows_the_operators_rule():
    """A longest timeout brings the deadline forward, and without it the step's own holds again."""
    asked = approval(timeout=600)
    short = transitions.govern(asked, PolicyRule(name="short", longest_timeout=60))
    assert short.deadline == after(60)
    assert transitions.govern(approval(), PolicyRule(name="short", longest_timeout=60)).deadline == after(60)
    assert transitions.govern(short, None) == asked
    decided = transitions.vote(asked, voting())
    assert transitions.govern(decided, PolicyRule(name="late")) is decided


def test_a_deadline_does_not_approve_where_people_must():
    """A step that approves by timeout is rejected by it instead where the operator requires people to approve."""
    asked = approval(timeout=60, on_timeout=OnTimeout.APPROVE)
    governed = transitions.govern(asked, PolicyRule(name="people", timeout_approves=False))
    assert transitions.expire(asked, after(60)).state is State.APPROVED
    assert transitions.expire(governed, after(60)).state is State.EXPIRED


def test_votes_do_not_keep_a_deadline_from_deciding():
    """Half a quorum does not approve: the deadline decides as if nobody had voted, and the votes stay in the record."""
    asked = transitions.vote(approval(quorum=2, timeout=60), voting())
    expired = transitions.expire(asked, after(60))
    assert (expired.state, len(expired.votes)) == (State.EXPIRED, 1)


def test_an_annulled_decision_lets_nothing_run():
    """A decision that the policy does not accept stays in the record and opens nothing."""
    annulled = transitions.not_accept(transitions.vote(approval(), voting(RITA)), "The policy wants two.", NOW)
    assert (annulled.state, annulled.lets_run, annulled.decision.by) == (State.NOT_ACCEPTED, False, RITA)
    with pytest.raises(NotAccepted, match=r"did not accept the decision about .* The policy wants two\. Start"):
        transitions.decide(annulled, transitions.decided_by(voting()))


PEOPLE = st.sampled_from([ALICE, BOB, CAROL, RITA])
CAST = st.builds(
    voting,
    PEOPLE,
    st.sampled_from([Verdict.APPROVE, Verdict.APPROVE, NO]),
    input=st.sampled_from([{}, {"n": 1}]),
    on_behalf_of=st.none() | PEOPLE,
)


@given(st.lists(CAST, max_size=8))
def test_whatever_is_cast_one_person_has_one_vote_for_one_input(cast):
    """However people vote, change and propose: each of them, and each whom they stand for, counts once at most."""
    counted = ()
    for one in cast:
        counted = votes.cast(counted, one)
        assert votes.cast(counted, replace(one, at=after(99))) == counted
    people = [one.by.id for one in counted]
    seats = [votes.represented(one).id for one in counted]
    assert len(set(people)) == len(people)
    assert len(set(seats)) == len(seats)
    assert all(
        one.input == counted_in_favour.input
        for one in votes.in_favour(counted)
        for counted_in_favour in votes.in_favour(counted)
    )
