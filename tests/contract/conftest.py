"""A Slack notifier at the sandbox, with waits that take no time."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from hitl_bot.sandbox.control import Control
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.notifiers.slack.notifier import SlackNotifier
from tests.fixtures.approvals import NOW, HandClock, after, approving

CHANNEL = "#ml-approvals"
CHANNEL_ID = "C0APPROVALS"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that a notifier waited, one entry a wait; none of them passes."""
    return []


@pytest.fixture
def slack_notifier(slack: WebClient, control: Control, clock: HandClock, waits: list[float]) -> SlackNotifier:
    control.set_clock(NOW.timestamp())
    pace = Pace(lambda: clock().timestamp())

    def wait(seconds: float) -> None:
        waits.append(round(seconds, 3))
        clock.forward(seconds)

    return SlackNotifier(slack, default_channel=CHANNEL, clock=clock, pace=pace, wait=wait)


def decided(asked: Approval) -> Approval:
    return transitions.settle(
        transitions.decide(asked, approving(at=after(180), input={"target": "staging"})), after(180)
    )
