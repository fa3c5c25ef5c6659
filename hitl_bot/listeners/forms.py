"""The forms that answer, whichever way they were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.record import State, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import ChangesNotOffered
from metaflow_extensions.hitl.messages import views

if TYPE_CHECKING:
    from hitl_bot.listeners.payloads import Json
    from hitl_bot.slack.people import SlackPeople
    from metaflow_extensions.hitl.approvals.record import Approval
    from metaflow_extensions.hitl.approvals.use_cases import UseCases


def approve_form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    """Build the form that approves, or the view that says how it ended.

    Raises
    ------
    NotAllowed, PeopleUnavailable
        Said before the form is filled in, not after. It is checked again when the form is submitted.
    """
    now = cases.clock()
    if not _takes_an_answer(cases, approval):
        return views.closed_view(approval, now=now)
    cases.check_may_decide(approval, people.person(user_id), where=Where.FORM)
    return views.approve_view(cases.governed(approval), now=now)


def reject_form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    """Build the view that asks for the reason, or the one that says how it ended; raises as ``approve_form``."""
    now = cases.clock()
    if not _takes_an_answer(cases, approval):
        return views.closed_view(approval, now=now)
    cases.check_may_decide(approval, people.person(user_id), verdict=Verdict.REJECT, where=Where.FORM)
    return views.reject_view(approval, now=now)


def changes_form(cases: UseCases, approval: Approval, people: SlackPeople, user_id: str) -> Json:
    """Build the view that asks what must change, or the one that says how it ended; raises as ``approve_form``.

    Raises
    ------
    ChangesNotOffered
        The step takes a yes or a no.
    """
    now = cases.clock()
    if not _takes_an_answer(cases, approval):
        return views.closed_view(approval, now=now)
    if not approval.question.allow_changes:
        raise ChangesNotOffered(approval)
    cases.check_may_decide(approval, people.person(user_id), verdict=Verdict.CHANGES, where=Where.FORM)
    return views.changes_view(approval, now=now)


def _takes_an_answer(cases: UseCases, approval: Approval) -> bool:
    return approval.state is State.PENDING and not cases.governed(approval).is_due(cases.clock())
