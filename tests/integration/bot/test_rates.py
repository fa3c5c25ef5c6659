"""Slack's rate limits, and what it refuses: no question is lost, and the operator hears of each cause once."""

from __future__ import annotations

import copy
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.clock import Clock
from hitl_bot.sandbox.people import BOT_USER_ID
from hitl_bot.telemetry.troubles import TELL_AGAIN
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.notifiers.slack.pace import POSTING, Pace
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.integration.bot.conftest import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hitl_bot.sandbox.control import Control
    from hitl_bot.sandbox.driver import Person
    from hitl_bot.settings import Settings
    from metaflow_extensions.hitl.approvals.ledger import Ledger
    from metaflow_extensions.hitl.approvals.ports import Store
    from metaflow_extensions.hitl.approvals.record import Approval


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
    running.connection.open(Event())
    yield running
    assert running.stop(5), "something of the bot did not end"


@pytest.fixture
def log() -> Iterator[list[dict[str, Any]]]:
    """What the bot logs at error."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def told(log: list[dict[str, Any]]) -> list[str]:
    return [entry["why"] for entry in log if entry["log_level"] == "error"]


def ask_elsewhere(bot: Bot, tasks: range, **parts: Any) -> list[Approval]:
    """Ask as a machine without Slack does: the bot has to post."""
    elsewhere = copy.copy(bot.cases)
    elsewhere.notifiers = {}
    asked = question(**{"notifiers": ("slack",), **parts})
    return [elsewhere.ask(pathspec(task=str(task)), asked, gate(), REQUESTER).approval for task in tasks]


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
    assert sorted(questions(control)) == sorted(one.id for one in asked)
    assert all(ledger.read(one.id).approval.posts for one in asked)
    assert control.exceeded_rates() == []
    assert {call["outcome"] for call in control.calls()} == {"ok"}
    assert told(log) == []
    [posting] = [rate for rate in control.rates() if rate["method"] == "chat.postMessage"]
    assert posting["peak_minute"] <= 60 + POSTING.burst


def test_many_expiries_at_once(bot: Bot, control: Control, clock: HandClock, ledger: Ledger) -> None:
    """A deadline that many share decides all of them at once; their messages follow at Slack's pace."""
    asked = ask_elsewhere(bot, range(100), timeout=600)
    clock.forward(10)
    pass_seconds(bot, clock, 589)
    assert len(control.messages(CHANNEL)) == 100
    clock.forward(1)
    bot.sweeper.tick()
    assert {ledger.read(one.id).approval.state for one in asked} == {State.EXPIRED}
    pass_seconds(bot, clock, 190)
    assert all("nobody answered" in message["plain"] for message in control.messages(CHANNEL))
    assert list(ledger.open_ids()) == []
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
    assert ledger.read(waiting[0].id).approval.settlement is not None
    assert control.exceeded_rates() == []


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
    assert len(control.messages(CHANNEL)) == 3


MENDED = {
    "ratelimited": "nothing to mend",
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
    assert sorted(questions(control)) == sorted(one.id for one in asked)
    assert all(ledger.read(one.id).approval.posts for one in asked)


def test_a_refused_update_is_told(bot: Bot, control: Control, clock: HandClock, log: list[dict[str, Any]]) -> None:
    """A message that can't show the answer is the operator's to know of; the run does not wait for it."""
    ask_elsewhere(bot, range(2), timeout=60)
    clock.forward(10)
    pass_seconds(bot, clock, 3)
    control.fault("chat.update", error="token_revoked", times=10)
    pass_seconds(bot, clock, 60)
    assert ["The bot token was revoked." in why for why in told(log)] == [True]


def test_what_stays_is_told_again_after_an_hour(
    bot: Bot, control: Control, clock: HandClock, log: list[dict[str, Any]]
) -> None:
    """An operator who missed the first message gets another."""
    control.fault("chat.postMessage", error="is_archived", times=1_000)
    ask_elsewhere(bot, range(1))
    clock.forward(10)
    pass_seconds(bot, clock, 30)
    assert len(told(log)) == 1
    clock.forward(TELL_AGAIN.total_seconds())
    pass_seconds(bot, clock, 70)
    assert len(told(log)) == 2
