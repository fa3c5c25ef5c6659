"""What the forms that answer many gates have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.answering_all import answer_all
from hitl_bot.listeners.payloads import user_of
from hitl_bot.listeners.submitting import FormErrors, submit
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages.batch import batch_of
from metaflow_extensions.hitl.messages.form import form_errors, form_values
from metaflow_extensions.hitl.messages.sentences import form_fields
from metaflow_extensions.hitl.messages.views import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from hitl_bot.surfaces.batches import Batches
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases
    from metaflow_extensions.hitl.messages.batch import Batch

    Chosen = list[tuple[Approval, Answer]]
    """Which gates are answered, and how."""


def answers_all(choose: Callable[[Batch, Json], Chosen]) -> Callable[..., None]:
    """Return the callback of a form.

    Parameters
    ----------
    choose : Callable
        From the batch as it stands and the view that Slack sent back to the answers; raises FormErrors.
    """

    def submitted(
        ack: Ack,
        body: Json,
        view: Json,
        client: WebClient,
        cases: UseCases,
        people: SlackPeople,
        workers: Executor,
        batches: Batches,
    ) -> None:
        left: Chosen = []

        def take() -> Entry:
            # The first gate's answer is taken before the form closes, so that a refusal stands in it.
            found = batches.read(batch_of(view))
            meant = choose(found, view)
            if not meant:
                return cases.ledger.read(found.members[0].id)  # nothing is ticked or rejected: the form just closes
            first, answer = meant[0]
            try:
                entry = cases.take(first.id, answer, who=people.person(user_of(body)), where=Where.FORM)
            except InvalidInput as error:
                raise FormErrors(form_errors(form_fields(first), error.problems)) from error
            left.extend(meant[1:])
            return entry

        submit(ack, view, client, cases, workers, take)
        if not left:
            return
        answers = {approval.id: answer for approval, answer in left}
        came = answer_all(
            cases,
            [approval for approval, _ in left],
            lambda approval: answers[approval.id],
            who=people.person(user_of(body)),
            where=Where.FORM,
            workers=workers,
        )
        if came.refused:
            reply = came.reply
            client.chat_postMessage(channel=user_of(body), text=reply["text"], blocks=reply["blocks"])

    return submitted


def approval_in(view: Json, found: Batch) -> Answer:
    """Return the approval that was entered; the gates of a step all ask for the same input."""
    values = view["state"]["values"]
    entered = form_values(form_fields(found.members[0]), values)
    return Answer(verdict=Verdict.APPROVE, input=entered, reason=reason_of(values))
