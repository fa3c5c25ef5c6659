"""Answering a submitted form within the three seconds that Slack waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, TimeoutError as NotYet

import structlog
from slack_bolt import Ack
from slack_sdk import WebClient

from hitl_bot.listeners.payloads import Json
from hitl_bot.slack.client import SLACK_FAILED, replace_view
from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierBusy
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.refusals import ApprovalError, NotAllowed, ReasonMissing
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import views

PATIENCE = 2.0  # seconds of the three; the way to Slack takes some of the rest

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
        entry = taking.result(PATIENCE)
    except NotYet:
        ack(response_action="update", view=views.saving_view(views.approval_of(view)))
        return _end_later(view, client, cases, taking.result)
    except HitlError as error:
        log.info("refused", approval_id=views.approval_of(view), kind=type(error).__name__)
        ack(**_refusal(error, view, cases))
        return False
    ack(response_action="clear")
    _carry_out(cases, entry)
    return True


def _end_later(view: Json, client: WebClient, cases: UseCases, result: Callable[[], Entry]) -> bool:
    try:
        entry = result()
    except HitlError as error:
        replace_view(client, view["id"], _ending(error, cases) or views.refused_view(error))
        return False
    try:
        replace_view(client, view["id"], views.closed_view(entry.approval, now=cases.clock()))
    except SLACK_FAILED as error:  # the answer is recorded, so nothing here may say otherwise
        log.warning("the view goes on saying that it saves", approval_id=entry.approval.id, why=repr(error))
    _carry_out(cases, entry)
    return True


def _carry_out(cases: UseCases, entry: Entry) -> None:
    """Do what can be done now. The person sees it on the message; what is missing is left to the sweeper."""
    for error in cases.try_to_carry_out(entry).pending:
        write = log.debug if isinstance(error, NotifierBusy) else log.warning
        write("left to the sweeper", approval_id=entry.approval.id, why=str(error))


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
    # A reason is asked for at the end of the form; any other trouble is seen at the beginning.
    block = inputs[-1] if isinstance(error, ReasonMissing) else inputs[0]
    return {"response_action": "errors", "errors": {block: str(error)}}


def _ending(error: HitlError, cases: UseCases) -> Json | None:
    """Return the view for what can no longer be answered; None for any other refusal."""
    if isinstance(error, FormOver):
        return error.view
    if not isinstance(error, ApprovalError) or isinstance(error, (NotAllowed, ReasonMissing)):
        return None
    return views.closed_view(error.approval, now=cases.clock())
