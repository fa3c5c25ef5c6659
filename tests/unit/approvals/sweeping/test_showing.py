"""What messages show follows the record, also where showing it failed, or somebody died before it."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.errors import NotifierUnavailable
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Post, State, Verdict, Where
from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from tests.fixtures.approvals import ALICE, BOB, Bench
from tests.fixtures.watched_stores import Crash, WatchedStore
from tests.unit.approvals.sweeping.observer import Observer

APPROVE = Answer(verdict=Verdict.APPROVE)


@pytest.fixture
def asked(bench: Bench) -> Approval:
    """Ask two people."""
    return bench.ask(approvers=(ALICE.id, BOB.id), quorum=2)


def pass_time(bench: Bench, sweeper: Sweeper, seconds: int) -> None:
    for _ in range(seconds):
        sweeper.tick()
        bench.clock.forward(1)


def test_a_vote_that_could_not_be_shown_is_shown_later(bench: Bench, sweeper: Sweeper, asked: Approval) -> None:
    """The medium was away when somebody voted: once it is back, the message has the vote."""
    bench.notifier.go_away()
    bench.cases.decide(asked.id, APPROVE, who=ALICE, where=Where.BUTTON)
    pass_time(bench, sweeper, 5)
    bench.notifier.come_back()
    assert bench.notifier.shown[asked.id].votes == ()
    pass_time(bench, sweeper, 70)
    assert [one.by for one in bench.notifier.shown[asked.id].votes] == [ALICE]


def test_who_starts_shows_the_votes_once(bench: Bench, observer: Observer, asked: Approval) -> None:
    """A bot that died between a vote and the message: the next one shows the vote, and then leaves it alone."""

    def die(request: str, key: str) -> None:
        if request == "mark" and key.startswith("changes/"):
            raise Crash

    dying = bench.on(WatchedStore(bench.store, before=die))
    with pytest.raises(Crash):
        dying.cases.decide(asked.id, APPROVE, who=ALICE, where=Where.BUTTON)
    assert bench.notifier.shown[asked.id].votes == ()
    fresh = bench.on(bench.store)
    pass_time(fresh, Sweeper(fresh.cases, observer, name="fresh"), 20)
    assert [one.by for one in bench.notifier.shown[asked.id].votes] == [ALICE]
    assert [act.value for act, _ in observer.done].count("show") == 1


def test_what_is_shown_is_not_shown_again(bench: Bench, sweeper: Sweeper, observer: Observer, asked: Approval) -> None:
    """A vote that its own process has shown is no work for that process's sweeper."""
    bench.cases.decide(asked.id, APPROVE, who=ALICE, where=Where.BUTTON)
    pass_time(bench, sweeper, 20)
    assert observer.done == []


def test_who_dies_before_the_marker_delays_nothing(bench: Bench, observer: Observer) -> None:
    """A decision that the tail doesn't name is carried out within seconds by the bot that starts next."""
    asked = bench.ask()

    def die(request: str, key: str) -> None:
        if request == "mark" and key.startswith("changes/"):
            raise Crash

    dying = bench.on(WatchedStore(bench.store, before=die))
    with pytest.raises(Crash):
        dying.cases.decide(asked.id, APPROVE, who=ALICE, where=Where.BUTTON)
    assert bench.engine.released == {}
    fresh = bench.on(bench.store)
    pass_time(fresh, Sweeper(fresh.cases, observer, name="fresh"), 6)
    assert bench.engine.released.keys() == {asked.id}
    assert bench.notifier.shown[asked.id].state is State.APPROVED


def test_who_showed_less_after_another_showed_all_shows_it_again(
    bench: Bench, sweeper: Sweeper, observer: Observer
) -> None:
    """Two bots show a decision at once, and the last update is of the one that knew less: it corrects that itself."""
    asked = bench.ask()
    pass_time(bench, sweeper, 2)
    other = bench.on(bench.store)
    decided = other.cases.take(asked.id, APPROVE, who=ALICE, where=Where.BUTTON)
    other.cases.carry_out(decided)
    assert bench.cases.posting.show(decided.approval, decided.approval.posts) == []
    assert bench.notifier.shown[asked.id].settlement is None
    pass_time(bench, sweeper, 3)
    assert bench.notifier.shown[asked.id].settlement is not None
    assert [act.value for act, _ in observer.done].count("show") == 1


def test_who_may_have_showed_less_shows_it_again(
    bench: Bench, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise if that last update is said to have failed, and was carried out all the same."""
    asked = bench.ask()
    pass_time(bench, sweeper, 2)
    other = bench.on(bench.store)
    decided = other.cases.take(asked.id, APPROVE, who=ALICE, where=Where.BUTTON)
    other.cases.carry_out(decided)
    update = bench.notifier.update

    def lose_the_answer(approval: Approval, post: Post) -> None:
        monkeypatch.setattr(bench.notifier, "update", update)
        update(approval, post)
        raise NotifierUnavailable("No answer came.")

    monkeypatch.setattr(bench.notifier, "update", lose_the_answer)
    assert bench.cases.posting.show(decided.approval, decided.approval.posts)
    assert bench.notifier.shown[asked.id].settlement is None
    pass_time(bench, sweeper, 3)
    assert bench.notifier.shown[asked.id].settlement is not None


def test_the_end_of_what_has_no_message_is_not_shown_again_and_again(
    bench: Bench, sweeper: Sweeper, observer: Observer
) -> None:
    """Settled without a message: a sweeper looks for one that may come late once, shows the end once, and is done."""
    bench.notifier.go_away()
    asked = bench.ask()
    bench.notifier.come_back()
    bench.cases.decide(asked.id, APPROVE, who=ALICE, where=Where.COMMAND_LINE)
    settled = bench.ledger.read(asked.id).approval
    assert settled.settlement is not None
    assert settled.posts == ()
    bench.cases.posting.shown.expect_less(settled)
    pass_time(bench, sweeper, 90)
    assert [act.value for act, _ in observer.done] == ["show", "look again"]
