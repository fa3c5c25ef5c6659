"""The menu of the Home tab that chooses a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.messages.home import ALL_FLOWS

if TYPE_CHECKING:
    from slack_bolt import Ack

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.surfaces.home import HomeTabs


def choose_flow(ack: Ack, action: Json, body: Json, homes: HomeTabs) -> None:
    """Show one flow, or all."""
    ack()
    flow = str((action.get("selected_option") or {}).get("value", ALL_FLOWS))
    homes.choose(user_of(body), None if flow == ALL_FLOWS else flow)
