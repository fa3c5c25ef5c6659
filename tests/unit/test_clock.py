"""The bot's clock and the opinions of others about it."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime

import pytest

from hitl_bot.clock import CheckedClock
from hitl_bot.telemetry.metrics import Metrics
from tests.fixtures.approvals import NOW, HandClock


def headers(ahead: float) -> dict[str, str]:
    return {"Date": format_datetime(NOW + timedelta(seconds=ahead), usegmt=True)}


def told(**heard: float) -> CheckedClock:
    clock = CheckedClock(HandClock())
    for source, ahead in heard.items():
        for _ in range(3):
            clock.hear(source, headers(ahead))
    return clock


def now_after(**heard: float) -> datetime:
    return told(**heard)()


@pytest.mark.parametrize("wrong", [-600, -11, 11, 600])
def test_a_clock_that_others_contradict_is_corrected(wrong: float) -> None:
    """Slack alone, or Slack and the store together, put the clock right, in both directions."""
    assert now_after(slack=wrong) == now_after(slack=wrong, store=wrong) == NOW + timedelta(seconds=wrong)


def test_a_few_seconds_change_nothing() -> None:
    """What an answer takes on its way is no reason to move the clock."""
    assert now_after(slack=8, store=-8) == NOW


def test_one_answer_is_not_enough() -> None:
    """A single answer moves nothing, and neither do answers that contradict each other."""
    clock = CheckedClock(HandClock())
    clock.hear("slack", headers(600))
    assert clock() == NOW
    clock.hear("slack", headers(-600))
    assert clock() == NOW


def test_where_the_others_disagree_the_machine_is_right() -> None:
    """A store whose clock is wrong moves no deadline while Slack agrees with the machine, and the other way round."""
    assert now_after(slack=0, store=600) == now_after(slack=600, store=0) == now_after(slack=600, store=-600) == NOW


@pytest.mark.parametrize(
    "said",
    [{}, {"Date": "yesterday"}, {"Date": ""}, {**headers(600), "Age": "600"}],
    ids=["none", "words", "empty", "cached"],
)
def test_what_says_nothing_is_passed_over(said: dict[str, str]) -> None:
    """An answer without a date, with a broken one, or from a cache, moves nothing."""
    clock = CheckedClock(HandClock())
    for _ in range(3):
        clock.hear("slack", said)
    assert clock() == NOW


def test_a_clock_that_was_set_is_believed_again() -> None:
    """Once the machine's clock is right the bot uses it, without a restart."""
    clock = told(slack=600)
    for _ in range(5):
        clock.hear("slack", headers(1))
    assert clock() == NOW


def test_the_metric_says_how_wrong_it_is() -> None:
    """Ten minutes behind is -600 seconds of error."""
    metrics = Metrics(told(slack=600), lambda: 0)
    assert metrics.registry.get_sample_value("hitl_clock_error_seconds") == -600
