"""The buttons of a message that many gates share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.answering_all import answer_all
from hitl_bot.listeners.forms import approve_form
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages import answers, batch
from metaflow_extensions.hitl.messages.sentences import asks_for_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.batches import Batches
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.people import SlackPeople
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.batch import Batch


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
    """Approve all that wait, or open the form where the step asks for input."""
    ack()
    found = batches.read(str(action.get("value")))
    if not found.waiting:
        respond(**answers.said("All of them are answered."))
    elif asks_for_input(found.waiting[0]):
        _open(body, client, cases, people, workers, found, batch.approve_all_view)
    else:
        who = people.person(user_of(body))
        approving = Answer(verdict=Verdict.APPROVE)
        came = answer_all(cases, found.waiting, lambda _: approving, who=who, where=Where.BUTTON, workers=workers)
        if came.refused:
            respond(**came.reply)


def approve_except(
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
    """Open the view with a checkbox for each shard."""
    ack()
    found = batches.read(str(action.get("value")))
    if not found.waiting:
        respond(**answers.said("All of them are answered."))
        return
    _open(body, client, cases, people, workers, found, batch.approve_except_view)


def reject_all(
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
    """Ask why."""
    ack()
    found = batches.read(str(action.get("value")))
    if not found.waiting:
        respond(**answers.said("All of them are answered."))
        return
    _open(body, client, cases, people, workers, found, batch.reject_all_view)


def _open(
    body: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    found: Batch,
    build: Callable[[Batch], Json],
) -> None:
    """Open a view for who may decide; the gates of a step are all asked of the same people."""
    with Opening(client, body, "Answer all", workers) as opening:
        opening.wait(lambda: approve_form(cases, found.waiting[0], people, user_of(body)))
        opening.show(build(found))
