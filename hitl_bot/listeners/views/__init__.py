"""Submitted forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.views.approve import approve
from hitl_bot.listeners.views.approve_all import approve_all
from hitl_bot.listeners.views.approve_except import approve_except
from hitl_bot.listeners.views.reject import reject
from hitl_bot.listeners.views.reject_all import reject_all
from hitl_bot.listeners.views.request_changes import request_changes
from hitl_bot.listeners.views.run_again import run_again
from metaflow_extensions.hitl.messages import action_ids

if TYPE_CHECKING:
    from slack_bolt import App


def register(app: App) -> None:
    """Tie the callbacks to their callback ids."""
    app.view(action_ids.APPROVE_VIEW)(approve)
    app.view(action_ids.REJECT_VIEW)(reject)
    app.view(action_ids.CHANGES_VIEW)(request_changes)
    app.view(action_ids.RUN_AGAIN_VIEW)(run_again)
    app.view(action_ids.APPROVE_ALL_VIEW)(approve_all)
    app.view(action_ids.APPROVE_EXCEPT_VIEW)(approve_except)
    app.view(action_ids.REJECT_ALL_VIEW)(reject_all)
