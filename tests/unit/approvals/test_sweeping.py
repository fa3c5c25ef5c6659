"""What the sweeper does about open approvals, and when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from metaflow_extensions.hitl.approvals import rules
from metaflow_extensions.hitl.approvals.errors import (
    EngineUnavailable,
    HitlError,
    NotifierBusy,
    NotifierRefused,
    NotifierUnavailable,
    RecordError,
    StoreUnavailable,
)
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import EngineKind, State
from metaflow_extensions.hitl.approvals.sweeping import (
    CARRY_OUT_AFTER,
    CLAIM_FOR,
    POST_AFTER,
    READ_ALL_EVERY,
    Act,
    Sweeper,
    plan,
)
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from metaflow_extensions.hitl.notifiers.slack.pace import Lane, Pace
from tests.fixtures.approvals import (
    ALICE,
    NOW,
    Bench,
    CountedStore,
    Crash,
    FailingOnce,
    HandClock,
    WatchedStore,
    after,
    approval,
    approvals,
    approving,
    pathspec,
)

if TYPE_CHECKING:
    from metaflow_extensions.hitl.approvals.record import Approval, Post


@dataclass
class Witness:
    """Remembers what it is told."""

    done: list[tuple[Act, str]] = field(default_factory=list)
    failures: list[HitlError] = field(default_factory=list)
    defects: list[Exception] = field(default_factory=list)
    seen: list[Approval | None] = field(default_factory=list)  # None: all that is open was seen

    def saw(self, approval: Approval) -> None:
        self.seen.append(approval)

    def saw_all(self) -> None:
        self.seen.append(None)

    def did(self, act: Act, approval: Approval) -> None:
        self.done.append((act, approval.id))

    def failed(self, approval_id: str, error: HitlError) -> None:  # noqa: ARG002 - the protocol's
        self.failures.append(error)

    def broke(self, approval_id: str, error: Exception) -> None:  # noqa: ARG002 - the protocol's
        self.defects.append(error)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def sweeper(bench: Bench, witness: Witness) -> Sweeper:
    return Sweeper(bench.cases, witness, name="first")


def decide(bench: Bench, approval_id: str) -> None:
    """Write a decision into the record and die before anything else."""
    decision = approving(ALICE, at=bench.clock())
    bench.ledger.update(approval_id, "decided", bench.clock(), lambda one: rules.decide(one, decision))


# The plan.


@given(approvals())
def test_a_plan_is_never_about_what_cant_be_done(any_approval: Approval) -> None:
    """What is settled is finished; what ended is carried out; only what is pending is posted or expired."""
    coming = plan(any_approval, notifiers={"memory"}, engines=set(EngineKind))
    if any_approval.settlement is not None:
        assert coming is not None
        assert coming.act is Act.FINISH
    elif any_approval.decision is not None or any_approval.closing is not None:
        assert coming is not None
        assert coming.act is Act.CARRY_OUT
    else:
        assert coming is None or coming.act in {Act.POST, Act.EXPIRE}


def test_a_deadline_that_only_notifies_expires_nothing() -> None:
    """With ``on_timeout="notify"`` the approval waits on."""
    assert plan(approval(timeout=60, on_timeout=OnTimeout.NOTIFY), notifiers=(), engines=()) is None


def test_what_is_posted_elsewhere_is_left_to_it() -> None:
    """A question for a notifier that is not here is not this sweeper's to post."""
    assert plan(approval(notifiers=("terminal",)), notifiers={"slack"}, engines=()) is None


def test_what_runs_elsewhere_is_left_to_it() -> None:
    """A decision for an engine that is not here is not this sweeper's to carry out."""
    decided = rules.decide(approval(), approving())
    assert plan(decided, notifiers=(), engines=()) is None


def test_whichever_comes_first() -> None:
    """A deadline of five seconds comes before the time to post."""
    coming = plan(approval(timeout=5, notifiers=("memory",)), notifiers={"memory"}, engines=())
    assert coming is not None
    assert (coming.act, coming.at) == (Act.EXPIRE, after(5))


# What it does.


def test_a_decision_is_carried_out_after_three_seconds(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
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
    assert witness.done == [(Act.CARRY_OUT, asked.id)]


def test_a_restart_finds_what_was_left(bench: Bench, sweeper: Sweeper) -> None:
    """What was decided before the sweeper started, minutes ago, is carried out by its first tick."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.clock.forward(600)
    sweeper.tick()
    assert list(bench.engine.released) == [asked.id]
    assert list(bench.ledger.open_ids()) == []


def test_what_others_settle_is_left_alone(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
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
    assert witness.done == []


def test_what_is_settled_and_still_listed_is_taken_off(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """A crash between settling and taking off the list leaves a marker; the full read removes it."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.cases.carry_out(bench.ledger.read(asked.id))
    bench.store.mark(f"open/{asked.id}")
    sweeper.tick()
    assert list(bench.ledger.open_ids()) == []
    assert witness.done == [(Act.FINISH, asked.id)]


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


def test_a_post_is_retried_with_growing_pauses(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """While the medium is away the pauses double from 3 s to a minute, and the question is posted when it is back."""
    bench.notifier.go_away()
    asked = bench.ask()
    for _ in range(300):
        bench.clock.forward(1)
        sweeper.tick()
    assert len(witness.failures) == 9  # at 10, 13, 19, 31, 55, 103, 163, 223 and 283 s
    assert {type(error) for error in witness.failures} == {NotifierUnavailable}
    bench.notifier.come_back()
    bench.clock.forward(60)
    sweeper.tick()
    assert list(bench.notifier.posts) == [asked.id]


def test_of_two_sweepers_one_posts(bench: Bench, witness: Witness) -> None:
    """While one is at it the other holds back for a minute, even if the first leaves no trace."""
    bench.notifier.go_away()
    bench.ask()
    first = Sweeper(bench.cases, witness, name="first")
    second = Sweeper(bench.cases, witness, name="second")
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
    assert closed.state is State.SUPERSEDED
    assert bench.notifier.shown[asked.id].state is State.SUPERSEDED
    assert list(bench.ledger.open_ids()) == []


def test_a_run_that_cant_be_asked_about_stays_open(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """If the engine is away nothing is closed on suspicion."""
    asked = bench.ask()
    bench.engine.go_away()
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.PENDING
    assert [type(error) for error in witness.failures] == [EngineUnavailable]


def test_a_message_that_is_gone_does_not_hold_up_the_run(bench: Bench, sweeper: Sweeper) -> None:
    """A refused update of the message is settled without it."""
    asked = bench.ask()
    decide(bench, asked.id)
    bench.notifier.refuse()
    bench.clock.forward(10)
    sweeper.tick()
    assert list(bench.engine.released) == [asked.id]
    assert bench.ledger.read(asked.id).approval.settlement is not None


def test_a_refused_post_is_reported_and_tried_again(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """An archived channel is reported to the operator; when it is mended the question is posted."""
    bench.notifier.refuse()
    asked = bench.ask()
    bench.clock.forward(10)
    sweeper.tick()
    assert [type(error) for error in witness.failures] == [NotifierRefused]
    bench.notifier.come_back()
    bench.clock.forward(3)
    sweeper.tick()
    assert list(bench.notifier.posts) == [asked.id]


# What must not stop it.


def test_one_corrupt_record_is_reported_once_and_stops_nobody(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """A record that can't be read is skipped, in the full read and in the tail; the others are served."""
    broken, good = bench.ask(pathspec(task="1")), bench.ask(pathspec(task="2"), timeout=60)
    bench.store.create(f"approvals/{broken.id}/00003.json", b"{")
    bench.store.mark(f"changes/20260302T093000000001Z-{broken.id}-3")
    for _ in range(3):
        sweeper.tick()
        bench.clock.forward(READ_ALL_EVERY.total_seconds())
    assert bench.ledger.read(good.id).approval.state is State.EXPIRED
    assert [isinstance(error, RecordError) for error in witness.failures] == [True]
    assert broken.id in bench.ledger.open_ids()


def test_a_marker_without_a_record_is_cleared_at_the_second_full_read(bench: Bench, sweeper: Sweeper) -> None:
    """Somebody who is about to write the record is given ten minutes; who died before leaves nothing for ever."""
    bench.store.mark("open/gate-aaaaaaaaaa")
    sweeper.tick()
    assert list(bench.ledger.open_ids()) == ["gate-aaaaaaaaaa"]
    bench.clock.forward(READ_ALL_EVERY.total_seconds())
    sweeper.tick()
    assert list(bench.ledger.open_ids()) == []


def test_foreign_objects_are_passed_over(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """A file that a person left among the markers is no approval and no trouble."""
    bench.store.mark("open/README.md")
    bench.store.mark("changes/notes")
    asked = bench.ask(timeout=5)
    sweeper.tick()
    bench.clock.forward(5)
    sweeper.tick()
    assert bench.ledger.read(asked.id).approval.state is State.EXPIRED
    assert witness.failures == []


def test_a_defect_in_one_stops_no_other(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """If carrying out one approval breaks, the others that are due in the same tick are carried out."""
    broken, good = bench.ask(pathspec(task="1")), bench.ask(pathspec(task="2"))
    for one in (broken, good):
        decide(bench, one.id)
    carry_out = bench.engine.carry_out

    def break_one(decided: Approval) -> str:
        if decided.id == broken.id:
            raise ZeroDivisionError
        return carry_out(decided)

    bench.engine.carry_out = break_one  # type: ignore[method-assign]
    bench.clock.forward(10)
    sweeper.tick()
    assert list(bench.engine.released) == [good.id]
    assert [type(error) for error in witness.defects] == [ZeroDivisionError]
    bench.engine.carry_out = carry_out  # type: ignore[method-assign]
    bench.clock.forward(3)
    sweeper.tick()
    assert broken.id in bench.engine.released


def test_a_store_that_fails_anywhere_loses_nothing(bench: Bench, witness: Witness) -> None:
    """Whichever request of the first ticks fails, the deadline of the one and the decision of the other are served."""
    for n in range(1, 200):
        world = Bench()
        due, decided = world.ask(pathspec(task="1"), timeout=5), world.ask(pathspec(task="2"))
        decide(world, decided.id)
        trouble = FailingOnce(n, StoreUnavailable)
        sweeper = Sweeper(world.on(WatchedStore(world.store, trouble)).cases, witness, name="first")
        for _ in range(40):
            with suppress(StoreUnavailable):
                sweeper.tick()
            world.clock.forward(1)
        assert world.ledger.read(due.id).approval.settlement is not None, n
        assert world.ledger.read(decided.id).approval.settlement is not None, n
        assert list(world.engine.released) == [decided.id], n
        assert list(world.ledger.open_ids()) == [], n
        if not trouble.fired:
            return
    pytest.fail("the ticks made more requests than were tried")


def test_a_sweeper_that_dies_anywhere_leaves_all_to_the_next(witness: Witness) -> None:
    """Whichever request it dies before, the next sweeper brings everything to its end, and no gate opens twice."""
    for n in range(1, 200):
        world = Bench()
        due, decided = world.ask(pathspec(task="1"), timeout=5), world.ask(pathspec(task="2"))
        decide(world, decided.id)
        crash = FailingOnce(n, Crash)
        first = Sweeper(world.on(WatchedStore(world.store, crash)).cases, witness, name="first")
        for _ in range(8):
            try:
                first.tick()
            except Crash:
                break
            world.clock.forward(1)
        world.clock.forward(60)
        second = Sweeper(world.cases, witness, name="second")
        for _ in range(10):
            second.tick()
            world.clock.forward(1)
        assert world.ledger.read(due.id).approval.settlement is not None, n
        assert world.ledger.read(decided.id).approval.settlement is not None, n
        assert world.ledger.verify(decided.id)
        assert list(world.ledger.open_ids()) == [], n
        if not crash.fired:
            return
    pytest.fail("the ticks made more requests than were tried")


# What others are before.


class PacedNotifier(MemoryNotifier):
    """Takes two questions at once and then one a second, and tells all others when to come again."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.attempts = 0
        self._pace = Pace(lambda: clock().timestamp())

    def post(self, asked: Approval) -> Post:
        self.attempts += 1
        self._pace.take("chat.postMessage", "C1", Lane.BULK)
        return super().post(asked)


@pytest.fixture
def paced(bench: Bench) -> PacedNotifier:
    notifier = PacedNotifier(bench.clock)
    bench.notifier = notifier
    bench.cases.notifiers = {notifier.name: notifier}
    return notifier


def ask_many(bench: Bench, paced: PacedNotifier, count: int, **parts: Any) -> list[Approval]:
    """Ask by somebody who could not post at all."""
    bench.cases.notifiers = {}
    asked = [bench.ask(pathspec(task=str(task)), **parts) for task in range(count)]
    bench.cases.notifiers = {paced.name: paced}
    bench.clock.forward(POST_AFTER.total_seconds())
    return asked


def test_each_is_posted_when_its_turn_comes(
    bench: Bench, paced: PacedNotifier, sweeper: Sweeper, witness: Witness
) -> None:
    """Of sixty, one a second is posted, and each takes two attempts, whatever the sweeper reads meanwhile."""
    asked = ask_many(bench, paced, 60)
    for second in range(59):
        sweeper.tick()
        assert len(paced.posts) == second + 2
        bench.clock.forward(1)
    assert set(paced.posts) == {one.id for one in asked}
    assert paced.attempts == 60 + 58
    assert all(isinstance(failure, NotifierBusy) for failure in witness.failures)


def test_a_full_read_keeps_the_turns(bench: Bench, paced: PacedNotifier, sweeper: Sweeper) -> None:
    """What waits for its turn is not tried before it, even where all that is open is read again meanwhile."""
    sweeper.tick()
    bench.clock.forward((READ_ALL_EVERY - POST_AFTER).total_seconds() - 15)
    ask_many(bench, paced, 40)
    for _ in range(39):
        sweeper.tick()
        bench.clock.forward(1)
    assert len(paced.posts) == 40
    assert paced.attempts == 40 + 38


def test_a_decision_does_not_wait_for_the_turn(bench: Bench, paced: PacedNotifier, sweeper: Sweeper) -> None:
    """What is decided before its question could be posted is carried out at once."""
    asked = ask_many(bench, paced, 30)
    sweeper.tick()
    last = next(one for one in reversed(asked) if one.id not in paced.posts)
    decide(bench, last.id)
    sweeper.tick()
    bench.clock.forward(CARRY_OUT_AFTER.total_seconds())
    sweeper.tick()
    assert list(bench.engine.released) == [last.id]


@pytest.mark.parametrize("trouble", ["busy", "away", "refuses"])
def test_a_deadline_decides_whether_posted_or_not(
    bench: Bench, paced: PacedNotifier, sweeper: Sweeper, trouble: str
) -> None:
    """A question that could never be posted expires at its deadline, to the tick."""
    if trouble == "away":
        paced.go_away()
    elif trouble == "refuses":
        paced.refuse()
    asked = ask_many(bench, paced, 40, timeout=25)
    for _ in range(14):
        sweeper.tick()
        bench.clock.forward(1)
    sweeper.tick()
    assert not [one for one in asked if bench.ledger.read(one.id).approval.state is not State.PENDING]
    bench.clock.forward(1)
    sweeper.tick()
    assert {bench.ledger.read(one.id).approval.state for one in asked} == {State.EXPIRED}


# What it tells.


def test_it_tells_what_it_sees(bench: Bench, sweeper: Sweeper, witness: Witness) -> None:
    """The witness sees what is open, is told when that was all, and then sees each change once."""
    asked = bench.ask()
    bench.clock.forward(3600)
    sweeper.tick()
    assert witness.seen == [asked, None]
    decide(bench, asked.id)
    sweeper.tick()
    sweeper.tick()
    assert witness.seen[2:] == [bench.ledger.read(asked.id).approval]


# What it costs.


def test_a_quiet_tick_costs_one_listing(bench: Bench, witness: Witness) -> None:
    """With 300 open approvals and nothing new, a tick is one request: a page of the tail."""
    for number in range(300):
        bench.ask(pathspec(task=str(number)), timeout=3600)
    counted = CountedStore(bench.store)
    sweeper = Sweeper(bench.on(counted).cases, witness, name="first")
    while sweeper.tick() == bench.clock():
        pass
    counted.requests.clear()
    bench.clock.forward(1)
    sweeper.tick()
    assert counted.requests.total() == 1


def test_a_change_costs_one_read(bench: Bench, witness: Witness) -> None:
    """A new version is read by its number: one request beyond the listing of the tail."""
    counted = CountedStore(bench.store)
    sweeper = Sweeper(bench.on(counted).cases, witness, name="first")
    sweeper.tick()
    bench.ask(timeout=3600)
    counted.requests.clear()
    sweeper.tick()
    assert counted.requests == {"list": 1, "read": 1}


def test_old_markers_of_the_tail_are_removed(bench: Bench, sweeper: Sweeper) -> None:
    """A week later the markers are gone; the record is not."""
    asked = bench.ask()
    bench.clock.forward(8 * 86_400)
    sweeper.tick()
    assert list(bench.store.list("changes/")) == []
    assert bench.ledger.read(asked.id).approval == bench.ledger.verify(asked.id)[-1].approval


def test_a_large_backlog_is_read_in_slices(bench: Bench, sweeper: Sweeper) -> None:
    """A deadline that comes while a large backlog is being read does not wait for the end of it."""
    for number in range(600):
        bench.ask(pathspec(task=str(number)))
    assert sweeper.tick() == bench.clock()
    soon = bench.ask(pathspec(task="soon"), timeout=1)
    bench.clock.forward(1)
    assert sweeper.tick() == bench.clock()
    assert bench.ledger.read(soon.id).approval.state is State.EXPIRED


def test_it_works_on_several_at_once(bench: Bench, witness: Witness) -> None:
    """With a pool's map fifty deadlines at one instant are all kept in one tick."""
    asked = [bench.ask(pathspec(task=str(number)), timeout=5) for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        sweeper = Sweeper(bench.cases, witness, name="first", each=pool.map)
        sweeper.tick()
        bench.clock.now = NOW + timedelta(seconds=5)
        sweeper.tick()
    assert {bench.ledger.read(one.id).approval.state for one in asked} == {State.EXPIRED}
    assert set(bench.engine.refused) == {one.id for one in asked}
