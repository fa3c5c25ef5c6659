"""Forms: opening one before its trigger expires, and answering it within the three seconds that Slack waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, TimeoutError as NotYet
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import structlog
from slack_bolt import Ack
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.slack.client import SLACK_FAILED, replace_view
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierBusy
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.refusals import ApprovalError, NotAllowed, ObligationMissing, ReasonMissing
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases
from metaflow_extensions.hitl.messages import replies, views
from metaflow_extensions.hitl.messages.controls import NOTICE_VIEW, OBLIGATION_TEXT, REASON_BLOCK
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, meaning_of

from .payloads import Json, clicked_approval, is_home, refresh_if_stale, user_of

if TYPE_CHECKING:
    from typing_extensions import Self

# Opening a view before its trigger expires.

OPENING_TAKES = 1.0  # seconds of the three that a trigger lives; opening the view takes some of the rest

_Found = TypeVar("_Found")

Build: TypeAlias = "Callable[[UseCases, Approval, SlackPeople, str], Json]"
"""From the use cases, the approval, the people and the id of who clicked to a view."""


class TriggerExpired(HitlError):
    """Slack had stopped waiting for this view before it could open. Click again."""


class Opening:
    """A view that is about to open. If what it shows takes too long to find out, one that says so opens meanwhile.

    Usually a record is read within a few hundredths of a second, and the view opens whole. A loading view every time
    would cost each person a flicker and a second call.

    A refusal inside the ``with`` is shown in the view if one is open, or if the button stands in the Home tab, where
    Slack offers no other way to answer; and raised otherwise.

    Parameters
    ----------
    client : WebClient
        Slack.
    body : dict
        What came from Slack, with a ``trigger_id``: good for three seconds and for one view.
    title : str
        Of the view that says to wait; at most 24 characters.
    workers : Executor
        Where the finding out goes on.
    """

    def __init__(self, client: WebClient, body: Json, title: str, workers: Executor) -> None:
        self._client = client
        self._trigger_id = str(body["trigger_id"])
        self._title = title
        self._workers = workers
        self._from_home = is_home(body)
        self._view_id: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the person looks at a view."""
        return self._view_id is not None

    def wait(self, find_out: Callable[[], _Found]) -> _Found:
        """Return what is found out, or raise what is raised."""
        finding = self._workers.submit(find_out)
        try:
            return finding.result(OPENING_TAKES)
        except NotYet:
            self.show(views.loading_view(self._title))
            return finding.result()

    def show(self, view: Json) -> None:
        """Open the view, or replace the one that is open."""
        if self._view_id is None:
            try:
                opened = self._client.views_open(trigger_id=self._trigger_id, view=view)
            except SlackApiError as error:
                if meaning_of(error) is not Meaning.OUTDATED:
                    raise
                raise TriggerExpired(str(TriggerExpired.__doc__)) from error
            self._view_id = str(opened["view"]["id"])
        else:
            replace_view(self._client, self._view_id, view)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, HitlError) or not (self.is_open or self._from_home):
            return False
        try:
            self.show(views.refused_view(error))
        except (TriggerExpired, *SLACK_FAILED):
            if self.is_open:
                raise
            return False  # the trigger has expired meanwhile
        return True


def opens(title: str, build: Build) -> Callable[..., None]:
    """Return the callback of a button that opens a form.

    Parameters
    ----------
    title : str
        Of the view while the record is read; at most 24 characters.
    build : Callable
        The view; ``answering`` has several.
    """

    def open_form(
        ack: Ack, action: Json, body: Json, client: WebClient, cases: UseCases, people: SlackPeople, workers: Executor
    ) -> None:
        ack()

        def look() -> tuple[Entry, Json]:
            entry = clicked_approval(cases, action.get("value"), body)
            return entry, build(cases, entry.approval, people, user_of(body))

        with Opening(client, body, title, workers) as opening:
            entry, form = opening.wait(look)
            opening.show(form)
            if form["callback_id"] == NOTICE_VIEW:  # in place of a form: the message may offer what is over
                refresh_if_stale(cases, entry.approval, body)

    return open_form


# Answering a submitted form within the three seconds that Slack waits.

ANSWERING_TAKES = 2.0  # seconds of the three; the way to Slack takes some of the rest
_INCOMPLETE: dict[type[HitlError], str] = {ReasonMissing: REASON_BLOCK, ObligationMissing: OBLIGATION_TEXT}  # by input

log = structlog.get_logger("hitl_bot.listeners")


class FormErrors(HitlError):
    """What is wrong, by the ``block_id`` of the input it is wrong at. Nothing was decided."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class FormOver(HitlError):
    """Nothing is left to be answered. Nothing was decided; the view says how it ended."""

    def __init__(self, view: Json) -> None:
        super().__init__(str(self.__doc__))
        self.view = view


def submit(
    ack: Ack, view: Json, client: WebClient, cases: UseCases, workers: Executor, take: Callable[[], Entry]
) -> bool:
    """Take an answer into the record, close the form or say in it what is wrong, and then carry the answer out.

    The record is written before the ack, because only it knows whether the form may close: somebody else may have
    decided meanwhile. If that takes longer than Slack waits, the form says "Saving" and later how it ended.

    Parameters
    ----------
    take : Callable
        Checks and records the answer.

    Returns
    -------
    bool
        Whether it was taken.
    """
    taking = workers.submit(take)
    try:
        entry = taking.result(ANSWERING_TAKES)
    except NotYet:
        ack(response_action="update", view=views.saving_view(views.approval_of(view)))
        return _end_later(view, client, cases, taking.result)
    except HitlError as error:
        log.info("refused", approval_id=views.approval_of(view), kind=type(error).__name__)
        ack(**_refusal(error, view, cases))
        return False
    ack(response_action="clear")
    _carry_out(client, cases, entry)
    return True


def end_with(ack: Ack, client: WebClient, view: Json, ending: Future[Json], *, meanwhile: Json) -> None:
    """Show a view in place of a form that was sent; another one meanwhile, where it takes longer than Slack waits.

    Raises
    ------
    HitlError
        It was refused in time, and nothing is acknowledged yet. What is refused later is shown in the view.
    """
    try:
        shown = ending.result(ANSWERING_TAKES)
    except NotYet:
        ack(response_action="update", view=meanwhile)
    else:
        ack(response_action="update", view=shown)
        return
    try:
        shown = ending.result()
    except HitlError as error:
        shown = views.refused_view(error)
    replace_view(client, view["id"], shown)


def _end_later(view: Json, client: WebClient, cases: UseCases, result: Callable[[], Entry]) -> bool:
    try:
        entry = result()
    except HitlError as error:
        replace_view(client, view["id"], _ending(error, cases) or views.refused_view(error))
        return False
    try:
        replace_view(client, view["id"], views.closed_view(entry.approval, now=cases.clock()))
    except SLACK_FAILED as error:  # the answer is recorded, so nothing here may say otherwise
        log.warning("the view still says that it is saving", approval_id=entry.approval.id, why=repr(error))
    _carry_out(client, cases, entry)
    return True


def _carry_out(client: WebClient, cases: UseCases, entry: Entry) -> None:
    """Do what can be done now. The person sees it on the message; what is missing is left to the sweeper."""
    outcome = cases.try_to_carry_out(entry)
    for error in outcome.pending:
        write = log.debug if isinstance(error, NotifierBusy) else log.warning
        write("left to the sweeper", approval_id=entry.approval.id, why=str(error))
    if any(isinstance(error, NotifierBusy) and error.queue for error in outcome.pending):
        _tell_later(client, outcome)


def _tell_later(client: WebClient, outcome: Outcome) -> None:
    """Tell who answered that the answer stands, where the message can show it only after those of many others."""
    answer = outcome.approval.decision or (outcome.approval.votes or (None,))[-1]
    if answer is None or not answer.by.is_vouched_for:
        return
    reply = replies.done(outcome)
    try:
        client.chat_postMessage(channel=answer.by.id, text=reply["text"], blocks=reply["blocks"])
    except SLACK_FAILED as error:
        log.warning("the answer did not arrive", user=answer.by.id, why=repr(error))


def _refusal(error: HitlError, view: Json, cases: UseCases) -> Json:
    """Answer in place: at an input if trying again may help, so that nothing that was entered is lost."""
    if isinstance(error, FormErrors):
        return {"response_action": "errors", "errors": error.errors}
    ending = _ending(error, cases)
    if ending is not None:
        return {"response_action": "update", "view": ending}
    inputs = [block["block_id"] for block in view.get("blocks", ()) if block.get("type") == "input"]
    if isinstance(error, NotAllowed) or not inputs:
        return {"response_action": "update", "view": views.refused_view(error)}
    missing = next((block for kind, block in _INCOMPLETE.items() if isinstance(error, kind)), "")
    block = missing if missing in inputs else inputs[0]
    return {"response_action": "errors", "errors": {block: str(error)}}


def _ending(error: HitlError, cases: UseCases) -> Json | None:
    """Return the view for what can no longer be answered; None for any other refusal."""
    if isinstance(error, FormOver):
        return error.view
    if not isinstance(error, ApprovalError) or isinstance(error, (NotAllowed, *_INCOMPLETE)):
        return None
    return views.closed_view(error.approval, now=cases.clock())
