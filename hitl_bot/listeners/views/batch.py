"""The forms that answer many gates at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.answering_all import answer_all
from hitl_bot.listeners.payloads import user_of
from hitl_bot.listeners.submitting import FormErrors, submit
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.batch import batch_of, chosen, others_are_rejected
from metaflow_extensions.hitl.messages.form import form_errors, form_values
from metaflow_extensions.hitl.messages.sentences import form_fields
from metaflow_extensions.hitl.messages.views import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.batches import Batches
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.people import SlackPeople
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.batch import Batch

    Choose = Callable[[Batch], tuple[list[Approval], Callable[[Approval], Answer]]]


def approve_all(
    ack: Ack,
    body: Json,
    view: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
) -> None:
    """Approve all that wait, with the same input."""

    def choose(found: Batch) -> tuple[list[Approval], Callable[[Approval], Answer]]:
        answer = Answer(verdict=Verdict.APPROVE, input=_input(found.members[0], view))
        return found.waiting, lambda _: answer

    _answer(ack, body, view, client, cases, people, workers, batches, choose)


def reject_all(
    ack: Ack,
    body: Json,
    view: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
) -> None:
    """Reject all that wait, for the same reason."""
    answer = Answer(verdict=Verdict.REJECT, reason=reason_of(view["state"]["values"]))

    def choose(found: Batch) -> tuple[list[Approval], Callable[[Approval], Answer]]:
        return found.waiting, lambda _: answer

    _answer(ack, body, view, client, cases, people, workers, batches, choose)


def approve_except(
    ack: Ack,
    body: Json,
    view: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
) -> None:
    """Approve those that are ticked; reject the others, or let them wait on."""

    def choose(found: Batch) -> tuple[list[Approval], Callable[[Approval], Answer]]:
        ticked, unticked = chosen(view)
        reason = reason_of(view["state"]["values"])
        rejected = unticked if others_are_rejected(view) else set()
        if rejected and not reason:
            raise FormErrors({action_ids.REASON_BLOCK: "Rejecting needs a reason: the requester reads it."})
        answer = Answer(verdict=Verdict.APPROVE, input=_input(found.members[0], view))
        refusal = Answer(verdict=Verdict.REJECT, reason=reason)
        meant = [one for one in found.waiting if one.id in ticked | rejected]
        return meant, lambda one: answer if one.id in ticked else refusal

    _answer(ack, body, view, client, cases, people, workers, batches, choose)


def _answer(
    ack: Ack,
    body: Json,
    view: Json,
    client: WebClient,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    batches: Batches,
    choose: Choose,
) -> None:
    """Take the answer to the first gate before the form closes, so that a refusal stands in it; then the others."""
    left: list[Approval] = []
    answers: list[Callable[[Approval], Answer]] = []

    def take() -> Entry:
        found = batches.read(batch_of(view))
        meant, answer_to = choose(found)
        who = people.person(user_of(body))
        first = (meant or list(found.members))[0]
        if not meant:
            return cases.ledger.read(first.id)  # nothing is ticked, and nothing rejected: the form just closes
        try:
            entry = cases.take(first.id, answer_to(first), who=who, where=Where.FORM)
        except InvalidInput as error:
            raise FormErrors(form_errors(form_fields(first), error.problems)) from error
        left.extend(meant[1:])
        answers.append(answer_to)
        return entry

    submit(ack, view, client, cases, workers, take)
    if not left:
        return
    came = answer_all(cases, left, answers[0], who=people.person(user_of(body)), where=Where.FORM, workers=workers)
    if came.refused:
        reply = came.reply
        client.chat_postMessage(channel=user_of(body), text=reply["text"], blocks=reply["blocks"])


def _input(approval: Approval, view: Json) -> Json:
    return form_values(form_fields(approval), view["state"]["values"])
