"""The Home tab: it is opened, and its menu chooses a flow."""

from __future__ import annotations

from slack_bolt import Ack

from hitl_bot.listeners.payloads import Json, user_of
from hitl_bot.surfaces.home import HomeTabs
from metaflow_extensions.hitl.messages.home import ALL_FLOWS


def opened(ack: Ack, event: Json, homes: HomeTabs) -> None:
    """Show the inbox. The event also comes when the tab with the messages is opened."""
    ack()
    if event.get("tab") == "home":
        homes.open(str(event["user"]))


def choose_flow(ack: Ack, action: Json, body: Json, homes: HomeTabs) -> None:
    """Show one flow, or all."""
    ack()
    flow = str((action.get("selected_option") or {}).get("value", ALL_FLOWS))
    homes.choose(user_of(body), None if flow == ALL_FLOWS else flow)
