"""/hitl reject ID REASON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.commands.words import unquoted
from metaflow_extensions.hitl.approvals.record import Verdict, Where
from metaflow_extensions.hitl.approvals.use_cases import Answer
from metaflow_extensions.hitl.messages import answers

if TYPE_CHECKING:
    from hitl_bot.listeners.commands.words import Words
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def reject(cases: UseCases, people: SlackPeople, user_id: str, words: Words) -> answers.Reply:
    """Reject for the reason behind the id."""
    approval_id = cases.ledger.resolve(words.approval_id)
    answer = Answer(verdict=Verdict.REJECT, reason=unquoted(words.rest))
    return answers.done(cases.decide(approval_id, answer, who=people.person(user_id), where=Where.SLASH_COMMAND))
