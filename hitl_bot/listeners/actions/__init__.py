"""Clicks on buttons and menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.actions.approve import approve
from hitl_bot.listeners.actions.approve_all import approve_all
from hitl_bot.listeners.actions.approve_except import approve_except
from hitl_bot.listeners.actions.choose_flow import choose_flow
from hitl_bot.listeners.actions.choose_shards import choose_shards
from hitl_bot.listeners.actions.details import details
from hitl_bot.listeners.actions.follow_link import follow_link
from hitl_bot.listeners.actions.reject import reject
from hitl_bot.listeners.actions.reject_all import reject_all
from hitl_bot.listeners.actions.request_changes import request_changes
from hitl_bot.listeners.actions.run_again import run_again
from hitl_bot.listeners.actions.turn_page import turn_page
from metaflow_extensions.hitl.messages import action_ids

if TYPE_CHECKING:
    from slack_bolt import App


def register(app: App) -> None:
    """Tie the callbacks to their action ids."""
    app.action(action_ids.APPROVE)(approve)
    app.action(action_ids.REJECT)(reject)
    app.action(action_ids.REQUEST_CHANGES)(request_changes)
    app.action(action_ids.RUN_AGAIN)(run_again)
    app.action(action_ids.DETAILS)(details)
    app.action(action_ids.OPEN)(follow_link)
    app.action(action_ids.PREVIOUS_PAGE)(turn_page)
    app.action(action_ids.NEXT_PAGE)(turn_page)
    app.action(action_ids.HOME_FLOW)(choose_flow)
    app.action(action_ids.APPROVE_ALL)(approve_all)
    app.action(action_ids.APPROVE_EXCEPT)(approve_except)
    app.action(action_ids.REJECT_ALL)(reject_all)
    app.action(action_ids.SHARDS_PREVIOUS)(choose_shards)
    app.action(action_ids.SHARDS_NEXT)(choose_shards)
    app.action(action_ids.TICK_ALL)(choose_shards)
    app.action(action_ids.UNTICK_ALL)(choose_shards)
