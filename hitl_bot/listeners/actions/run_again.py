"""The Run again… button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_bot.listeners.actions.opening_a_form import opens
from metaflow_extensions.hitl.approvals.running_again import RunningAgain
from metaflow_extensions.hitl.messages.again import run_again_view

if TYPE_CHECKING:
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def _form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    running = RunningAgain(cases.engines, people)
    return run_again_view(approval, running.parameters(approval, people.person(user_id)))


run_again = opens("Run again", _form)
