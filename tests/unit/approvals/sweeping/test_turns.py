"""Questions that wait until a notifier has time for them."""

from __future__ import annotations

from typing import Any

import pytest

from metaflow_extensions.hitl.approvals.errors import NotifierBusy
from metaflow_extensions.hitl.approvals.record import Approval, Post, State
from metaflow_extensions.hitl.approvals.sweeping import CARRY_OUT_AFTER, POST_AFTER, READ_ALL_EVERY, Act, Sweeper
from metaflow_extensions.hitl.approvals.sweeping.worker import Agenda, Attempt, Plan, Turn
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from metaflow_extensions.hitl.notifiers.slack.calls import Lane, Pace
from tests.fixtures.approvals import NOW, Bench, HandClock, pathspec
from tests.unit.approvals.sweeping.observer import Observer, decide


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

    def update(self, asked: Approval, post: Post) -> None:
        self.attempts += 1
        self._pace.take("chat.update", "C1", Lane.BULK)
        super().update(asked, post)


@pytest.fixture
def paced(bench: Bench) -> PacedNotifier:
    notifier = PacedNotifier(bench.clock)
    bench.notifier = notifier
    bench.cases.posting.notifiers = {notifier.name: notifier}
    return notifier


def ask_many(bench: Bench, paced: PacedNotifier, count: int, **parts: Any) -> list[Approval]:
    """Ask by somebody who could not post at all."""
    bench.cases.posting.notifiers = {}
    asked = [bench.ask(pathspec(task=str(task)), **parts) for task in range(count)]
    bench.cases.posting.notifiers = {paced.name: paced}
    bench.clock.forward(POST_AFTER.total_seconds())
    return asked


def test_each_is_posted_when_its_turn_comes(
    bench: Bench, paced: PacedNotifier, sweeper: Sweeper, observer: Observer
) -> None:
    """Of sixty, one a second is posted, and each takes two attempts, whatever the sweeper reads meanwhile."""
    asked = ask_many(bench, paced, 60)
    for second in range(59):
        sweeper.tick()
        assert len(paced.posts) == second + 2
        bench.clock.forward(1)
    assert set(paced.posts) == {one.id for one in asked}
    assert paced.attempts == 60 + 58
    assert all(isinstance(failure, NotifierBusy) for failure in observer.failures)


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


def test_the_newest_decisions_are_shown_first(bench: Bench, paced: PacedNotifier, sweeper: Sweeper) -> None:
    """While sixty decided messages wait for Slack's pace, four that are decided now take the next turns; none is lost.

    One of them might find the notifier free by chance.
    """
    asked = ask_many(bench, paced, 64)
    for _ in range(64):
        sweeper.tick()
        bench.clock.forward(1)
    for one in asked[:60]:
        decide(bench, one.id)
    bench.clock.forward(20)
    sweeper.tick()
    paced.attempts = 0
    for one in asked[60:]:
        decide(bench, one.id)
    bench.clock.forward(CARRY_OUT_AFTER.total_seconds())
    for _ in range(8):
        sweeper.tick()
        bench.clock.forward(1)
    assert {paced.shown[one.id].state for one in asked[60:]} == {State.APPROVED}
    waiting = [one.id for one in asked if paced.shown[one.id].state is State.PENDING]
    assert len(waiting) > 40
    assert asked[0].id in waiting
    for _ in range(90):
        sweeper.tick()
        bench.clock.forward(1)
    assert {paced.shown[one.id].state for one in asked} == {State.APPROVED}
    assert list(bench.ledger.open_ids()) == []
    assert paced.attempts < 150, "each waits for its turn, and is not tried in vain"


def test_two_turns_at_one_moment_are_both_taken() -> None:
    """The more urgent comes first, and the other is not forgotten, although it changes places within the moment."""
    agenda = Agenda()
    for number, task in enumerate(("asked first", "decided last")):
        plan = Plan(act=Act.CARRY_OUT, at=NOW)
        agenda.note(Attempt(approval_id=task, turn=Turn(plan=plan, queue="q", urgency=(True, number))), NOW)
    assert agenda.take_due(NOW) == ["decided last", "asked first"], "not in the order of their names"


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
