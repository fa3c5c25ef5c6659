"""The Request changes… button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.asked import asked, refresh_if_stale
from hitl_bot.listeners.forms import changes_form
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import user_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.people import SlackPeople
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def request_changes(
    ack: Ack, action: Json, body: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
) -> None:
    """Ask what must change."""
    ack()

    def look() -> tuple[Entry, Json]:
        entry = asked(cases, action.get("value"), body)
        return entry, changes_form(cases, entry.approval, people, user_of(body))

    with Opening(client, body, "Request changes", workers) as opening:
        entry, form = opening.wait(look)
        opening.show(form)
        refresh_if_stale(cases, entry.approval, body)
