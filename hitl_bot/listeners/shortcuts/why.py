"""The entry "Why was this decided?" of a message's menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.opening import Opening
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.messages import views
from metaflow_extensions.hitl.messages.batch import gate_on_message
from metaflow_extensions.hitl.messages.batch_views import why_all_view
from metaflow_extensions.hitl.messages.question import asked_by_message

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.surfaces.batches import Batches
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


class AsksNothing(HitlError):
    """This message asks for no approval. Choose the entry on the message with the question, or write /hitl show ID."""


def why(ack: Ack, shortcut: Json, client: WebClient, cases: UseCases, workers: Executor, batches: Batches) -> None:
    """Show the trail of the approval that a message asks about, or how each gate of many stands.

    Whoever sees the message may see it.
    """
    ack()

    def look() -> Json:
        message = shortcut.get("message") or {}
        approval_id = asked_by_message(message) or gate_on_message(message)
        if approval_id is None:
            raise AsksNothing(str(AsksNothing.__doc__))
        try:
            trail = cases.ledger.trail(checked_id(approval_id))
        except NoSuchApproval:  # the metadata of a message that many gates share names the batch
            return why_all_view(batches.read(approval_id))
        batch_id = next((post.batch for post in trail[-1].approval.posts if post.batch), None)
        if batch_id is not None:
            return why_all_view(batches.read(batch_id))
        return views.why_view(trail[-1].approval, now=cases.clock(), trail=[entry.version for entry in trail])

    with Opening(client, shortcut, "Why?", workers) as opening:
        try:
            shown = opening.wait(look)
        except HitlError as error:
            shown = views.refused_view(error)
        opening.show(shown)
