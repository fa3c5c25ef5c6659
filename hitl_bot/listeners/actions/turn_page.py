"""Next and Previous below a long list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.history import history
from hitl_bot.listeners.commands.listing import listing
from hitl_bot.listeners.commands.words import read_words
from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.messages.pages import turned_page

if TYPE_CHECKING:
    from slack_bolt import Ack, Respond

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def turn_page(ack: Ack, action: Json, body: Json, respond: Respond, cases: UseCases, people: SlackPeople) -> None:
    """Show another page of the list, as it stands now, in the place of this one."""
    ack()
    page, typed = turned_page(str(action.get("value", "")))
    words = read_words(typed)
    if words.verb == "history":
        shown = history(cases, words, page)
    else:
        shown = listing(cases, people, user_of(body), words, page)
    shown["replace_original"] = True
    respond(**shown)
