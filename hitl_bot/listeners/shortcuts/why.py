"""The entry "Why was this decided?" of a message's menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.opening import Opening
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.messages import views
from metaflow_extensions.hitl.messages.question import asked_by_message

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


class AsksNothing(HitlError):
    """This message asks for no approval. Choose the entry on the message with the question, or write /hitl show ID."""


def why(ack: Ack, shortcut: Json, client: WebClient, cases: UseCases, workers: Executor) -> None:
    """Show the trail of the approval that a message asks about. Whoever sees the message may see it."""
    ack()

    def look() -> list[Entry]:
        approval_id = asked_by_message(shortcut.get("message") or {})
        if approval_id is None:
            raise AsksNothing(str(AsksNothing.__doc__))
        return cases.ledger.trail(checked_id(approval_id))

    with Opening(client, shortcut, "Why?", workers) as opening:
        try:
            trail = opening.wait(look)
        except HitlError as error:
            opening.show(views.refused_view(error))
            return
        shown = [entry.version for entry in trail]
        opening.show(views.why_view(trail[-1].approval, now=cases.clock(), trail=shown))
