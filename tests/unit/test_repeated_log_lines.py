"""What Slack's libraries write again and again while Slack is away."""

from __future__ import annotations

import logging
from itertools import count

from hitl_bot.telemetry.logs import Outage, Repeated


def line(logger: str, text: str) -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "client.py", 1, text, None, None)


def test_no_line_of_theirs_is_written_while_slack_is_away() -> None:
    """The bot has said that Slack is away, so that what its libraries say of it is left out until it is back."""
    repeated, outage = Repeated(), Outage(dict, monotonic=count(step=10).__next__)
    for _ in range(2):
        outage.no_answer("chat.update", "URLError")
    assert not repeated.filter(line("slack_sdk.web.base_client", "Failed to send a request"))
    assert repeated.filter(line("hitl_bot", "slack is away"))
    outage.answered()
    assert repeated.filter(line("slack_sdk.web.base_client", "Failed to send a request"))


def test_a_kind_of_line_is_written_once_in_ten_minutes() -> None:
    """What differs in a number only is the same; another library's line, and the bot's own, are not held back."""
    now = [0.0]
    repeated = Repeated(lambda: now[0])
    assert repeated.filter(line("slack_bolt.App", "Failed to connect (attempt 1)"))
    assert not repeated.filter(line("slack_bolt.App", "Failed to connect (attempt 22)"))
    assert repeated.filter(line("slack_bolt.App", "Closed"))
    assert repeated.filter(line("hitl_bot", "questions can't be shown"))
    assert repeated.filter(line("hitl_bot", "questions can't be shown"))
    now[0] = 600.0
    assert repeated.filter(line("slack_bolt.App", "Failed to connect (attempt 300)"))
