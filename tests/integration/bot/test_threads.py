"""The thread below a question: the trail of its answers."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from hitl_bot.bootstrap import Bot, bootstrap
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask

if TYPE_CHECKING:
    from hitl_bot.sandbox.control import Control
    from hitl_bot.sandbox.driver import Message, Person
    from hitl_bot.settings import Settings
    from metaflow_extensions.hitl.approvals.ports import Store
    from tests.fixtures.approvals import HandClock


def replies(person: Person, message: Message, count: int = 1) -> list[str]:
    """Wait for so many replies, and return all that there are."""

    def look() -> list[Message] | None:
        thread = message.thread
        return thread if len(thread) >= count else None

    found: list[Message] = person.control.wait_until(look, 10, f"{count} replies")
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
    assert replies(bob, message) == ["Expired and rejected, nobody answered in 1 min"]


def test_each_line_is_written_once(
    ask: Ask, bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock, control: Control
) -> None:
    """Two bots, and one that starts afresh and reads the tail again, write one line together."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    other = bootstrap(settings, store=store, clock=clock)
    other.connection.open(Event())
    bob.command(f"/hitl approve {approval.id}")
    for one in (bot, other, bot, other):
        one.sweeper.tick()
    replies(bob, message)
    assert other.stop(5)
    late = bootstrap(settings, store=store, clock=clock)
    late.sweeper.tick()
    late.sweeper.tick()
    assert late.stop(5)
    assert len(replies(bob, message)) == 1


def test_a_line_that_fails_holds_up_nothing(
    ask: Ask, bot: Bot, bob: Person, clock: HandClock, control: Control
) -> None:
    """A line that Slack does not take is no reason to lose the decision: it is settled, and the bot goes on."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    control.fault("chat.postMessage", error="fatal_error")
    bob.command(f"/hitl approve {approval.id}")
    bot.sweeper.tick()
    bot.sweeper.tick()
    assert bot.cases.ledger.read(approval.id).approval.settlement is not None
    assert message.refresh().buttons == []
