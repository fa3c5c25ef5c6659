"""Waiting for an answer: it ends with the answer or the deadline, and costs one request a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, NoSuchApproval, StoreUnavailable
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Post, State, TrailEvent, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import Closed, Rejected
from metaflow_extensions.hitl.approvals.sweeping import CLAIM_FOR
from metaflow_extensions.hitl.approvals.waiting import wait
from metaflow_extensions.hitl.notifiers.memory import MemoryNotifier
from tests.fixtures.approvals import ALICE, BOB, NOW, Bench, after, pathspec
from tests.fixtures.watched_stores import CountedStore, WatchedStore

ID = pathspec().approval_id
APPROVE = Answer(verdict=Verdict.APPROVE)
REJECT = Answer(verdict=Verdict.REJECT, reason="The data is stale.")
HOUR = 3_600


@dataclass
class Wait:
    """Somebody who waits, in a world where time passes only while they sleep."""

    bench: Bench = field(default_factory=Bench)
    plans: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    trouble: list[StoreUnavailable] = field(default_factory=list)

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen at a moment, counted from the start."""
        self.plans.append((seconds, act))

    def answer(self, answer: Answer, who=ALICE) -> object:
        return self.bench.cases.decide(ID, answer, who=who, where=Where.BUTTON)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        assert len(self.sleeps) < 10_000, "waits for ever"
        self.sleeps.append(seconds)
        self.bench.clock.forward(seconds)
        due = [plan for plan in self.plans if after(plan[0]) <= self.bench.clock.now]
        self.plans = [plan for plan in self.plans if plan not in due]
        for _, act in due:
            act()

    def __call__(self, *, poll_interval: float = 10, store=None, **parts) -> Approval:
        cases = self.bench.cases if store is None else self.bench.on(store).cases
        return wait(cases, ID, poll_interval=poll_interval, sleep=self.sleep, on_trouble=self.trouble.append, **parts)

    @property
    def waited(self) -> float:
        return (self.bench.clock.now - NOW).total_seconds()


@pytest.fixture
def waiting() -> Wait:
    return Wait()


def test_it_ends_with_the_answer(waiting):
    """The look after the answer returns the approval, with the input."""
    waiting.bench.ask()
    waiting.at(25, lambda: waiting.answer(Answer(verdict=Verdict.APPROVE, input={"n": 3})))
    approval = waiting()
    assert (approval.state, approval.decision.input) == (State.APPROVED, {"n": 3})
    assert waiting.sleeps == [10, 10, 10]


def test_it_looks_often_at_first_and_after_a_change_and_rarely_after_hours(waiting):
    """Half the pause for two minutes, the whole for an hour, five times it after eight hours; a vote begins anew."""
    waiting.bench.ask(quorum=2, approvers=("alice@example.com", "bob@example.com"))
    waiting.at(10 * HOUR, lambda: waiting.answer(APPROVE))
    waiting.at(10 * HOUR + 300, lambda: waiting.answer(APPROVE, BOB))
    waiting(poll_interval=10, adapts=True)
    assert waiting.sleeps[:24] == [5] * 24
    assert waiting.sleeps[24:26] == [10, 10]
    vote = waiting.sleeps.index(50)
    assert set(waiting.sleeps[:vote]) == {5, 10, 20}
    after_the_vote = waiting.sleeps[len(waiting.sleeps) - waiting.sleeps[::-1].index(50) :]
    assert after_the_vote[:24] == [5] * 24
    assert len(waiting.sleeps) < 0.55 * waiting.waited / 10


def test_it_does_not_wait_for_what_was_answered(waiting):
    """A retry of the task finds the answer at once."""
    waiting.bench.ask()
    waiting.answer(APPROVE)
    assert waiting().state is State.APPROVED
    assert waiting.sleeps == []


def test_a_rejection_fails_the_wait(waiting):
    """The error names who rejected and why."""
    waiting.bench.ask()
    waiting.at(25, lambda: waiting.answer(REJECT, BOB))
    with pytest.raises(Rejected, match=r'rejected by Bob Brown: "The data is stale\."'):
        waiting()


def test_a_rejection_may_let_the_step_run(waiting):
    """With ``on_reject="continue"`` the wait returns, and the approval tells the verdict."""
    waiting.bench.ask(on_reject=OnReject.CONTINUE)
    waiting.at(25, lambda: waiting.answer(REJECT, BOB))
    assert waiting().state is State.REJECTED


def test_a_closing_fails_the_wait(waiting):
    """Nobody waits for an answer that can't come any more."""
    bench = waiting.bench
    bench.ask()
    waiting.at(25, lambda: bench.cases.close(bench.ledger.read(ID), "The run was stopped."))
    with pytest.raises(Closed):
        waiting()


def test_the_deadline_lets_the_step_run(waiting):
    """With ``on_timeout="approve"`` the waiting process itself records the expiry, at the deadline and not later."""
    waiting.bench.ask(timeout=95, on_timeout=OnTimeout.APPROVE)
    approval = waiting()
    assert approval.decision.where is Where.TIMEOUT
    assert waiting.waited == 95
    assert waiting.sleeps == [10] * 9 + [5]
    assert waiting.bench.ledger.read(ID).approval.settlement is not None


def test_the_deadline_fails_the_step(waiting):
    """With ``on_timeout="reject"`` the wait fails at the deadline."""
    waiting.bench.ask(timeout=95)
    with pytest.raises(Rejected, match="expired: no one answered in 1 min"):
        waiting()
    assert waiting.waited == 95
    assert waiting.bench.ledger.read(ID).approval.state is State.EXPIRED


def test_an_answer_that_comes_with_the_deadline_wins_if_it_is_written_first(waiting):
    """Who waits records an expiry only if there is no answer, whatever it had seen."""
    waiting.bench.ask(timeout=95, on_timeout=OnTimeout.REJECT)
    waiting.at(91, lambda: None)
    slow = waiting.bench.clock

    def answer_just_in_time() -> None:
        now, slow.now = slow.now, after(94.999)
        waiting.answer(APPROVE)
        slow.now = now

    waiting.at(95, answer_just_in_time)
    assert waiting().state is State.APPROVED


def test_a_deadline_that_only_notifies_does_not_end_the_wait(waiting):
    """Behind such a deadline it goes on looking, and not more often than before."""
    waiting.bench.ask(timeout=60, on_timeout=OnTimeout.NOTIFY)
    waiting.at(500, lambda: waiting.answer(APPROVE))
    assert waiting().state is State.APPROVED
    assert waiting.sleeps == [10] * 50


def test_it_tells_of_a_question_that_a_bot_posts(waiting):
    """Whoever waits hears where the question stands as soon as the record does."""
    waiting.bench.ask()
    told = []
    post = Post(notifier="slack", at=NOW, channel="C1", ts="1.2", nobody=("@long-gone",))
    ledger = waiting.bench.ledger
    waiting.at(20, lambda: ledger.update(ID, TrailEvent.POSTED, NOW, lambda newest: transitions.posted(newest, post)))
    waiting.at(40, lambda: waiting.answer(APPROVE))
    wait(waiting.bench.cases, ID, poll_interval=10, sleep=waiting.sleep, on_trouble=pytest.fail, on_posted=told.append)
    assert told[-1].posts[-1].nobody == ("@long-gone",)


def test_a_look_is_one_request_for_the_next_version(waiting):
    """However many versions there are, only the key of the next one is read; each new one is read once."""
    bench = waiting.bench
    bench.ask()
    counted = CountedStore(bench.store)
    keys = []
    watched = WatchedStore(counted, lambda request, key: keys.append((request, key)))
    waiting.at(35, lambda: waiting.answer(APPROVE))
    waiting(store=watched)
    third = ("read", f"approvals/{ID}/00003.json")
    assert keys == [
        ("list", f"approvals/{ID}/"),
        ("read", f"approvals/{ID}/00002.json"),
        *[third] * 5,
    ]
    assert counted.requests == {"list": 1, "read": 6}


def test_it_goes_on_when_another_version_is_no_answer(waiting):
    """That the question was posted meanwhile is a new version, and no answer."""
    bench = waiting.bench
    bench.notifier.go_away()
    bench.ask()

    def post() -> None:
        bench.notifier.come_back()
        bench.ask()

    waiting.at(15, post)
    waiting.at(45, lambda: waiting.answer(APPROVE))
    assert waiting().state is State.APPROVED
    assert waiting.waited == 50


# A store that is away.


def away(waiting: Wait, *spans: tuple[float, float]) -> WatchedStore:
    """Return the store, which does not answer from one moment to another, as often as there are spans."""

    def check(request: str, key: str) -> None:
        if any(after(start) <= waiting.bench.clock.now < after(end) for start, end in spans):
            raise StoreUnavailable(f"{request} {key}")

    return WatchedStore(waiting.bench.store, check)


def test_a_store_that_is_away_for_a_while_is_waited_for(waiting):
    """A lost connection is no answer: the wait tells of it and goes on."""
    waiting.bench.ask()
    waiting.at(100, lambda: waiting.answer(APPROVE))
    assert waiting(store=away(waiting, (20, 150))).state is State.APPROVED
    assert waiting.waited == 150
    assert len(waiting.trouble) == 13


def test_a_store_that_is_away_at_the_start_is_waited_for(waiting):
    """Nor is a connection that is lost right after asking."""
    waiting.bench.ask()
    waiting.at(15, lambda: waiting.answer(APPROVE))
    assert waiting(store=away(waiting, (0, 30))).state is State.APPROVED
    assert len(waiting.trouble) == 3


def test_a_store_that_is_away_at_the_deadline_decides_nothing(waiting):
    """The expiry is recorded when the store is back; an answer that got there before wins."""
    waiting.bench.ask(timeout=60)
    waiting.at(50, lambda: waiting.answer(APPROVE))
    assert waiting(store=away(waiting, (20, 600))).state is State.APPROVED
    assert waiting.waited == 600


def test_the_deadline_counts_when_the_store_is_back(waiting):
    """Nobody answered and the store was away at the deadline: the step fails as soon as that is recorded."""
    waiting.bench.ask(timeout=60)
    with pytest.raises(Rejected):
        waiting(store=away(waiting, (20, 600)))
    assert waiting.waited == 600


@pytest.mark.parametrize("gone_at", [20, 2 * HOUR - 100])
def test_a_store_that_stays_away_ends_the_wait_an_hour_after_the_deadline(waiting, gone_at):
    """A run does not hang for good on a store that is gone; before the deadline it has all the time."""
    waiting.bench.ask(timeout=2 * HOUR)
    with pytest.raises(StoreUnavailable):
        waiting(store=away(waiting, (gone_at, 10**9)), poll_interval=100)
    assert waiting.waited == pytest.approx(3 * HOUR, abs=100)


def test_a_machine_that_slept_over_the_deadline_gets_time_to_reconnect(waiting):
    """A laptop that wakes up days later without its network yet, and not for the first time, finds the answer."""
    waiting.bench.ask(timeout=HOUR)

    def sleep_long() -> None:
        waiting.answer(APPROVE)
        waiting.bench.clock.now += timedelta(days=3)

    waiting.at(45, sleep_long)
    three_days = 3 * 86_400
    assert waiting(store=away(waiting, (10, 30), (three_days, three_days + 300))).state is State.APPROVED
    assert len(waiting.trouble) > 2


def test_short_troubles_do_not_add_up(waiting):
    """With a deadline that only notifies, a store that stumbles now and then for a year is no reason to stop."""
    waiting.bench.ask(timeout=60, on_timeout=OnTimeout.NOTIFY)

    def check(request: str, key: str) -> None:
        if int(waiting.waited) % HOUR < 300:
            raise StoreUnavailable(key)

    waiting.at(20 * HOUR + 1_000, lambda: waiting.answer(APPROVE))
    assert waiting(store=WatchedStore(waiting.bench.store, check), poll_interval=100).state is State.APPROVED
    assert len(waiting.trouble) > 50


def test_a_record_that_can_not_be_trusted_ends_the_wait(waiting):
    """Corruption is no trouble that passes: the gate stays closed."""
    waiting.bench.ask()
    waiting.at(15, lambda: waiting.bench.store.create(f"approvals/{ID}/00003.json", b"{"))
    with pytest.raises(CorruptRecord):
        waiting()


def test_nobody_waits_for_what_was_never_asked(waiting):
    """Without a record there is nothing to wait for."""
    with pytest.raises(NoSuchApproval):
        waiting()


def test_a_question_left_to_a_bot_is_posted_if_there_is_none(waiting):
    """Gates that may share a message are left to the bot for eight seconds; without one each posts its own, once."""
    slack = MemoryNotifier(waiting.bench.clock, name="slack")
    waiting.bench.cases.posting.notifiers = {"slack": slack}
    waiting.bench.ask(notifiers=("slack",), batch=True)
    assert slack.posts == {}
    seen = []
    for seconds in (5, 10, 20):
        waiting.at(seconds, lambda: seen.append(len(slack.posts)))
    waiting.at(30, lambda: waiting.answer(APPROVE))
    assert waiting(poll_interval=5).state is State.APPROVED
    assert seen == [0, 0, 1]


def test_who_can_not_post_a_question_leaves_it_to_a_bot_that_is_late(waiting):
    """A run without a token for Slack doesn't hold the claim to post its question, however late the bot comes."""
    waiting.bench.cases.posting.notifiers = {}
    waiting.bench.ask(notifiers=("slack",), batch=True)
    claimed = []
    late = partial(waiting.bench.ledger.claim, ID, "post", "a sweeper", during=CLAIM_FOR)
    waiting.at(30, lambda: claimed.append(late(now=waiting.bench.clock.now)))
    waiting.at(40, lambda: waiting.answer(APPROVE))
    waiting(poll_interval=2)
    assert claimed == [True]


def test_a_question_that_a_bot_is_posting_is_left_to_it(waiting):
    """While a sweeper holds the claim to post a question, who waits does not post it too."""
    slack = MemoryNotifier(waiting.bench.clock, name="slack")
    waiting.bench.cases.posting.notifiers = {"slack": slack}
    waiting.bench.ask(notifiers=("slack",), batch=True)
    assert waiting.bench.ledger.claim(ID, "post", "a sweeper", now=NOW, during=CLAIM_FOR)
    waiting.at(25, lambda: waiting.answer(APPROVE))
    waiting(poll_interval=5)
    assert slack.posts == {}
