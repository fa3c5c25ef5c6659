"""The Approve button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.asked import asked, refresh_if_stale
from hitl_bot.listeners.forms import approve_form
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import is_home, place_of, user_of
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import ApprovalError
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages import answers, views
from metaflow_extensions.hitl.messages.sentences import opens_form

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_bolt import Ack, Respond
    from slack_sdk import WebClient

    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from hitl_bot.surfaces.home import HomeTabs
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.use_cases import UseCases

APPROVED = Answer(verdict=Verdict.APPROVE)


def approve(
    ack: Ack,
    action: Json,
    body: Json,
    client: WebClient,
    respond: Respond,
    cases: UseCases,
    people: SlackPeople,
    workers: Executor,
    homes: HomeTabs,
) -> None:
    """Open the form where input, or a reason, is asked for; decide otherwise, since Slack has asked "are you sure"."""
    ack()

    def look() -> tuple[Entry, Json | None]:
        entry = asked(cases, action.get("value"), body)
        with_form = opens_form(cases.governed(entry.approval))
        return entry, approve_form(cases, entry.approval, people, user_of(body)) if with_form else None

    with Opening(client, body, "Approve", workers) as opening:
        entry, form = opening.wait(look)
        if form is not None:
            opening.show(form)
            refresh_if_stale(cases, entry.approval, body)
            return
        known_before = entry.approval.decision
        try:
            who = people.person(user_of(body))
            outcome = cases.decide(entry.approval.id, APPROVED, who=who, where=Where.BUTTON, seen=entry)
        except ApprovalError as error:
            refresh_if_stale(cases, error.approval, body)
            raise
        if opening.is_open:
            opening.show(views.closed_view(outcome.approval, now=cases.clock()))
        elif is_home(body):
            homes.refresh(user_of(body))
        elif known_before is not None or outcome.pending or place_of(body) is None:
            # What just went well is said by the question's own message, unless the button stood on a list.
            respond(**answers.done(outcome))
        if known_before is not None:
            refresh_if_stale(cases, outcome.approval, body)
