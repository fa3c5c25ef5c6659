"""The Approve all button of a message that many gates share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.actions.opening_a_batch import governed, opens
from hitl_bot.listeners.answering_all import answer_all
from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages.batch_views import approve_all_view
from metaflow_extensions.hitl.messages.sentences import opens_form

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from hitl_bot.surfaces.batches import Batches
    from metaflow_extensions.hitl.approvals.use_cases import UseCases

APPROVED = Answer(verdict=Verdict.APPROVE)
open_form = opens(approve_all_view)


def approve_all(
    ack: Ack,
    action: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
) -> None:
    """Approve all that wait, or open the form where input, or a reason, is asked for."""
    ack()
    batch_id = str(action.get("value"))
    waiting = governed(cases, batches.glance(batch_id)).waiting
    if not waiting or opens_form(waiting[0]):
        open_form(ack, action, body, client, respond, cases, people, workers, batches)
        return
    waiting = batches.read(batch_id).waiting
    who = people.person(user_of(body))
    came = answer_all(cases, waiting, lambda _: APPROVED, who=who, where=Where.BUTTON, workers=workers)
    if came.refused:
        respond(**came.reply)
