"""What the forms that take nothing but a reason have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.payloads import user_of
from hitl_bot.listeners.submitting import submit
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages.views import approval_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from slack_bolt import Ack
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def answers(verdict: Verdict) -> Callable[..., None]:
    """Return the callback of a form that gives this answer, for the reason that was entered."""

    def submitted(
        ack: Ack, body: Json, view: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
    ) -> None:
        def take() -> Entry:
            answer = Answer(verdict=verdict, reason=reason_of(view["state"]["values"]))
            approval_id = checked_id(approval_of(view))
            return cases.take(approval_id, answer, who=people.person(user_of(body)), where=Where.FORM)

        submit(ack, view, client, cases, workers, take)

    return submitted
