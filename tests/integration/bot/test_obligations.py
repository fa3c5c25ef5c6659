"""A yes with an obligation, as people in Slack meet it."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.driver import Closed, Errors, Message, Person, Updated
from hitl_bot.settings import Settings
from hitl_bot.surfaces.obligations import OwnerReminders
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, FollowUpKind
from tests.fixtures.approvals import HandClock
from tests.integration.bot.conftest import CHANNEL, Ask

PAGE = Path(__file__).parents[3] / "docs" / "evidence.md"
OWED = {"What is owed": "Compare it with last year's.", "Owner": "U0CAROL", "Due date": "2026-03-06"}


@pytest.fixture
def approved(ask: Ask, bob: Person, ledger: Ledger) -> Approval:
    """Bob has approved, and carol owes a comparison until Friday, March 6th."""
    asked = ask(obligations=True)
    view = bob.open(bob.wait_for_message(CHANNEL), "Approve…")
    assert isinstance(view.fill(OWED).submit(), Closed)
    return ledger.read(asked.id).approval


def sweep(*bots: Bot) -> None:
    """Let bots look, and wait until they have."""
    for bot in bots:
        bot.sweeper.tick()
        owners = next(one for one in bot.sweeper._subscribers if isinstance(one, OwnerReminders))
        while owners._job.is_busy:
            bot.executors[1].submit(lambda: None).result(60)


def at(clock: HandClock, day: int, hour: int) -> None:
    """Set the clock to an hour of March 2026, UTC; carol lives five hours west of it."""
    clock.now = datetime(2026, 3, day, hour, 30, tzinfo=timezone.utc)


def reminders(person: Person) -> list[Message]:
    return [one for one in person.messages(person.id) if "What you owe" in one.plain]


def test_the_message_and_the_record_have_the_obligation(approved: Approval, bob: Person) -> None:
    """Who owes what, by when."""
    (owed,) = approved.obligations
    assert (owed.text, owed.owner.id, owed.due) == ("Compare it with last year's.", "U0CAROL", "2026-03-06")
    message = bob.control.wait_until(
        lambda: next((one for one in bob.messages(CHANNEL) if "Owed with this approval" in one.plain), None), what="it"
    )
    assert "carol: “Compare it with last year's.”, due 2026-03-06" in message.plain


@pytest.mark.parametrize(
    ("entered", "label"),
    [
        ({"What is owed": "Look again."}, "Due date"),
        ({"Due date": "2026-03-06"}, "What is owed"),
        ({"What is owed": "Look again.", "Due date": "2026-03-01"}, "Due date"),
    ],
)
def test_an_incomplete_obligation_stands_at_its_input(
    ask: Ask, bob: Person, ledger: Ledger, entered: dict[str, str], label: str
) -> None:
    """Nothing is approved until it is complete, or left out."""
    asked = ask(obligations=True)
    view = bob.open(bob.wait_for_message(CHANNEL), "Approve…")
    refused = view.fill(entered).submit()
    assert isinstance(refused, Errors)
    assert list(refused.by_label) == [label]
    assert ledger.read(asked.id).approval.decision is None


def test_without_one_the_form_just_approves(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """The inputs are optional."""
    asked = ask(obligations=True)
    assert isinstance(bob.open(bob.wait_for_message(CHANNEL), "Approve…").submit(), Closed)
    decision = ledger.read(asked.id).approval.decision
    assert decision is not None
    assert decision.obligation is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('owes="Look again." due=2026-03-01', "2026-03-01 has passed"),
        ('owes="Look again."', "An obligation needs a text and a day"),
        ("due=2026-03-06", "due and owner go with owes"),
        ("owes=x due=2026-03-06 owner=nobody", "No one in Slack matches 'nobody'"),
        ("notes=x", "doesn't need input"),
    ],
)
def test_one_that_is_typed_incompletely_is_refused(
    ask: Ask, bob: Person, ledger: Ledger, words: str, said: str
) -> None:
    """Nothing is decided, and the reply says what to type."""
    asked = ask()
    assert said in bob.command(f"/hitl approve {asked.id} {words}")[0].plain
    assert ledger.read(asked.id).approval.decision is None


def test_one_that_is_typed(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """`/hitl approve ID owes=… due=… owner=…` takes it on; it needs no form, and no input."""
    asked = ask(obligations=True)
    bob.command(f"/hitl approve {asked.id} owes=“Look again.” due=2026-03-06 owner=<@U0CAROL|carol>")
    (owed,) = ledger.read(asked.id).approval.obligations
    assert (owed.text, owed.owner.id, owed.due) == ("Look again.", "U0CAROL", "2026-03-06")


def test_the_command_of_the_page_takes_one_on(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """As docs/evidence.md writes it, but for the ID and the owner's name."""
    asked = ask(obligations=True)
    (written,) = re.findall(r"^/hitl approve ID owes=.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    bob.command(written.replace("ID", asked.id).replace("@rita", "@carol"))
    (owed,) = ledger.read(asked.id).approval.obligations
    assert (owed.text, owed.owner.id, owed.due) == ("Compare it with last year's.", "U0CAROL", "2026-12-31")


def test_the_owner_is_reminded_once_a_day_from_the_day_on(
    approved: Approval, bot: Bot, carol: Person, clock: HandClock, settings: Settings, store: Store, ledger: Ledger
) -> None:
    """From nine o'clock where they live, by one of two bots, seven times at most; the trail has each.

    A clock that was a year ahead for a moment costs one reminder, and no silence afterwards.
    """
    other = bootstrap(settings, store=store, clock=clock)
    at(clock, 6, 13)  # half past eight in New York
    sweep(bot, other)
    assert reminders(carol) == []
    at(clock, 6, 14)
    sweep(bot, other)
    (message,) = reminders(carol)
    assert "What you owe is due today" in message.plain
    assert approved.id in message.plain
    at(clock, 6, 23)
    sweep(other, bot)
    assert len(reminders(carol)) == 1
    clock.now = datetime(2027, 3, 6, 15, 30, tzinfo=timezone.utc)
    sweep(bot)
    assert len(reminders(carol)) == 2
    at(clock, 7, 15)
    sweep(bot)
    assert len(reminders(carol)) == 3
    for day in range(8, 17):
        at(clock, day, 15)
        sweep(other, bot)
    assert len(reminders(carol)) == 7
    assert "was due on 2026-03-06" in reminders(carol)[-1].plain
    follow_ups = ledger.read(approved.id).approval.follow_ups
    assert [one.kind for one in follow_ups] == [FollowUpKind.REMINDED] * 7
    ledger.verify(approved.id)
    assert other.stop(60)


def test_done_closes_it_with_a_word(
    approved: Approval, bot: Bot, carol: Person, alice: Person, bob: Person, clock: HandClock, ledger: Ledger
) -> None:
    """The list has a button; what is written is in the record and in the thread, and nobody is reminded."""
    bot.sweeper.tick()
    (mine,) = carol.command("/hitl obligations")
    assert "1 open obligation" in mine.plain
    assert "You owe nothing." in bob.command("/hitl obligations")[0].plain
    (everything,) = bob.command("/hitl obligations all")
    assert "Compare it with last year's." in everything.plain
    view = carol.open(mine, "Done…")
    ended = view.fill({"What was done": "Same as last year."}).submit()
    assert isinstance(ended, Updated)
    closed = ledger.read(approved.id).approval
    assert closed.open_obligations == {}
    assert closed.follow_ups[-1].comment == "Same as last year."
    at(clock, 6, 14)
    sweep(bot)
    assert reminders(carol) == []
    message = next(one for one in bob.messages(CHANNEL) if approved.id in one.plain)

    def told() -> bool:
        bot.sweeper.tick()
        return any("closed the obligation" in one.plain for one in message.thread)

    bob.control.wait_until(told, what="the line in the thread")
    assert "You owe nothing." in carol.command("/hitl obligations")[0].plain


def test_somebody_else_can_t_close_it(approved: Approval, bot: Bot, alice: Person, ledger: Ledger) -> None:
    """The view says whose it is, and the record is as it was."""
    (everything,) = alice.command("/hitl obligations all")
    ended = alice.open(everything, "Done…").fill({"What was done": "I did it."}).submit()
    assert isinstance(ended, Updated)
    assert "Only carol" in ended.view.plain
    assert ledger.read(approved.id).approval.follow_ups == ()
