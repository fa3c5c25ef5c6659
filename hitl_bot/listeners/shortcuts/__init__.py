"""Entries of a message's own menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.shortcuts.why import why
from metaflow_extensions.hitl.messages import action_ids

if TYPE_CHECKING:
    from slack_bolt import App


def register(app: App) -> None:
    """Tie the callback to its callback id."""
    app.shortcut({"type": "message_action", "callback_id": action_ids.WHY})(why)
