"""A bot whose machine's clock is ten minutes off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.clock import CheckedClock, utc_now
from hitl_bot.doctor.checks import Health, check_clock
from hitl_bot.sandbox.driver import Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.approvals.transitions import request
from tests.fixtures.approvals import REQUESTER, gate, pathspec, question
from tests.integration.bot.conftest import CHANNEL

OFF = [timedelta(minutes=-10), timedelta(minutes=10)]
ID = pathspec().approval_id


@pytest.fixture(params=OFF, ids=["behind", "ahead"])
def off(request: pytest.FixtureRequest) -> timedelta:
    return request.param  # type: ignore[no-any-return] # one of OFF


@pytest.fixture
def bot(settings: Settings, store: Store, off: timedelta) -> Iterator[Bot]:
    """A bot that has heard from Slack, as every bot has that is connected: twice, for its two connections."""
    running = bootstrap(settings, store=store, clock=CheckedClock(lambda: utc_now() + off))
    running.transport.open(Event())
    for connecting in running.transport._connecting:  # type: ignore[attr-defined] # Socket Mode's
        connecting.join(60)
    yield running
    assert running.stop(60)


def test_questions_are_posted_and_answers_taken(bot: Bot, store: Store, bob: Person) -> None:
    """A question with five minutes left that a run could not post is posted at once, and a click on it counts."""
    asked = request(
        pathspec(), question(notifiers=("slack",), timeout=300), gate(), REQUESTER, utc_now() - timedelta(seconds=30)
    )
    Ledger(store).begin(asked)
    bot.sweeper.tick()
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    bob.control.wait_until(lambda: Ledger(store).read(ID).approval.state is State.APPROVED, what="an approval")
    decision = Ledger(store).read(ID).approval.decision
    assert decision is not None
    assert abs(decision.at - utc_now()) < timedelta(seconds=60)


def test_the_doctor_says_how_wrong_the_clock_is(settings: Settings, off: timedelta) -> None:
    """Which way, by how much, who says so, and what to do."""
    finding = check_clock(settings, system=lambda: utc_now() + off)
    way = "behind" if off < timedelta() else "ahead of"
    assert finding.health is Health.BAD
    assert finding.detail.startswith("this machine's clock is ")
    assert finding.detail.endswith(f"s {way} Slack")
    assert "Set it" in finding.fix
