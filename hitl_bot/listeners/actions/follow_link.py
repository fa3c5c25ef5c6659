"""The Open button of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slack_bolt import Ack


def follow_link(ack: Ack) -> None:
    """Slack opens the link itself, and still wants its ack."""
    ack()
