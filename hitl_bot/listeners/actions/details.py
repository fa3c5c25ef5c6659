"""The menu beside the buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.asked import asked, refresh_if_stale
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import is_home
from metaflow_extensions.hitl.messages import answers, views
from metaflow_extensions.hitl.messages.action_ids import COPY_COMMAND, overflow_choice

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def details(
    ack: Ack, action: Json, body: Json, client: WebClient, respond: Respond, cases: UseCases, workers: Executor
) -> None:
    """Show everything about the approval, or the command that answers from a terminal."""
    ack()
    choice, approval_id = overflow_choice(str((action.get("selected_option") or {}).get("value", "")))
    if choice == COPY_COMMAND and not is_home(body):  # there nothing can be answered with but a view, which has it too
        respond(**answers.command(asked(cases, approval_id, body).approval))
        return

    def look() -> list[Entry]:
        asked(cases, approval_id, body)
        return cases.ledger.trail(approval_id)

    with Opening(client, body, "Details", workers) as opening:
        trail = opening.wait(look)
        opening.show(
            views.details_view(trail[-1].approval, now=cases.clock(), trail=[entry.version for entry in trail])
        )
        refresh_if_stale(cases, trail[-1].approval, body)
