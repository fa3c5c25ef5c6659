"""The form that approves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.payloads import user_of
from hitl_bot.listeners.submitting import FormErrors, submit
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.schema import InvalidInput
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages.form import form_errors, form_values
from metaflow_extensions.hitl.messages.sentences import form_fields
from metaflow_extensions.hitl.messages.views import approval_of, reason_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def approve(
    ack: Ack, body: Json, view: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
) -> None:
    """Approve with what was entered."""

    def take() -> Entry:
        # The view carries the id alone: the schema it is held to is the record's, whatever the view shows.
        seen = cases.ledger.read(checked_id(approval_of(view)))
        fields = form_fields(seen.approval)
        values = view["state"]["values"]
        answer = Answer(verdict=Verdict.APPROVE, input=form_values(fields, values), reason=reason_of(values))
        try:
            return cases.take(seen.approval.id, answer, who=people.person(user_of(body)), where=Where.FORM, seen=seen)
        except InvalidInput as error:
            raise FormErrors(form_errors(fields, error.problems)) from error

    submit(ack, view, client, cases, workers, take)
