"""Which id that Slack sends goes to which callback: all of them."""

from __future__ import annotations

from slack_bolt import App

from hitl_bot.listeners import (
    answering,
    answering_many,
    confirming,
    delegating,
    errors,
    home,
    lists,
    looking,
    running_again,
)
from hitl_bot.listeners.slash_command import dispatcher, explain, remind
from metaflow_extensions.hitl.messages import action_ids

BUTTONS = {  # and menus, by action_id
    action_ids.APPROVE: answering.approve,
    **dict.fromkeys(action_ids.CHOOSE, answering.choose),
    action_ids.REJECT: answering.reject,
    action_ids.REQUEST_CHANGES: answering.request_changes,
    action_ids.APPROVE_ALL: answering_many.approve_all,
    action_ids.APPROVE_EXCEPT: answering_many.approve_except,
    action_ids.REJECT_ALL: answering_many.reject_all,
    action_ids.SHARDS_PREVIOUS: answering_many.choose_shards,
    action_ids.SHARDS_NEXT: answering_many.choose_shards,
    action_ids.TICK_ALL: answering_many.choose_shards,
    action_ids.UNTICK_ALL: answering_many.choose_shards,
    action_ids.DETAILS: looking.details,
    action_ids.OPEN: looking.follow_link,
    action_ids.PREVIOUS_PAGE: lists.turn_page,
    action_ids.NEXT_PAGE: lists.turn_page,
    action_ids.HOME_FLOW: home.choose_flow,
    action_ids.RUN_AGAIN: running_again.open_form,
    action_ids.CONFIRM_ANSWER: confirming.answer,
    action_ids.CONFIRM_RUN: confirming.run,
}
FORMS = {  # views with a Submit button, by callback_id
    action_ids.APPROVE_VIEW: answering.approval_submitted,
    action_ids.REJECT_VIEW: answering.rejection_submitted,
    action_ids.CHANGES_VIEW: answering.changes_submitted,
    action_ids.APPROVE_ALL_VIEW: answering_many.approval_submitted,
    action_ids.APPROVE_EXCEPT_VIEW: answering_many.choice_submitted,
    action_ids.REJECT_ALL_VIEW: answering_many.rejection_submitted,
    action_ids.RUN_AGAIN_VIEW: running_again.submitted,
}
MESSAGE_SHORTCUTS = {action_ids.WHY: looking.why}  # entries of a message's own menu, by callback_id
EVENTS = {"app_home_opened": home.opened}
COMMAND = "/hitl"
WORDS = {  # the first word after the command
    "": explain,
    "help": explain,
    "list": lists.list_open,
    "history": lists.history,
    "stats": lists.statistics,
    "delegate": delegating.delegate,
}
WORDS_WITH_ID = {  # likewise, followed by the ID of an approval
    "show": looking.show,
    "approve": answering.approve_typed,
    "reject": answering.reject_typed,
    "remind": remind,
}


def register(app: App) -> None:
    """Tie every callback to its id. What none of them handles is acknowledged in ``errors``."""
    for action_id, on_click in BUTTONS.items():
        app.action(action_id)(on_click)
    for callback_id, on_submit in FORMS.items():
        app.view(callback_id)(on_submit)
    for callback_id, on_choice in MESSAGE_SHORTCUTS.items():
        app.shortcut({"type": "message_action", "callback_id": callback_id})(on_choice)
    for event, on_event in EVENTS.items():
        app.event(event)(on_event)
    app.command(COMMAND)(dispatcher(WORDS, WORDS_WITH_ID))
    app.error(errors.answer_error)
