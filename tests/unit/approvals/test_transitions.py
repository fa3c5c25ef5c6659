"""What may follow what in a record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import OtherPathspec
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import CLOCK, Post, State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import (
    AlreadyDecided,
    ApprovalError,
    Closed,
    NotAccepted,
    NotAllowed,
    ReasonMissing,
    Rejected,
    StillPending,
    TooLate,
)
from tests.fixtures.approvals import ALICE, BOB, NOW, after, approval, approving, pathspec, rejecting

HOUR = 3_600


def test_a_question_is_pending_until_its_deadline():
    """The deadline is the moment of asking and the timeout; nothing else is filled in."""
    asked = approval(timeout=HOUR)
    assert (asked.state, asked.deadline, asked.requested_at) == (State.PENDING, after(HOUR), NOW)
    assert asked.id == pathspec().approval_id
    assert not asked.lets_run


def test_a_question_without_a_timeout_waits_for_good():
    """Without a timeout there is no deadline, and nothing is ever too late."""
    asked = approval()
    assert asked.deadline is None
    assert transitions.expire(asked, after(10 * 365 * 86_400)) is asked
    assert transitions.decide(asked, approving(at=after(10 * 365 * 86_400))).state is State.APPROVED


def test_the_first_answer_decides():
    """An answer before the deadline is taken with who, when, where, input and reason."""
    decision = approving(at=after(HOUR - 1), input={"target": "staging"}, reason="Looks right.")
    decided = transitions.decide(approval(timeout=HOUR), decision)
    assert (decided.decision, decided.state, decided.seconds_to_decide) == (decision, State.APPROVED, HOUR - 1)


@pytest.mark.parametrize("first", [approving(input={"n": 1}), rejecting()])
def test_the_same_answer_again_changes_nothing(first):
    """Somebody else with the same answer, even after the deadline, is told nothing bad, and the first one stands."""
    decided = transitions.decide(approval(timeout=HOUR), first)
    assert transitions.decide(decided, replace(first, by=BOB, at=after(2 * HOUR), where=Where.SLASH_COMMAND)) is decided


def test_a_second_rejection_for_another_reason_is_the_same_answer():
    """Why somebody rejected as well makes no difference to the run."""
    decided = transitions.decide(approval(), rejecting())
    assert transitions.decide(decided, rejecting(ALICE, reason="I don't like it either.")) is decided


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (approving(), rejecting()),
        (rejecting(), approving()),
        (approving(input={"n": 1}), approving(BOB, input={"n": 2})),
        (approving(), approving(BOB, input={"n": 1})),
    ],
)
def test_another_answer_is_a_conflict_that_names_the_winner(first, second):
    """The one who comes second learns who decided what, and when; the record stays."""
    decided = transitions.decide(approval(timeout=HOUR), first)
    with pytest.raises(AlreadyDecided, match=f"was {first.verdict.value} by {first.by.name} 5 min ago") as refusal:
        transitions.decide(decided, replace(second, at=after(300)))
    assert refusal.value.standing == first
    assert refusal.value.approval is decided


def test_a_conflict_with_a_rejection_gives_its_reason():
    """Who approves what was rejected reads why it was."""
    with pytest.raises(AlreadyDecided, match=r'rejected by Bob Brown .* with the reason "The data is stale\."'):
        transitions.decide(transitions.decide(approval(), rejecting()), approving())


@pytest.mark.parametrize("on_timeout", [OnTimeout.APPROVE, OnTimeout.REJECT])
@pytest.mark.parametrize("seconds", [0, 0.000001, 86_400])
def test_an_answer_at_the_deadline_or_later_is_late(on_timeout, seconds):
    """From the deadline on no answer is taken, whether or not the expiry is recorded yet."""
    pending = approval(timeout=HOUR, on_timeout=on_timeout)
    late = approving(at=after(HOUR + seconds))
    with pytest.raises(TooLate, match="closed at 2026-03-02 10:30 UTC"):
        transitions.decide(pending, late)
    with pytest.raises(TooLate):
        transitions.decide(transitions.expire(pending, after(HOUR)), late)


def test_an_answer_just_before_the_deadline_counts():
    """A microsecond is enough."""
    assert transitions.decide(approval(timeout=HOUR), approving(at=after(HOUR - 0.000001))).state is State.APPROVED


def test_an_expiry_is_final_even_for_an_answer_from_before():
    """An answer that was given in time and comes in behind the recorded expiry is told that it is late."""
    expired = transitions.expire(approval(timeout=HOUR), after(HOUR))
    with pytest.raises(TooLate, match="10:30 UTC, rejected"):
        transitions.decide(expired, approving(at=after(HOUR - 60)))


@pytest.mark.parametrize(
    ("on_timeout", "state"), [(OnTimeout.APPROVE, State.APPROVED), (OnTimeout.REJECT, State.EXPIRED)]
)
def test_the_deadline_decides_as_the_step_says(on_timeout, state):
    """At the deadline, and not before, the clock decides; an expiry that rejects is told from a rejection."""
    pending = approval(timeout=HOUR, on_timeout=on_timeout)
    assert transitions.expire(pending, after(HOUR - 0.000001)) is pending
    expired = transitions.expire(pending, after(HOUR))
    assert expired.state is state
    assert (expired.decision.by, expired.decision.where, expired.decision.at) == (CLOCK, Where.TIMEOUT, after(HOUR))


def test_a_deadline_that_only_notifies_makes_nothing_late():
    """With ``on_timeout="notify"`` an answer counts whenever it comes, and the clock never decides."""
    pending = approval(timeout=HOUR, on_timeout=OnTimeout.NOTIFY)
    assert transitions.expire(pending, after(100 * HOUR)) is pending
    assert transitions.decide(pending, approving(at=after(100 * HOUR))).state is State.APPROVED


def test_an_answer_outlives_the_deadline():
    """What somebody decided in time is not expired afterwards."""
    decided = transitions.decide(approval(timeout=HOUR), approving(at=after(HOUR - 1)))
    assert transitions.expire(decided, after(HOUR + 1)) is decided


def test_a_closed_question_takes_no_answer():
    """Once its run is gone, an approval refuses answers and says why; closing it again changes nothing."""
    closed = transitions.close(approval(timeout=HOUR), "the run was stopped", after(1))
    assert closed.state is State.CLOSED
    assert transitions.close(closed, "again", after(2)) is closed
    assert transitions.expire(closed, after(HOUR)) is closed
    with pytest.raises(Closed, match="can no longer be answered: the run was stopped"):
        transitions.decide(closed, approving())


def test_a_decided_question_is_not_closed():
    """An answer that was given stands, whatever became of the run."""
    decided = transitions.decide(approval(), approving())
    assert transitions.close(decided, "the run was stopped", after(1)) is decided


@pytest.mark.parametrize("reason", ["", " ", "\n\t", "\u2003"])
def test_a_rejection_needs_a_reason(reason):
    """A rejection without words is refused, and an approval without words is fine."""
    with pytest.raises(ReasonMissing, match="needs a reason"):
        transitions.decide(approval(), rejecting(reason=reason))
    assert transitions.decide(approval(), approving(reason=reason)).state is State.APPROVED


def test_who_rejects_too_late_is_told_that_and_not_to_give_a_reason():
    """The deadline comes before the reason: nobody writes one for nothing."""
    with pytest.raises(TooLate):
        transitions.decide(approval(timeout=1), rejecting(reason="", at=after(2)))


def test_settling_is_noted_once():
    """Only what is decided or closed is settled, and the first time stands."""
    pending = approval()
    assert transitions.settle(pending, NOW) is pending
    for ended in (transitions.decide(pending, approving()), transitions.close(pending, "gone", NOW)):
        settled = transitions.settle(ended, after(1), "the workflow is gone")
        assert (settled.settlement.at, settled.settlement.problem) == (after(1), "the workflow is gone")
        assert settled.state is ended.state
        assert transitions.settle(settled, after(2)) is settled


def test_each_notifier_has_one_place():
    """The first post of a notifier stands; another notifier's is added."""
    first = Post(notifier="slack", at=NOW, channel="C1", ts="1.0")
    second = Post(notifier="email", at=NOW)
    asked = transitions.posted(transitions.posted(approval(), first), second)
    assert asked.posts == (first, second)
    assert transitions.posted(asked, replace(first, ts="2.0")) is asked


def test_a_record_is_about_one_task():
    """Another pathspec is refused, with both of them."""
    assert transitions.belongs_to(approval(), pathspec()) == approval()
    with pytest.raises(OtherPathspec, match="is about TrainFlow/17/deploy/42, not about TrainFlow/18/deploy/42"):
        transitions.belongs_to(approval(), pathspec(run="18"))


@pytest.mark.parametrize(
    ("decision", "on_reject", "lets_run"),
    [
        (None, OnReject.FAIL, False),
        (None, OnReject.CONTINUE, False),
        (approving(), OnReject.FAIL, True),
        (rejecting(), OnReject.FAIL, False),
        (rejecting(), OnReject.CONTINUE, True),
    ],
)
def test_a_step_may_start_when_it_is_approved_or_wants_to_see_a_rejection(decision, on_reject, lets_run):
    """Nothing but a recorded decision ever lets a step run."""
    assert replace(approval(on_reject=on_reject), decision=decision).lets_run is lets_run


def test_every_refusal_says_what_happened_to_which_approval():
    """A person reads the id in each refusal, and code finds the approval in it."""
    asked = approval(timeout=60)
    closed = transitions.close(asked, "gone", NOW)
    rejected = transitions.decide(asked, rejecting())
    refusals: list[ApprovalError] = [
        AlreadyDecided(rejected, rejected.decision, NOW),
        TooLate(asked),
        Closed(closed),
        NotAccepted(transitions.not_accept(transitions.decide(asked, approving()), "gone", NOW)),
        NotAllowed(asked, BOB, "guests never do."),
        ReasonMissing(asked),
        StillPending(asked),
        Rejected(rejected),
        Rejected(transitions.expire(asked, after(60))),
    ]
    for refusal in refusals:
        assert asked.id in str(refusal)
        assert refusal.approval.id == asked.id


def test_a_rejection_reads_like_one_and_an_expiry_like_one():
    """A failed run tells who rejected it and why, or how long it waited."""
    asked = approval(timeout=90)
    assert 'was rejected by Bob Brown: "The data is stale."' in str(Rejected(transitions.decide(asked, rejecting())))
    assert "expired: no one answered in 1 min" in str(Rejected(transitions.expire(asked, after(90))))


# Any order of events.

ANSWERS = (approving(input={"n": 1}), approving(BOB, input={"n": 2}), rejecting(), rejecting(ALICE, reason="No."))
moments = st.integers(-10, 210).map(lambda second: after(second / 2))  # the deadline is at 50 s
events = st.one_of(
    st.builds(lambda answer, at: replace(answer, at=at), st.sampled_from(ANSWERS), moments),
    st.tuples(st.sampled_from(["expire", "close", "settle"]), moments),
)


@given(st.sampled_from(OnTimeout), st.lists(events, max_size=12))
def test_what_came_first_stands_in_any_order_of_events(on_timeout, happening):
    """Of answers, expiries and closings, by clocks in any order, exactly the first that takes effect ever stands."""
    asked = standing = approval(timeout=50, on_timeout=on_timeout)
    for event in happening:
        before = standing
        try:
            match event:
                case ("expire", at):
                    standing = transitions.expire(standing, at)
                case ("close", at):
                    standing = transitions.close(standing, "gone", at)
                case ("settle", at):
                    standing = transitions.settle(standing, at)
                case answer:
                    standing = transitions.decide(standing, answer)
        except (AlreadyDecided, TooLate, Closed):
            assert standing is before
        if before.state is not State.PENDING:
            assert (standing.decision, standing.closing) == (before.decision, before.closing)
        assert standing.decision is None or standing.closing is None
        assert standing.deadline == asked.deadline
        if standing.decision is not None and on_timeout is not OnTimeout.NOTIFY:
            by_the_clock = standing.decision.where is Where.TIMEOUT
            assert by_the_clock == (standing.decision.at >= asked.deadline)


@given(st.lists(st.sampled_from(ANSWERS), min_size=1))
def test_everybody_is_told_the_same_winner(answers):
    """Whoever does not agree with the first answer is told of it, and of no other."""
    decided = transitions.decide(approval(), answers[0])
    for answer in answers[1:]:
        agrees = answer.verdict is answers[0].verdict and (
            answer.verdict is Verdict.REJECT or answer.input == answers[0].input
        )
        if agrees:
            assert transitions.decide(decided, answer) is decided
        else:
            with pytest.raises(AlreadyDecided) as refusal:
                transitions.decide(decided, answer)
            assert refusal.value.standing == answers[0]
