"""What Slack tells without being asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.events.app_home_opened import app_home_opened

if TYPE_CHECKING:
    from slack_bolt import App

EVENTS = ("app_home_opened",)


def register(app: App) -> None:
    """Tie the callback to its event."""
    app.event("app_home_opened")(app_home_opened)
