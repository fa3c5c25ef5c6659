"""Somebody opens the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slack_bolt import Ack

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.surfaces.home import HomeTabs


def app_home_opened(ack: Ack, event: Json, homes: HomeTabs) -> None:
    """Show the inbox. The event also comes when the tab with the messages is opened."""
    ack()
    if event.get("tab") == "home":
        homes.open(str(event["user"]))
