"""What the sweeper does about open approvals, when, and what it tells."""

from __future__ import annotations

from datetime import timedelta

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.approvals.sweeping import CARRY_OUT_AFTER, CLAIM_FOR, POST_AFTER, Act, Sweeper
from tests.fixtures.approvals import Bench, after, pathspec
from tests.unit.approvals.sweeping.observer import Observer, decide


def test_a_decision_is_carried_out_after_three_seconds(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """Whoever decided has three seconds to carry it out; then the sweeper does."""
    asked = bench.ask()
    sweeper.tick()
    decide(bench, asked.id)
    sweeper.tick()
    bench.clock.forward(CARRY_OUT_AFTER.total_seconds() - 0.1)
    sweeper.tick()
    assert bench.engine.released == {}
    bench.clock.forward(0.1)
    sweeper.tick()
    assert list(bench.engine.released) == [asked.id]
    assert bench.notifier.shown[asked.id].state is State.APPROVED
    assert list(bench.ledger.open_ids()) == []
    assert observer.done == [(Act.CARRY_OUT, asked.id)]


def test_a_restart_finds_what_was_left(bench: Bench, sweeper: Sweeper) -> None:
    """What was decided before the sweeper started, minutes ago, is carried out by its first tick."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.clock.forward(600)
    sweeper.tick()
    assert list(bench.engine.released) == [asked.id]
    assert list(bench.ledger.open_ids()) == []


def test_what_others_settle_is_left_alone(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """If whoever decided settles it as well, the sweeper calls neither engine nor notifier."""
    asked = bench.ask()
    sweeper.tick()
    decide(bench, asked.id)
    sweeper.tick()
    bench.cases.carry_out(bench.ledger.read(asked.id))
    calls = list(bench.engine.calls)
    sweeper.tick()
    bench.clock.forward(60)
    sweeper.tick()
    assert bench.engine.calls == calls
    assert observer.done == []


def test_what_is_settled_and_still_listed_is_taken_off(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """A crash between settling and taking off the list leaves a marker; the full read removes it."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.cases.carry_out(bench.ledger.read(asked.id))
    bench.store.mark(f"open/{asked.id}")
    sweeper.tick()
    assert list(bench.ledger.open_ids()) == []
    assert observer.done == [(Act.FINISH, asked.id)]


def test_what_could_not_be_posted_is_posted_after_ten_seconds(bench: Bench, sweeper: Sweeper) -> None:
    """A question that nobody could post is posted once whoever asked has had the time for it."""
    bench.notifier.go_away()
    asked = bench.ask()
    bench.notifier.come_back()
    sweeper.tick()
    bench.clock.forward(POST_AFTER.total_seconds() - 0.1)
    sweeper.tick()
    assert bench.notifier.posts == {}
    bench.clock.forward(0.1)
    sweeper.tick()
    assert list(bench.notifier.posts) == [asked.id]
    assert bench.ledger.read(asked.id).approval.posts == (bench.notifier.posts[asked.id],)


def test_a_post_is_retried_with_growing_pauses(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """While the medium is away the pauses double from 3 s to a minute, and the question is posted when it is back."""
    bench.notifier.go_away()
    asked = bench.ask()
    for _ in range(300):
        bench.clock.forward(1)
        sweeper.tick()
    assert len(observer.failures) == 9  # at 10, 13, 19, 31, 55, 103, 163, 223 and 283 s
    assert {type(error) for error in observer.failures} == {NotifierUnavailable}
    bench.notifier.come_back()
    bench.clock.forward(60)
    sweeper.tick()
    assert list(bench.notifier.posts) == [asked.id]


def test_of_two_sweepers_one_posts(bench: Bench, observer: Observer) -> None:
    """While one is at it the other holds back for a minute, even if the first leaves no trace."""
    bench.notifier.go_away()
    bench.ask()
    first = Sweeper(bench.cases, observer, name="first")
    second = Sweeper(bench.cases, observer, name="second")
    bench.clock.now = after(CLAIM_FOR.total_seconds())
    first.tick()
    bench.notifier.come_back()
    second.tick()
    assert bench.notifier.posts == {}
    bench.clock.forward(CLAIM_FOR.total_seconds())
    second.tick()
    assert len(bench.notifier.posts) == 1


def test_the_deadline_decides_to_the_tick(bench: Bench, sweeper: Sweeper) -> None:
    """Not a moment before the deadline, and with the first tick from then on, gate and message know that it is over."""
    asked = bench.ask(timeout=3600)
    next_at = sweeper.tick()
    assert next_at == asked.deadline
    bench.clock.now = asked.deadline - timedelta(milliseconds=1)
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.PENDING
    bench.clock.now = asked.deadline
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.EXPIRED
    assert list(bench.engine.refused) == [asked.id]
    assert bench.notifier.shown[asked.id].state is State.EXPIRED


def test_a_new_deadline_is_learnt_from_the_tail(bench: Bench, sweeper: Sweeper) -> None:
    """A question that is asked after the full read is expired on time."""
    sweeper.tick()
    asked = bench.ask(timeout=30)
    assert sweeper.tick() == asked.deadline
    bench.clock.forward(30)
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.EXPIRED


def test_a_writer_whose_clock_is_behind_is_seen(bench: Bench, sweeper: Sweeper) -> None:
    """A marker four minutes older than the newest one is read all the same."""
    bench.ask(pathspec(task="1"))
    sweeper.tick()
    bench.clock.forward(-240)
    late = bench.ask(pathspec(task="2"), timeout=10)
    bench.clock.forward(240)
    sweeper.tick()
    assert bench.ledger.read(late.id).approval.state is State.EXPIRED


def test_a_writer_whose_clock_is_ahead_hides_nobody(bench: Bench, sweeper: Sweeper) -> None:
    """A marker from next year does not move what is read of the tail into next year."""
    sweeper.tick()
    bench.clock.forward(365 * 86_400)
    bench.ask(pathspec(task="1"))
    bench.clock.forward(-365 * 86_400)
    sweeper.tick()
    asked = bench.ask(pathspec(task="2"), timeout=10)
    sweeper.tick()
    bench.clock.forward(10)
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.EXPIRED


def test_a_gate_whose_run_is_gone_is_closed(bench: Bench, sweeper: Sweeper) -> None:
    """A full read closes what nothing waits for any more, and says so on the message."""
    asked = bench.ask()
    bench.engine.end(asked.id, "the run was stopped")
    sweeper.tick()
    closed = bench.ledger.read(asked.id).approval
    assert closed.state is State.CLOSED
    assert bench.notifier.shown[asked.id].state is State.CLOSED
    assert list(bench.ledger.open_ids()) == []


def test_a_run_that_cant_be_asked_about_stays_open(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """If the engine is away nothing is closed on suspicion."""
    asked = bench.ask()
    bench.engine.go_away()
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.PENDING
    assert [type(error) for error in observer.failures] == [EngineUnavailable]


def test_a_message_that_is_gone_does_not_hold_up_the_run(bench: Bench, sweeper: Sweeper) -> None:
    """A refused update of the message is settled without it."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.notifier.delete(asked.id)
    bench.clock.forward(10)
    sweeper.tick()
    assert list(bench.engine.released) == [asked.id]
    assert bench.ledger.read(asked.id).approval.settlement is not None


def test_a_message_that_can_not_be_changed_yet_is_tried_less_and_less_often(
    bench: Bench, sweeper: Sweeper, observer: Observer
) -> None:
    """While only an operator can help, a day costs some fifty attempts; once it works, the approval is settled."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.notifier.refuse()
    for _ in range(24 * 60):
        bench.clock.forward(60)
        sweeper.tick()
    assert 48 <= len(observer.failures) <= 60
    assert list(bench.engine.released) == [asked.id]
    bench.notifier.come_back()
    bench.clock.forward(30 * 60)
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.settlement is not None


def test_a_refused_post_is_reported_and_tried_again(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """An archived channel is reported to the operator; when it is mended the question is posted."""
    bench.notifier.refuse()
    asked = bench.ask()
    bench.clock.forward(10)
    sweeper.tick()
    assert [type(error) for error in observer.failures] == [NotifierRefused]
    bench.notifier.come_back()
    bench.clock.forward(3)
    sweeper.tick()
    assert list(bench.notifier.posts) == [asked.id]


def test_it_tells_what_it_sees(bench: Bench, sweeper: Sweeper, observer: Observer) -> None:
    """The observer sees what is open, is told when that was all, and then sees each change once."""
    asked = bench.ask()
    bench.clock.forward(3600)
    sweeper.tick()
    assert observer.seen == [asked, None]
    decide(bench, asked.id)
    sweeper.tick()
    sweeper.tick()
    assert observer.seen[2:] == [bench.ledger.read(asked.id).approval]
