"""What people do in Slack. One callback a file: ack, translate, one use case, answer.

Bolt hands a callback what it asks for by argument name; ``context.py`` adds the bot's own parts to what Bolt knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners import actions, commands, errors, events, shortcuts, views

if TYPE_CHECKING:
    from slack_bolt import App


def register(app: App) -> None:
    """Tie every callback to what it listens to. Whatever none of them handles is acknowledged in ``errors``."""
    actions.register(app)
    views.register(app)
    commands.register(app)
    shortcuts.register(app)
    events.register(app)
    errors.register(app)
