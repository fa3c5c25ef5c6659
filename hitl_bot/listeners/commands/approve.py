"""/hitl approve ID, with name=value where the step asks for input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.words import BadWords, read_pairs
from hitl_bot.listeners.forms import approve_form
from hitl_bot.listeners.opening import Opening
from hitl_bot.listeners.payloads import user_of
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.inputs import parse
from metaflow_extensions.hitl.messages import answers, views
from metaflow_extensions.hitl.messages.sentences import asks_for_input, opens_form

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from slack_sdk import WebClient

    from hitl_bot.listeners.commands.words import Words
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.ledger import Entry
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def approve(
    cases: UseCases, people: SlackPeople, client: WebClient, workers: Executor, body: Json, words: Words
) -> answers.Reply | None:
    """Decide, or open the form where the step asks for input and none was typed. None: the form is the answer."""

    def look() -> tuple[Entry, Json | None]:
        entry = cases.ledger.read(cases.ledger.resolve(words.approval_id))
        with_form = opens_form(cases.governed(entry.approval)) and not words.rest
        return entry, approve_form(cases, entry.approval, people, user_of(body)) if with_form else None

    with Opening(client, body, "Approve", workers) as opening:
        entry, form = opening.wait(look)
        if form is not None:
            opening.show(form)
            return None
        answer = Answer(verdict=Verdict.APPROVE, input=_input(entry.approval, words))
        who = people.person(user_of(body))
        outcome = cases.decide(entry.approval.id, answer, who=who, where=Where.SLASH_COMMAND, seen=entry)
        if opening.is_open:
            opening.show(views.closed_view(outcome.approval, now=cases.clock()))
        return answers.done(outcome)
    return None  # the refusal stands in the view


def _input(approval: Approval, words: Words) -> Json:
    schema = approval.question.schema
    if not words.rest:
        return {}
    if schema is None or not asks_for_input(approval):
        raise BadWords(f"{approval.id} asks for no input, so nothing was decided. Write /hitl approve {approval.id}.")
    return parse(schema, read_pairs(words.rest))
