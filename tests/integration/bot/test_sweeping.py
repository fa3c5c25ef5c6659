"""The sweeper of a connected bot, with Slack at the other end."""

from __future__ import annotations

from threading import Event

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver, Person as Somebody
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Answer, Origin, Person, State, TrailEvent, Verdict, Where
from tests.fixtures.approvals import HandClock, approving, gate, pathspec, question
from tests.fixtures.slack import connect
from tests.integration.bot.conftest import CHANNEL, Ask, elsewhere

RITA = Person(id="rita", name="rita", origin=Origin.CLAIM)


def test_slack_was_down_when_the_question_was_asked(
    ask: Ask, bot: Bot, bob: Somebody, control: Control, ledger: Ledger, clock: HandClock
) -> None:
    """The record stands, and the bot posts the question once Slack is back; a click on it decides."""
    control.fault("chat.postMessage", status=503)
    approval = ask()
    assert bob.messages(CHANNEL) == []
    clock.forward(10)
    bot.sweeper.tick()
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message)
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_a_post_whose_answer_was_lost_is_found_again(
    ask: Ask, bot: Bot, bob: Somebody, control: Control, ledger: Ledger, clock: HandClock
) -> None:
    """Slack took the message and the connection broke: the bot finds it instead of asking twice."""
    control.lose_answer("chat.postMessage")
    approval = ask()
    clock.forward(10)
    bot.sweeper.tick()
    (message,) = bob.messages(CHANNEL)
    (post,) = ledger.read(approval.id).approval.posts
    assert (post.channel, post.ts) == (message.channel, message.ts)


def test_a_decision_on_the_command_line_reaches_the_message(
    ask: Ask, bot: Bot, bob: Somebody, clock: HandClock
) -> None:
    """What was decided where there is no Slack is shown on the message by the bot."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    elsewhere(bot).decide(approval.id, Answer(verdict=Verdict.APPROVE), who=RITA, where=Where.COMMAND_LINE)
    clock.forward(3)
    bot.sweeper.tick()
    shown = bob.wait_for_update(message)
    assert "Approved by rita" in shown.plain.replace("*", "")
    assert shown.buttons == []


def test_an_expiry_is_shown(ask: Ask, bot: Bot, bob: Somebody, clock: HandClock) -> None:
    """At the deadline the message says that nobody answered, and its buttons are gone."""
    ask(timeout=86_400)
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    clock.forward(86_400)
    bot.sweeper.tick()
    shown = bob.wait_for_update(message)
    assert "no one answered in 1 d" in shown.plain
    assert shown.buttons == []


def test_a_bot_that_died_after_the_record_is_made_up_for(
    ask: Ask, settings: Settings, store: Store, bob: Somebody, ledger: Ledger, clock: HandClock
) -> None:
    """A decision without any of its effects is settled by the next bot's first look at the store."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    ledger.update(approval.id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, approving(at=clock())))
    clock.forward(5)
    restarted = bootstrap(settings, store=store, clock=clock)
    restarted.sweeper.tick()
    assert "Approved" in bob.wait_for_update(message).plain
    assert ledger.read(approval.id).approval.settlement is not None
    assert restarted.stop(60)


def test_two_bots_do_no_harm_to_each_other(
    ask: Ask, bot: Bot, settings: Settings, store: Store, bob: Somebody, control: Control, clock: HandClock
) -> None:
    """Of two bots on one store and one workspace, one posts what was not posted, and the expiry stands once."""
    control.fault("chat.postMessage", status=503)
    approval = ask(timeout=60)
    other = bootstrap(settings, store=store, clock=clock)
    connect(other)
    for seconds in (10, 50, 5):
        clock.forward(seconds)
        bot.sweeper.tick()
        other.sweeper.tick()
    (message,) = [one for one in bob.messages(CHANNEL) if one.thread_ts in {"", one.ts}]
    assert "no one answered" in message.plain
    events = [entry.version.event for entry in bot.cases.ledger.verify(approval.id)]
    assert events == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.TIMED_OUT, TrailEvent.SETTLED]
    assert other.stop(60)


def test_the_thread_keeps_a_deadline(settings: Settings, store: Store, people: Driver, control: Control) -> None:
    """Started as `hitl-bot serve` starts it, by the real clock, the bot shows an expiry without being told to."""
    running = bootstrap(settings, store=store)
    running.start(Event())
    running.cases.ask(pathspec(), question(notifiers=("slack",), timeout=1), gate(), RITA)
    bob = people.as_("bob")
    bob.wait_for_message(CHANNEL, lambda one: "no one answered" in one.plain)
    assert running.stop(60)
