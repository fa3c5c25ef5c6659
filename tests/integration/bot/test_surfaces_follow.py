"""What people see follows the record, whatever was lost between the two."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from slack_sdk import WebClient

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.listeners.answering import APPROVED
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Message, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.errors import NotifierUnavailable, StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import EngineKind, State, Where
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from tests.fixtures.approvals import BOB, REQUESTER, Directory, HandClock, gate, pathspec, question
from tests.fixtures.slack import work_until
from tests.integration.bot.conftest import CHANNEL
from tests.integration.bot.test_batches import ask_shards, shown, sweep, top, wait_for_states
from tests.integration.bot.test_threads import replies

Interventions = list[Callable[[str, str], None]]


@pytest.fixture
def elsewhere(slack: WebClient, store: Store, clock: HandClock) -> UseCases:
    """What asks and answers beside the bot: a run or a command line with the same token."""
    return UseCases(
        Ledger(store),
        engines={EngineKind.LOCAL: LocalEngine()},
        notifiers={"slack": SlackNotifier(slack, default_channel=CHANNEL, clock=clock)},
        people=Directory(),
        check_input=validate,
        clock=clock,
        batched={"slack"},
    )


def unnoted(request: str, key: str) -> None:
    """Let nobody note where a question was posted."""
    if request == "create" and key.endswith("/00002.json"):
        raise StoreUnavailable(key)


@pytest.fixture
def unnoted_message(elsewhere: UseCases, bob: Person, interventions: Interventions) -> Message:
    """The message of somebody who posted a question elsewhere and died before noting that."""
    interventions.append(unnoted)
    with pytest.raises(StoreUnavailable):
        elsewhere.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER)
    interventions.clear()
    return bob.wait_for_message(CHANNEL)


def is_settled(ledger: Ledger, approval_id: str) -> bool:
    return ledger.read(approval_id).approval.settlement is not None


def test_all_are_approved_before_their_records_know_the_message(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, interventions: Interventions
) -> None:
    """Gates answered between the message and noting it in their records are shown as answered, each with its line."""
    asked = ask_shards(bot, 6)
    interventions.append(unnoted)
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "6 shards wait" in one.plain)
    interventions.clear()
    bob.click(message, "Approve all", confirm="Approve all")
    wait_for_states(bot, clock, asked, State.APPROVED)
    work_until(bot, clock, lambda: all(is_settled(ledger, one.id) for one in asked))
    message = shown(bot, clock, bob, lambda one: "All 6 shards are answered" in one.plain)
    assert message.buttons == []
    assert {ledger.read(one.id).approval.posts[0].ts for one in asked} == {message.ts}
    work_until(bot, clock, lambda: message.thread, "the line")
    (line,) = replies(bob, message)
    assert all(one.id in line for one in asked)


def test_settled_once_the_shared_message_shows_it(
    bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock, ledger: Ledger, control: Control
) -> None:
    """While a shared message can't be updated its gates stay unsettled, so that a bot that starts later shows them."""
    asked = ask_shards(bot, 5)
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "5 shards wait" in one.plain)
    control.fault("chat.update", error="fatal_error", times=100)
    bob.click(message, "Approve all", confirm="Approve all")
    wait_for_states(bot, clock, asked, State.APPROVED)
    for _ in range(6):
        bot.sweeper.tick()
        clock.forward(1)
    assert not any(is_settled(ledger, one.id) for one in asked)
    control.clear_faults()
    clock.forward(600)
    fresh = bootstrap(settings, store=store, clock=clock)
    work_until(fresh, clock, lambda: all(is_settled(ledger, one.id) for one in asked))
    assert "All 5 shards are answered" in message.refresh().plain
    assert message.refresh().buttons == []
    assert fresh.stop(60)


def test_a_command_line_leaves_a_shared_message_to_the_bot(
    bot: Bot, elsewhere: UseCases, bob: Person, clock: HandClock, ledger: Ledger
) -> None:
    """One shard answered from a terminal with the token: the others keep their buttons, and the bot shows the one."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "4 shards wait" in one.plain)
    outcome = elsewhere.decide(asked[1].id, APPROVED, who=BOB, where=Where.COMMAND_LINE)
    assert [type(error) for error in outcome.pending] == [NotifierUnavailable]
    assert "4 shards wait" in message.refresh().plain
    work_until(bot, clock, lambda: is_settled(ledger, asked[1].id))
    message = shown(bot, clock, bob, lambda one: "3 of 4 shards wait" in one.plain)
    assert "Approve all" in message.buttons


def test_a_message_that_nobody_noted_shows_the_answer(
    bot: Bot, unnoted_message: Message, bob: Person, ledger: Ledger
) -> None:
    """Who asked died before noting the message, and somebody decides elsewhere: the message shows it."""
    bob.command(f"/hitl approve {pathspec().approval_id}")
    bob.control.wait_until(lambda: unnoted_message.refresh().plain.count("Approved"), what="the answer on the message")
    assert unnoted_message.refresh().buttons == []
    bob.control.wait_until(lambda: is_settled(ledger, pathspec().approval_id), what="the settlement")


def test_two_that_post_at_once_leave_one_message(
    bot: Bot, elsewhere: UseCases, bob: Person, ledger: Ledger, interventions: Interventions
) -> None:
    """Where a run and the bot post the same question at the same moment, the one that comes second takes it back."""
    approval_id = pathspec().approval_id

    def another_posts(request: str, key: str) -> None:
        if request == "create" and key.endswith("/00002.json"):
            interventions.clear()
            bot.cases.post(ledger.read(approval_id))

    interventions.append(another_posts)
    # Neither looks for a message of the other's: both are young enough to be the first.
    elsewhere.ask(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER)
    bob.control.wait_until(lambda: len(top(bob)) == 1, what="one message")
    (message,) = top(bob)
    assert ledger.read(approval_id).approval.posts[0].ts == message.ts


def test_a_click_tells_where_the_message_is(
    bot: Bot, unnoted_message: Message, bob: Person, ledger: Ledger, control: Control
) -> None:
    """Where the bot may not read the channel, the message that nobody noted is known by the click on it."""
    control.fault("conversations.history", error="missing_scope", times=100)
    bob.click(unnoted_message, "Approve", confirm="Approve")
    bob.control.wait_until(lambda: unnoted_message.refresh().plain.count("Approved"), what="the answer on the message")
    assert unnoted_message.refresh().buttons == []
    assert ledger.read(pathspec().approval_id).approval.posts[0].ts == unnoted_message.ts


def test_a_second_message_goes_with_the_first_click(
    bot: Bot, unnoted_message: Message, bob: Person, ledger: Ledger
) -> None:
    """A message that the record doesn't name decides nothing: a click says where to answer, and removes it."""
    bot.cases.post(ledger.read(pathspec().approval_id))  # the bot is young enough to be the first, and does not look
    bob.control.wait_until(lambda: len(top(bob)) == 2, what="two messages")
    bob.click(unnoted_message, "Approve", confirm="Approve")
    assert "is not on the message" in bob.wait_for_ephemeral(CHANNEL).plain
    bob.control.wait_until(lambda: len(top(bob)) == 1, what="one message")
    assert ledger.read(pathspec().approval_id).approval.state is State.PENDING
