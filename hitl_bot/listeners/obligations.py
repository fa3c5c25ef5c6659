"""What people owe: the list of it, and closing one with a comment."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from datetime import date
from itertools import islice

from slack_bolt import Ack
from slack_sdk import WebClient

from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.reminding import zone_of
from hitl_bot.surfaces.sight import Sight
from metaflow_extensions.hitl.approvals.errors import HitlError, NoSuchApproval, PeopleUnavailable
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import Approval, Obligation, checked_id
from metaflow_extensions.hitl.approvals.refusals import NoSuchObligation
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import obligations as messages, views
from metaflow_extensions.hitl.messages.replies import Reply

from .forms import FormErrors, Opening, end_with
from .payloads import Json, user_of
from .slash_command import BadWords, Typed, Words, person_typed

_MOST = 500  # open obligations that a list looks at: a LIST, and two requests for each approval


def list_owed(typed: Typed) -> Reply:
    """``/hitl obligations``: what this person owes; with ``all``, what anybody does."""
    return owed_page(typed.cases, typed.queries, typed.people, typed.user_id, typed.words)


def owed_page(
    cases: UseCases, queries: Queries, people: SlackPeople, user_id: str, words: Words, page: int = 1
) -> Reply:
    """Return one page of that list."""
    if words.arguments not in ([], ["all"]):
        raise BadWords("Use /hitl obligations, or /hitl obligations all.")
    (*markers,) = islice(cases.ledger.owed(), _MOST + 1)
    read = queries.these(dict.fromkeys(one.approval_id for one in markers[:_MOST]))
    found = {one.id: one for one in read.approvals}
    sight = Sight(cases, people, user_id)
    owed = [
        (approval, one.number)
        for one in markers[:_MOST]
        if (approval := found.get(one.approval_id)) is not None and one.number in approval.open_obligations
    ]
    if words.arguments:
        shown = [one for one in owed if sight.sees(one[0])]
    else:
        shown = [
            (one, number) for one, number in owed if _owns(people, one.open_obligations[number], user_id, sight.doubts)
        ]
    return messages.listing(
        shown,
        today=today_of(cases, people, user_id),
        page=page,
        words=words.text,
        left_out=len(markers[_MOST:]),
        problems=[*(one for one in read.problems if not isinstance(one, NoSuchApproval)), *sight.doubts],
    )


def _owns(people: SlackPeople, obligation: Obligation, user_id: str, doubts: list[HitlError]) -> bool:
    try:
        owner = people.identify(obligation.owner)
    except PeopleUnavailable as error:
        doubts.append(error)
        return False
    return owner is not None and owner.id == user_id


def today_of(cases: UseCases, people: SlackPeople, user_id: str) -> date:
    """Return the day that it is for somebody."""
    return cases.clock().astimezone(zone_of(people, user_id)).date()


def obligation_of(
    approval: Approval, values: Json, *, cases: UseCases, people: SlackPeople, user_id: str
) -> Obligation | None:
    """Read what was entered beside an approval, if it was asked for.

    Raises
    ------
    FormErrors
        It is incomplete, or missing where the operator's policy requires one, or due in the past.
    """
    requirements = cases.governed(approval).requirements
    if not requirements.obligations_offered:
        return None
    today = today_of(cases, people, user_id)
    entered, errors = messages.entered(values, today=today, required=requirements.obligation_required)
    if errors:
        raise FormErrors(errors)
    if entered is None:
        return None
    text, owner, due = entered
    return Obligation(text=text, owner=people.person(owner or user_id), due=due)


OBLIGATION_WORDS = ("owes", "owner", "due")
_HOW = 'Use owes="what is owed" due=2026-12-31, and owner=@person if somebody else owes it. Nothing was decided.'


def obligation_typed(
    typed: Mapping[str, str], *, cases: UseCases, people: SlackPeople, user_id: str
) -> Obligation | None:
    """Read what was typed of an obligation after ``/hitl approve ID``, by ``OBLIGATION_WORDS``.

    Raises
    ------
    BadWords
        It is incomplete, or names nobody.
    DuePassed
        It is due in the past.
    """
    if not typed:
        return None
    if "owes" not in typed:
        raise BadWords(f"due and owner go with owes. {_HOW}")
    owner = typed.get("owner")
    who = people.person(user_id) if owner is None else person_typed(owner, people, _HOW)
    try:
        owed = Obligation(text=typed["owes"], owner=who, due=typed.get("due", ""))
    except ValueError:
        raise BadWords(f"An obligation needs a text and a day. {_HOW}") from None
    return owed.check_not_over(today_of(cases, people, user_id))


def open_closing(
    ack: Ack, action: Json, body: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
) -> None:
    """Done: ask for a comment."""
    ack()

    def look() -> Json:
        approval_id, number = messages.which(str(action.get("value", "")))
        approval = cases.ledger.read(checked_id(approval_id)).approval
        Sight(cases, people, user_of(body)).check(approval)
        if number not in approval.open_obligations:
            raise NoSuchObligation(approval)
        return messages.close_view(approval, number)

    with Opening(client, body, "Close an obligation", workers) as opening:
        opening.show(opening.wait(look))


def closing_submitted(
    ack: Ack, body: Json, view: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
) -> None:
    """Close it, and say so in the view."""

    def close() -> Json:
        approval_id, number = messages.which(str(view.get("private_metadata", "")))
        comment = messages.comment_of(view["state"]["values"])
        cases.obligations.close(checked_id(approval_id), number, who=people.person(user_of(body)), comment=comment)
        return views.notice_view("Closed", messages.CLOSED)

    try:
        end_with(ack, client, view, workers.submit(close), meanwhile=views.notice_view("Closing", "Saving…"))
    except HitlError as error:
        ack(response_action="update", view=views.refused_view(error))
