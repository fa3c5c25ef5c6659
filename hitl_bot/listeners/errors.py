"""What happens to everything that goes wrong, and to what nobody listens to."""

from __future__ import annotations

import json
import secrets

import structlog
from slack_bolt import App, BoltContext, BoltResponse, Respond
from slack_bolt.error import BoltUnhandledRequestError
from slack_sdk import WebClient

from hitl_bot.listeners.payloads import Json, user_of
from hitl_bot.slack.client import SLACK_FAILED
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.messages import answers, views

log = structlog.get_logger("hitl_bot.listeners")


def register(app: App) -> None:
    """Listen to errors."""
    app.error(answer_error)


def answer_error(
    error: Exception,
    body: Json,
    context: BoltContext,
    client: WebClient,
    respond: Respond,
    response: BoltResponse | None,
) -> BoltResponse | None:
    """Answer a refusal in its own words, and a defect with a reference that finds it in the log.

    ``response`` is None once the request has been acknowledged (slack_bolt 1.30, ``listener/thread_runner.py``).
    """
    if isinstance(error, BoltUnhandledRequestError):
        # Slack would send it again, or show the person a warning triangle.
        log.info("acknowledged, not handled", kind=body.get("type") or body.get("command"), what=_what(body))
        return BoltResponse(status=200)
    if isinstance(error, HitlError):
        log.info("refused", kind=type(error).__name__, why=str(error), user=user_of(body))
        reply, shown = answers.refusal(error), error
    else:
        reference = secrets.token_hex(4)
        log.error("broke", reference=reference, user=user_of(body), exc_info=error)
        reply = answers.broken(reference)
        shown = HitlError(reply["text"])
    if response is not None and body.get("type") == "view_submission":
        ending = {"response_action": "update", "view": views.refused_view(shown)}
        return BoltResponse(status=200, body=json.dumps(ending), headers={"content-type": ["application/json"]})
    _tell(reply, body, context, client, respond)
    return None if response is None else BoltResponse(status=200)


def _tell(reply: answers.Reply, body: Json, context: BoltContext, client: WebClient, respond: Respond) -> None:
    user = user_of(body)
    try:
        if context.response_url:
            respond(**reply)
        elif user and body.get("type") != "event_callback":
            client.chat_postMessage(channel=user, text=reply["text"], blocks=reply["blocks"])
    except SLACK_FAILED as error:
        log.warning("the answer did not arrive", user=user, why=repr(error))


def _what(body: Json) -> str:
    """Name what came, without what people wrote."""
    actions = [str(action.get("action_id")) for action in body.get("actions", ())]
    callback = body.get("callback_id") or (body.get("view") or {}).get("callback_id")
    return ", ".join(actions) or str(callback or (body.get("event") or {}).get("type") or "")
