"""/hitl and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.hitl import hitl

if TYPE_CHECKING:
    from slack_bolt import App

COMMAND = "/hitl"


def register(app: App) -> None:
    """Tie the callback to the command."""
    app.command(COMMAND)(hitl)
