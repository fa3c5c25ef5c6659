"""Slack's rate limits, and what it refuses: no question is lost, and the operator hears of each cause once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from threading import Condition, Event
from typing import Any

import pytest
import structlog

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.changes import Clock
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Person
from hitl_bot.sandbox.people import BOT_USER_ID
from hitl_bot.settings import Settings
from hitl_bot.slack.client import slack_client
from hitl_bot.telemetry.logs import REPORT_AGAIN
from metaflow_extensions.hitl.approvals.errors import NotifierBusy
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, State
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from metaflow_extensions.hitl.notifiers.slack.calls import POSTING, RATES, Pace
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from tests.fixtures.approvals import NOW, REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.slack import connect, work_until
from tests.integration.bot.conftest import CHANNEL, elsewhere


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sandbox(clock: HandClock) -> Iterator[Sandbox]:
    """A workspace whose time is the test's, to the microsecond."""
    with Sandbox(manifest=app_manifest(), clock=Clock(lambda: clock().timestamp())) as running:
        yield running


@pytest.fixture
def bot(settings: Settings, store: Store, clock: HandClock) -> Iterator[Bot]:
    """A bot whose calls keep Slack's pace by the test's clock."""
    running = bootstrap(settings, store=store, clock=clock, pace=Pace(lambda: clock().timestamp()))
    connect(running)
    yield running
    assert running.stop(60), "something of the bot did not end"


@pytest.fixture
def log() -> Iterator[list[dict[str, Any]]]:
    """What the bot logs at error."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def told(log: list[dict[str, Any]]) -> list[str]:
    return [entry["why"] for entry in log if entry["log_level"] == "error"]


def ask_elsewhere(bot: Bot, tasks: range, **parts: Any) -> list[Approval]:
    """Ask as a machine without Slack does: the bot has to post."""
    cases = elsewhere(bot)
    asked = question(**{"notifiers": ("slack",), **parts})
    return [cases.ask(pathspec(task=str(task)), asked, gate(), REQUESTER).approval for task in tasks]


def questions(control: Control) -> list[str]:
    """The approval ids of the messages in the channel."""
    return [message["metadata"]["event_payload"]["approval_id"] for message in control.messages(CHANNEL)]


def pass_seconds(bot: Bot, clock: HandClock, seconds: int) -> None:
    for _ in range(seconds):
        bot.sweeper.tick()
        clock.forward(1)
    bot.sweeper.tick()


def test_500_gates_at_once(bot: Bot, control: Control, clock: HandClock, ledger: Ledger, log: list[Any]) -> None:
    """Five hundred questions within a second are all posted, once each, and Slack never counts a call too many."""
    asked = ask_elsewhere(bot, range(500))
    clock.forward(10)
    pass_seconds(bot, clock, 500)
    work_until(bot, clock, lambda: all(ledger.read(one.id).approval.posts for one in asked), "five hundred posts")
    assert sorted(questions(control)) == sorted(one.id for one in asked)
    assert control.exceeded_rates() == []
    assert {call["outcome"] for call in control.calls()} == {"ok"}
    assert told(log) == []
    [posting] = [rate for rate in control.rates() if rate["method"] == "chat.postMessage"]
    assert posting["peak_minute"] <= 60 + POSTING.burst


def test_many_expiries_at_once(bot: Bot, control: Control, clock: HandClock, ledger: Ledger) -> None:
    """A deadline that many share decides all of them at once; their messages follow at Slack's pace."""
    asked = ask_elsewhere(bot, range(100), timeout=600)
    clock.forward(10)
    pass_seconds(bot, clock, 580)
    assert len(control.messages(CHANNEL)) == 100
    clock.forward(10)
    bot.sweeper.tick()
    assert {ledger.read(one.id).approval.state for one in asked} == {State.EXPIRED}
    pass_seconds(bot, clock, 190)

    def all_are_shown() -> bool:
        return all("no one answered" in one["plain"] for one in control.messages(CHANNEL)) and not any(
            ledger.open_ids()
        )

    work_until(bot, clock, all_are_shown, "a hundred ends")
    assert control.exceeded_rates() == []


def test_a_click_does_not_wait_behind_many(
    bot: Bot, control: Control, clock: HandClock, bob: Person, ledger: Ledger
) -> None:
    """While hundreds wait to be shown, a click opens its view, decides, and shows it."""
    ask_elsewhere(bot, range(100), timeout=600)
    clock.forward(10)
    pass_seconds(bot, clock, 110)
    waiting = ask_elsewhere(bot, range(100, 101), timeout=86_400)
    clock.forward(10)
    bot.sweeper.tick()
    clock.forward(470)
    bot.sweeper.tick()  # a hundred expire, and take up all the room that bulk has
    message = bob.wait_for_message(CHANNEL, lambda one: waiting[0].id in one.plain)
    view = bob.open(message, "Reject…")
    view.fill({"Reason": "not now"}).submit()
    assert "Rejected" in bob.wait_for_update(message, lambda one: "Rejected" in one.plain).plain
    control.wait_until(lambda: ledger.read(waiting[0].id).approval.settlement, what="the settlement")
    assert control.exceeded_rates() == []


def test_who_fills_in_a_form_in_a_burst_is_told_that_the_answer_stands(
    bot: Bot, control: Control, bob: Person, ledger: Ledger
) -> None:
    """Where a message can show an answer only after those of many others, the person is told so at once."""
    asked = [
        bot.cases.ask(pathspec(task=str(task)), question(notifiers=("slack",)), gate(), REQUESTER).approval
        for task in range(3)
    ]
    last, *others = asked
    for _ in range(RATES["chat.update"].burst + 1):
        with suppress(NotifierBusy):
            bot.cases.posting.notifiers["slack"].update(others[0], ledger.read(others[0].id).approval.posts[0])
    message = bob.wait_for_message(CHANNEL, lambda one: last.id in one.plain)
    assert isinstance(bob.open(message, "Reject…").fill({"Reason": "not now"}).submit(), Closed)
    told_bob = bob.wait_for_message("@app", lambda one: "Rejected" in one.plain)
    assert "The message will show it as soon as Slack's limits allow." in told_bob.plain
    assert ledger.read(last.id).approval.state is State.REJECTED


def test_retry_after_is_honoured_for_one_channel(bot: Bot, control: Control, clock: HandClock) -> None:
    """While Slack wants to be left alone in one channel, nobody posts there, and others are posted elsewhere."""
    control.put_channel(id="C0RELEASES", name="releases", members=["U0BOB", BOT_USER_ID])
    control.ratelimit("chat.postMessage", retry_after=30, times=2, where={"channel": CHANNEL})
    ask_elsewhere(bot, range(3))
    ask_elsewhere(bot, range(10, 13), channel="#releases")
    clock.forward(10)
    pass_seconds(bot, clock, 29)
    here = [call for call in control.calls("chat.postMessage") if call["args"]["channel"] == CHANNEL]
    assert [call["outcome"] for call in here] == ["ratelimited"] * 2  # both were on their way
    assert len(control.messages("#releases")) == 3
    pass_seconds(bot, clock, 10)
    work_until(bot, clock, lambda: len(control.messages(CHANNEL)) == 3, "three messages")


MENDED = {
    "ratelimited": "nothing to fix",
    "channel_not_found": "invite the bot there",
    "not_in_channel": "Invite the bot to",
    "is_archived": "Unarchive it",
    "token_revoked": "METAFLOW_HITL_SLACK_BOT_TOKEN",
    "msg_too_long": "answered on the command line",
    "fatal_error": "slack-status.com",
}


@pytest.mark.parametrize("code", MENDED)
def test_the_operator_hears_what_to_do_and_the_question_survives(
    bot: Bot, control: Control, clock: HandClock, ledger: Ledger, log: list[dict[str, Any]], code: str
) -> None:
    """Three questions suffer: one message says what to do. Once it is mended all three are posted, once each."""
    if code == "ratelimited":
        control.ratelimit("chat.postMessage", retry_after=20, times=1_000)
    else:
        control.fault("chat.postMessage", error=code, times=1_000)
    asked = ask_elsewhere(bot, range(3))
    clock.forward(10)
    pass_seconds(bot, clock, 90)
    [why] = told(log)
    assert MENDED[code] in why
    assert code in why
    assert control.messages(CHANNEL) == []
    control.clear_faults()
    pass_seconds(bot, clock, 90)
    work_until(bot, clock, lambda: all(ledger.read(one.id).approval.posts for one in asked), "three posts")
    assert sorted(questions(control)) == sorted(one.id for one in asked)


def test_a_refused_update_is_told(bot: Bot, control: Control, clock: HandClock, log: list[dict[str, Any]]) -> None:
    """A message that can't show the answer is the operator's to know of; the run does not wait for it."""
    ask_elsewhere(bot, range(2), timeout=60)
    clock.forward(10)
    pass_seconds(bot, clock, 3)
    control.fault("chat.update", error="token_revoked", times=10)
    pass_seconds(bot, clock, 60)
    work_until(bot, clock, lambda: told(log), "what the operator is told")
    assert ["The bot token was revoked." in why for why in told(log)] == [True]


def test_what_stays_is_told_again_after_an_hour(
    bot: Bot, control: Control, clock: HandClock, log: list[dict[str, Any]]
) -> None:
    """An operator who missed the first message gets another."""
    control.fault("chat.postMessage", error="is_archived", times=1_000)
    ask_elsewhere(bot, range(1))
    clock.forward(10)
    pass_seconds(bot, clock, 30)
    work_until(bot, clock, lambda: len(told(log)) == 1, "what the operator is told")
    clock.forward(REPORT_AGAIN.total_seconds())
    pass_seconds(bot, clock, 70)
    work_until(bot, clock, lambda: len(told(log)) == 2, "what the operator is told again")


def test_an_outage_is_told_once_and_its_end_once(
    settings: Settings, store: Store, control: Control, clock: HandClock, log: list[dict[str, Any]]
) -> None:
    """While no call reaches Slack the log says so once, with what waits for it; and once that it is over."""

    def seconds() -> float:
        return clock().timestamp()

    bot = bootstrap(settings, store=store, clock=clock, pace=Pace(seconds), monotonic=seconds)
    ask_elsewhere(bot, range(3), timeout=60)
    ask_elsewhere(bot, range(3, 5))
    clock.forward(10)
    pass_seconds(bot, clock, 5)
    control.refuse("*", times=1_000)
    pass_seconds(bot, clock, 120)
    work_until(bot, clock, lambda: "slack is away" in [entry["event"] for entry in log], "the outage")
    (away,) = [entry for entry in log if entry["event"] == "slack is away"]
    assert (away["questions"], away["unsettled"]) == (2, 3)
    assert len(told(log)) <= 2, "of updates and of lines below them, before it was known to be an outage"
    control.clear_faults()
    pass_seconds(bot, clock, 70)
    work_until(bot, clock, lambda: "slack is back" in [entry["event"] for entry in log], "the end of the outage")
    (back,) = [entry for entry in log if entry["event"] == "slack is back"]
    assert 50 < back["seconds"] < 200
    assert [entry["event"] for entry in log].count("slack is away") == 1

    def ends_shown() -> int:
        top = [one for one in control.messages(CHANNEL) if one["thread_ts"] in {"", one["ts"]}]
        return ["no one answered" in one["plain"] for one in top].count(True)

    work_until(bot, clock, lambda: ends_shown() == 3, "three ends")
    assert bot.stop(60)


# Many that post at once without knowing of each other.


class SharedTime:
    """Lets threads sleep on a clock that goes on once all of them do, to the first that wakes."""

    def __init__(self, clock: HandClock, threads: int) -> None:
        self._clock = clock
        self._awake = threads
        self._wakes: list[datetime] = []
        self._turn = Condition()

    def sleep(self, seconds: float) -> None:
        with self._turn:
            until = self._clock() + timedelta(seconds=seconds)
            self._wakes.append(until)
            self._awake -= 1
            self._go_on()
            self._turn.wait_for(lambda: self._clock() >= until)

    def end(self) -> None:
        """Say that a thread is done."""
        with self._turn:
            self._awake -= 1
            self._go_on()

    def _go_on(self) -> None:
        if self._awake == 0 and self._wakes:
            self._clock.now = min(self._wakes)
            due = [one for one in self._wakes if one <= self._clock.now]
            self._wakes = [one for one in self._wakes if one > self._clock.now]
            self._awake = len(due)
            self._turn.notify_all()


def test_pods_that_post_with_one_token_leave_to_the_bot_what_slack_does_not_take(
    bot: Bot, sandbox: Sandbox, control: Control, clock: HandClock, ledger: Ledger, log: list[Any]
) -> None:
    """A hundred pods post at once, each with a pace of its own: each waits as Slack asks, none fails, none posts twice.

    After ten seconds they leave the rest to the bot, which posts it at Slack's pace.
    """
    control.enforce_rates()
    many = 100
    time = SharedTime(clock, many)

    def pod(number: int) -> Outcome:
        client = slack_client(sandbox.bot_token, sandbox.api_url)
        pace = Pace(lambda: clock().timestamp())
        notifier = SlackNotifier(client, default_channel=CHANNEL, clock=clock, pace=pace, wait=time.sleep)
        cases = elsewhere(bot, notifiers={"slack": notifier})
        try:
            asked = question(notifiers=("slack",), approvers=("@ml-leads",))
            return cases.ask(pathspec(task=str(number)), asked, gate(), REQUESTER)
        finally:
            time.end()

    with ThreadPoolExecutor(many) as pods:
        outcomes = list(pods.map(pod, range(many)))
    posted = [one for one in outcomes if one.approval.posts]
    left = [one for one in outcomes if not one.approval.posts]
    assert len(posted) >= 10  # one a second, for ten seconds
    assert all("ratelimited" in str(one.pending[0]) for one in left)
    assert clock() - NOW <= timedelta(seconds=12)
    pass_seconds(bot, clock, 20 + 2 * len(left))
    work_until(bot, clock, lambda: all(ledger.read(one.approval.id).approval.posts for one in outcomes), "all posts")
    assert sorted(questions(control)) == sorted(one.approval.id for one in outcomes)
    assert {call["outcome"] for call in control.calls("chat.postMessage")} == {"ok", "ratelimited"}
    assert [one for one in control.calls("chat.postMessage") if one["outcome"] == "ratelimited"][-1]["at"] <= (
        NOW + timedelta(seconds=12)
    ).timestamp()  # the bot itself never met the limit


def _is_last(asked: str, key: str, left: Iterator[int]) -> bool:
    """Whether this request notes the last of so many decisions."""
    return asked == "mark" and key.startswith("decided/") and next(left) == 0


def test_500_shards_at_once(
    bot: Bot,
    control: Control,
    clock: HandClock,
    bob: Person,
    ledger: Ledger,
    log: list[Any],
    interventions: list[Callable[[str, str], None]],
) -> None:
    """Five hundred shards within a second are one message, which is rewritten once a second at most; so are answers."""
    asked = ask_elsewhere(bot, range(500), batch=True)
    pass_seconds(bot, clock, 30)
    [message] = control.messages(CHANNEL)
    assert "500 shards wait" in message["plain"]
    assert {ledger.read(one.id).approval.posts[0].ts for one in asked} == {message["ts"]}
    shown = bob.wait_for_message(CHANNEL)
    decided = Event()
    left = count(499, -1)
    interventions.append(lambda asked, key: decided.set() if _is_last(asked, key, left) else None)
    bob.click(shown, "Approve all", confirm="Approve all", timeout=0)
    assert decided.wait(120)

    def all_are_answered() -> bool:
        pass_seconds(bot, clock, 2)
        return "All 500 shards are answered" in control.messages(CHANNEL)[0]["plain"]

    control.wait_until(all_are_answered, 60, "the last update")
    pass_seconds(bot, clock, 30)
    work_until(bot, clock, lambda: not any(ledger.open_ids()), "five hundred settlements")
    assert {ledger.read(one.id).approval.state for one in asked} == {State.APPROVED}
    assert control.exceeded_rates() == []
    assert {call["outcome"] for call in control.calls()} == {"ok"}
    assert told(log) == []
    [updates] = [rate for rate in control.rates() if rate["method"] == "chat.update"]
    assert updates["peak_second"] <= 2  # the test may move the clock while a call is on its way
    # Once, since a line may still be on its way; what only Bob sees answers his click.
    found = [one for one in control.messages(CHANNEL) if not one["visible_to"]]
    replies = [one for one in found if one["thread_ts"] not in {"", one["ts"]}]
    assert len(replies) < 20  # and not one for each of them
    assert len(found) == 1 + len(replies)
