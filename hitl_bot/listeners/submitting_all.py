"""What the forms that answer many gates have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hitl_bot.listeners.answering_all import answer_all
from hitl_bot.listeners.payloads import user_of
from hitl_bot.listeners.submitting import FormErrors, FormOver, submit
from metaflow_extensions.hitl.approvals.record import State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import AlreadyDecided, ApprovalError, Superseded, TooLate
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages.batch_views import answered_view, batch_of
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


_OVER = (AlreadyDecided, TooLate, Superseded)


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
        faster: list[ApprovalError] = []  # somebody was, of those that this form answers as well

        def take() -> Entry:
            # The first gate's answer is taken before the form closes, so that a refusal stands in it.
            found = batches.read(batch_of(view))
            who = people.person(user_of(body))
            meant = sorted(choose(found, view), key=lambda chosen: chosen[0].state is not State.PENDING)
            for place, (first, answer) in enumerate(meant):
                try:
                    taken = cases.take(first.id, answer, who=who, where=Where.FORM)
                except InvalidInput as error:
                    raise FormErrors(form_errors(form_fields(first), error.problems)) from error
                except _OVER as error:
                    faster.append(error)
                    continue
                left.extend(meant[place + 1 :])
                return taken
            raise FormOver(answered_view(batches.read(found.id)))

        if not submit(ack, view, client, cases, workers, take) or not (left or faster):
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
        came = replace(came, count=came.count + 1, refused=(*faster, *came.refused))
        if came.refused:
            reply = came.reply
            client.chat_postMessage(channel=user_of(body), text=reply["text"], blocks=reply["blocks"])

    return submitted


def approval_in(view: Json, found: Batch) -> Answer:
    """Return the approval that was entered; the gates of a step all ask for the same input."""
    values = view["state"]["values"]
    entered = form_values(form_fields(found.members[0]), values)
    return Answer(verdict=Verdict.APPROVE, input=entered, reason=reason_of(values))
