"""Keeping a message that many gates share, and the thread below it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
import structlog

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Person
from metaflow_extensions.hitl.approvals.ledger import Ledger
from tests.fixtures.approvals import HandClock
from tests.fixtures.slack import work_until
from tests.integration.bot.test_batches import ask_shards, shown, sweep

HOUR = 3_600


def tick(bot: Bot, clock: HandClock, seconds: int) -> None:
    for _ in range(seconds):
        bot.sweeper.tick()
        clock.forward(1)


def test_twelve_shards_ring_once_a_period(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, noted: Callable[[str], Event]
) -> None:
    """Each record has its reminder, and the thread has one for all, also where some come due a little later."""
    asked = ask_shards(bot, 8, remind_every=HOUR, approvers=("U0BOB",))
    sweep(bot, clock)
    tick(bot, clock, 60)
    asked += ask_shards(bot, 4, first=8, remind_every=HOUR, approvers=("U0BOB",))
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "12 shards wait" in one.plain)
    said = noted(f"said/{asked[-1].id}")
    clock.forward(HOUR - 60)
    work_until(bot, clock, said.is_set)
    tick(bot, clock, 5)
    (reminder,) = message.thread
    assert reminder.mentions == ["<@U0BOB>"]
    assert [len(ledger.read(one.id).approval.reminders) for one in asked] == [1] * 12
    said = noted(f"said/{asked[-1].id}")
    clock.forward(HOUR)
    work_until(bot, clock, said.is_set)
    tick(bot, clock, 5)
    assert len(message.thread) == 2


@pytest.mark.parametrize(("code", "advice"), [("fatal_error", "slack-status.com"), ("ratelimited", "nothing to fix")])
def test_an_update_that_fails_comes_later(
    bot: Bot, bob: Person, clock: HandClock, control: Control, code: str, advice: str
) -> None:
    """The message shows in the end how its gates stand; the operator is told once."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    message = shown(bot, clock, bob, bool)
    if code == "ratelimited":
        control.ratelimit("chat.update", retry_after=1, times=2)
    else:
        control.fault("chat.update", error=code, times=2)
    with structlog.testing.capture_logs() as log:
        bob.command(f"/hitl approve {asked[0].id}")
        work_until(bot, clock, lambda: "3 of 4 shards wait" in message.refresh().plain)
    told = [one["why"] for one in log if one["log_level"] == "error"]
    assert [advice in one for one in told] == [True]


def test_an_update_that_is_refused_is_told(bot: Bot, bob: Person, clock: HandClock, control: Control) -> None:
    """A message that an operator has to unlock is theirs to know of, once; it shows the answer as soon as it can."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    message = shown(bot, clock, bob, bool)
    control.fault("chat.update", error="is_archived", times=100)
    with structlog.testing.capture_logs() as log:
        bob.command(f"/hitl approve {asked[0].id}")
        work_until(bot, clock, lambda: any("Unarchive it" in str(one.get("why")) for one in log))
    assert len([one for one in log if one["log_level"] == "error"]) == 1
    assert bot.cases.ledger.read(asked[0].id).approval.settlement is None
    control.clear_faults()
    clock.forward(HOUR)
    work_until(bot, clock, lambda: bot.cases.ledger.read(asked[0].id).approval.settlement)
    assert "3 of 4 shards wait" in message.refresh().plain
