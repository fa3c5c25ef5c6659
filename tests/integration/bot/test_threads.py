"""The thread below a question: the trail of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest
import structlog

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Message, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ports import Store
from tests.fixtures.approvals import HandClock
from tests.fixtures.slack import connect, work_until
from tests.fixtures.watched_stores import Crash
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask
from tests.integration.bot.test_batches import ask_shards, shown, sweep


def replies(person: Person, message: Message, count: int = 1) -> list[str]:
    """Wait for so many replies, and return all that there are."""

    def look() -> list[Message] | None:
        thread = message.thread
        return thread if len(thread) >= count else None

    found: list[Message] = person.control.wait_until(look, what=f"{count} replies")
    assert all(one.mentions == [] for one in found)
    return [one.plain for one in found]


def test_a_decision_is_a_line(ask: Ask, bot: Bot, bob: Person) -> None:
    """Who decided what, when and how, with what was entered; nobody is mentioned."""
    approval = ask(schema=SCHEMA)
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    bob.command(f"/hitl approve {approval.id} deploy_target=moon replicas=2")
    bot.sweeper.tick()
    (line,) = replies(bob, message)
    assert line.startswith("Approved by bob after 0 s (slash command)")
    assert "deploy_target=moon, replicas=2" in line.replace("`", "")


def test_a_reason_is_a_quotation(ask: Ask, bot: Bot, bob: Person) -> None:
    """What a person typed is shown in quotation marks, and rings nobody."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    bob.command(f"/hitl reject {approval.id} ask <!channel> first")
    bot.sweeper.tick()
    (line,) = replies(bob, message)
    assert "Rejected by bob" in line
    assert "“ask " in line


def test_an_expiry_is_a_line(ask: Ask, bot: Bot, bob: Person, clock: HandClock) -> None:
    """What the deadline decides is said there too."""
    ask(timeout=60)
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    clock.forward(60)
    bot.sweeper.tick()
    bot.sweeper.tick()
    assert replies(bob, message) == ["Expired and rejected: no one answered in 1 min"]


def test_each_line_is_written_once(
    ask: Ask, bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock, control: Control
) -> None:
    """Two bots, and one that starts afresh and reads the tail again, write one line together."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    other = bootstrap(settings, store=store, clock=clock)
    connect(other)
    bob.command(f"/hitl approve {approval.id}")
    for one in (bot, other, bot, other):
        one.sweeper.tick()
    replies(bob, message)
    assert other.stop(60)
    late = bootstrap(settings, store=store, clock=clock)
    late.sweeper.tick()
    late.sweeper.tick()
    assert late.stop(60)
    assert len(replies(bob, message)) == 1


def test_a_line_that_fails_holds_up_nothing(
    ask: Ask, bot: Bot, bob: Person, clock: HandClock, control: Control
) -> None:
    """A line that Slack does not take is no reason to lose the decision: it is settled, and the bot goes on."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    control.fault("chat.postMessage", error="fatal_error")
    bob.command(f"/hitl approve {approval.id}")
    work_until(bot, clock, lambda: bot.cases.ledger.read(approval.id).approval.settlement, "the settlement")
    assert message.refresh().buttons == []


# A line is neither lost nor written twice, whatever dies.


def let_die(interventions: list[Callable[[str, str], None]], request: str, beginning: str) -> Event:
    """Let a bot die at its first request about such a key: here only the thread that asks, which is not let on."""
    died = Event()

    def intervene(asked: str, key: str) -> None:
        if asked == request and key.startswith(beginning) and not died.is_set():
            died.set()
            raise Crash(key)

    interventions.append(intervene)
    return died


@contextmanager
def another_bot(settings: Settings, store: Store, clock: HandClock, seconds: float) -> Iterator[Bot]:
    """Start another bot over the same store, so many seconds later."""
    clock.forward(seconds)
    fresh = bootstrap(settings, store=store, clock=clock)
    try:
        yield fresh
    finally:
        assert fresh.stop(60)


@pytest.mark.parametrize(("request_name", "beginning"), [("create", "claims/"), ("list", "said/"), ("mark", "said/")])
@pytest.mark.parametrize("seconds", [61, 3_600])
def test_a_bot_that_dies_loses_no_line_and_doubles_none(
    ask: Ask,
    bot: Bot,
    settings: Settings,
    store: Store,
    bob: Person,
    clock: HandClock,
    interventions: list[Callable[[str, str], None]],
    noted: Callable[[str], Event],
    request_name: str,
    beginning: str,
    seconds: int,
) -> None:
    """It dies before the line, or behind it and before it is noted; a minute or an hour later another one starts."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    died = let_die(interventions, request_name, beginning)  # before anything is to be said: the last tick may go on
    bob.command(f"/hitl approve {approval.id}")
    work_until(bot, clock, died.is_set)
    said = noted("said/")
    with another_bot(settings, store, clock, seconds) as fresh:
        work_until(fresh, clock, said.is_set)
        for _ in range(3):
            fresh.sweeper.tick()
            clock.forward(60)
    (line,) = replies(bob, message)
    assert line.startswith("Approved by bob")


def test_a_lost_answer_doubles_no_line(
    ask: Ask, bot: Bot, noted: Callable[[str], Event], bob: Person, clock: HandClock, control: Control
) -> None:
    """Slack wrote the line, and its answer never came: the bot looks for it in the thread before it tries again."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    control.lose_answer("chat.postMessage")
    bob.command(f"/hitl approve {approval.id}")
    work_until(bot, clock, noted("said/").is_set)
    assert len(replies(bob, message)) == 1


def test_a_line_that_slack_refuses_comes_when_it_is_mended(
    ask: Ask, bot: Bot, noted: Callable[[str], Event], bob: Person, clock: HandClock, control: Control
) -> None:
    """While the token is revoked the operator is told, once; the line follows when somebody has mended it."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    with structlog.testing.capture_logs() as entries:
        control.fault("chat.postMessage", error="token_revoked", times=1_000)
        bob.command(f"/hitl approve {approval.id}")
        for _ in range(30):
            bot.sweeper.tick()
            clock.forward(1)
        control.wait_until(lambda: [one for one in entries if one["log_level"] == "error"], what="the operator's line")
        said = noted("said/")
        control.clear_faults()
        work_until(bot, clock, said.is_set)
    assert ["The bot token was revoked." in one["why"] for one in entries if one["log_level"] == "error"] == [True]
    assert len(replies(bob, message)) == 1


def test_a_thread_whose_message_was_deleted_is_left_alone(
    ask: Ask, bot: Bot, noted: Callable[[str], Event], bob: Person, clock: HandClock, control: Control
) -> None:
    """Nobody can read it and there is nothing to fix: Slack is asked once, and the operator is not told."""
    approval = ask()
    bob.wait_for_message(CHANNEL)
    posted = len(control.calls("chat.postMessage"))
    with structlog.testing.capture_logs() as entries:
        control.fault("chat.postMessage", error="thread_not_found", times=1_000)
        bob.command(f"/hitl approve {approval.id}")
        work_until(bot, clock, noted("said/").is_set)
        for _ in range(30):
            bot.sweeper.tick()
            clock.forward(10)
    assert len(control.calls("chat.postMessage")) == posted + 1
    assert [one for one in entries if one["log_level"] == "error"] == []


def test_many_gates_are_told_of_together(bot: Bot, bob: Person, clock: HandClock) -> None:
    """What was said of twelve shards in the same words stands in their thread once, with whom it is about."""
    asked = ask_shards(bot, 12)
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "12 shards wait" in one.plain)
    bob.click(message, "Approve all", confirm="Approve all")
    work_until(bot, clock, lambda: message.thread, "the line")
    (line,) = replies(bob, message)
    assert line.startswith("12 shards: Approved by bob")
    assert all(one.id in line for one in asked)


def test_a_line_that_can_not_be_noted_is_said_once(
    ask: Ask, bot: Bot, bob: Person, clock: HandClock, interventions: list[Callable[[str, str], None]], store: Store
) -> None:
    """While the store takes no note of what was said, nothing is said again; the note follows."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)

    def refuse(request: str, key: str) -> None:
        if request == "mark" and key.startswith("said/"):
            raise StoreUnavailable(key)

    interventions.append(refuse)
    bob.command(f"/hitl approve {approval.id}")
    bot.sweeper.tick()
    replies(bob, message)
    for _ in range(12):
        bot.sweeper.tick()
        clock.forward(1)
    assert list(store.list(f"said/{approval.id}/")) == []
    interventions.clear()
    work_until(bot, clock, lambda: list(store.list(f"said/{approval.id}/")), "the note", seconds=6)
    assert len(replies(bob, message)) == 1
