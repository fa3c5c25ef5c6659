"""Which id that Slack sends goes to which callback, what a callback is handed, and what happens to what goes wrong."""

import json
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from typing import Any

import structlog
from slack_bolt import Ack, App, BoltContext, BoltResponse, Respond
from slack_bolt.error import BoltUnhandledRequestError
from slack_sdk import WebClient

from hitl_bot.slack.client import SLACK_FAILED, DirectRespond
from hitl_bot.slack.connection import AcksFirst
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.batches import Batches
from hitl_bot.surfaces.confirming import Confirming
from hitl_bot.surfaces.home import HomeTabs
from hitl_bot.surfaces.in_advance import InAdvance
from hitl_bot.surfaces.reminding import Reminding
from hitl_bot.surfaces.threads import Threads
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import controls, replies, views

from . import answering, answering_many, looking, obligations, slash_command
from .payloads import Json, fill_in_initial_values, is_in_attachment, user_of
from .slash_command import dispatcher, explain, remind

# The bot's own parts, handed to callbacks by argument name.


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What callbacks may ask for besides Bolt's own arguments.

    Attributes
    ----------
    cases : UseCases
        What can be done with an approval. Its clock is the bot's.
    queries : Queries
        What waits and what was decided.
    people : SlackPeople
        Who a Slack user is.
    workers : Executor
        Where work goes that may take longer than Slack waits.
    homes : HomeTabs
        Everybody's Home tab.
    batches : Batches
        Gates that share a message.
    in_advance : InAdvance
        Answers for shards that have not asked yet.
    reminding : Reminding
        Asks people again.
    threads : Threads
        What stands below the questions.
    confirming : Confirming
        Asks people whether something is theirs.
    """

    cases: UseCases
    queries: Queries
    people: SlackPeople
    workers: Executor
    homes: HomeTabs
    batches: Batches
    in_advance: InAdvance
    reminding: Reminding
    threads: Threads
    confirming: Confirming


class StandingAck(Ack):
    """An ack that stands once it is given.

    Bolt looks for the response every 10 ms, and takes it back if the listener fails before it looked
    (slack_bolt 1.30, ``listener/thread_runner.py``: ``ack.response = response``, which is None by then). Slack would
    show a warning triangle beside the refusal.
    """

    def __init__(self, acks: AcksFirst, acknowledged: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Bolt's
        self._acks = acks
        self._acknowledged = acknowledged

    def __call__(self, *args: Any, **parts: Any) -> BoltResponse:
        """Acknowledge; what follows in the listener comes after the acknowledgements of everybody."""
        response = super().__call__(*args, **parts)
        self._acks.wait_for_others()
        self._acknowledged()
        return response

    @property
    def response(self) -> BoltResponse | None:
        """What goes to Slack; None until there is anything."""
        return self._response

    @response.setter
    def response(self, response: BoltResponse | None) -> None:
        if response is not None or not hasattr(self, "_response"):
            self._response = response


class CopiedButton(HitlError):
    """This button is in a copy of a message, so nothing was decided. Use the buttons on the message itself."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


def parts_adder(
    parts: Parts, client: WebClient, acknowledged: Callable[[], None], acks: AcksFirst
) -> Callable[..., None]:
    """Build the middleware that adds the parts to the context of every request. It has to be the first.

    ``acknowledged`` is called after each acknowledgement, and does not wait for what follows it.
    """
    named = {field.name: getattr(parts, field.name) for field in fields(parts)}

    def add_parts(context: BoltContext, body: Json, next: Callable[[], None]) -> None:  # noqa: A002 - Bolt's name for it
        context.update(named)
        context["client"] = client  # Bolt makes one for each request, which knows nothing of NO_PROXY
        context["ack"] = StandingAck(acks, acknowledged)
        context["respond"] = DirectRespond(response_url=context.response_url)
        if is_in_attachment(body):
            raise CopiedButton
        fill_in_initial_values(body)
        next()

    return add_parts


# Which id that Slack sends goes to which callback: all of them.

BUTTONS = {  # and menus, by action_id
    controls.APPROVE: answering.approve,
    **dict.fromkeys(controls.CHOOSE, answering.choose),
    controls.REJECT: answering.reject,
    controls.REQUEST_CHANGES: answering.request_changes,
    controls.APPROVE_ALL: answering_many.approve_all,
    controls.APPROVE_TO_COME: answering_many.approve_to_come,
    controls.TAKE_BACK: answering_many.take_back,
    controls.APPROVE_EXCEPT: answering_many.approve_except,
    controls.REJECT_ALL: answering_many.reject_all,
    controls.SHARDS_PREVIOUS: answering_many.choose_shards,
    controls.SHARDS_NEXT: answering_many.choose_shards,
    controls.SHARDS_VALUE: answering_many.choose_shards,
    controls.OTHERS_VALUE: answering_many.choose_shards,
    controls.TICK_ALL: answering_many.choose_shards,
    controls.UNTICK_ALL: answering_many.choose_shards,
    controls.DETAILS: looking.details,
    controls.OPEN: looking.follow_link,
    **dict.fromkeys(controls.LINKS, looking.follow_link),
    controls.PREVIOUS_PAGE: looking.turn_page,
    controls.NEXT_PAGE: looking.turn_page,
    controls.HOME_FLOW: looking.choose_home_flow,
    controls.RUN_AGAIN: answering.open_run_again,
    controls.OBLIGATION_DONE: obligations.open_closing,
    controls.CONFIRM_ANSWER: answering.confirm_answer,
    controls.CONFIRM_RUN: answering.confirm_run,
}
FORMS = {  # views with a Submit button, by callback_id
    controls.APPROVE_VIEW: answering.approval_submitted,
    controls.REJECT_VIEW: answering.rejection_submitted,
    controls.CHANGES_VIEW: answering.changes_submitted,
    controls.APPROVE_ALL_VIEW: answering_many.approval_submitted,
    controls.APPROVE_EXCEPT_VIEW: answering_many.choice_submitted,
    controls.REJECT_ALL_VIEW: answering_many.rejection_submitted,
    controls.RUN_AGAIN_VIEW: answering.run_again_submitted,
    controls.OBLIGATION_VIEW: obligations.closing_submitted,
}
MESSAGE_SHORTCUTS = {controls.WHY: looking.why}  # entries of a message's own menu, by callback_id
EVENTS = {"app_home_opened": looking.home_opened}
COMMAND = "/hitl"
WORDS = {  # the first word after the command
    "": explain,
    "help": explain,
    "list": looking.list_open,
    "history": looking.history,
    "stats": looking.statistics,
    "obligations": obligations.list_owed,
    "delegate": slash_command.delegate,
}
WORDS_WITH_ID = {  # likewise, followed by the ID of an approval
    "show": looking.show,
    "approve": answering.approve_typed,
    "reject": answering.reject_typed,
    "remind": remind,
}


def register(app: App) -> None:
    """Tie every callback to its id. What none of them handles is acknowledged in ``answer_error``."""
    for action_id, on_click in BUTTONS.items():
        app.action(action_id)(on_click)
    for callback_id, on_submit in FORMS.items():
        app.view(callback_id)(on_submit)
    for callback_id, on_choice in MESSAGE_SHORTCUTS.items():
        app.shortcut({"type": "message_action", "callback_id": callback_id})(on_choice)
    for event, on_event in EVENTS.items():
        app.event(event)(on_event)
    app.command(COMMAND)(dispatcher(WORDS, WORDS_WITH_ID))
    app.error(answer_error)


# What happens to everything that goes wrong, and to what nobody listens to.

log = structlog.get_logger("hitl_bot.listeners")


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
        reply, shown = replies.refusal(error), error
    else:
        reference = secrets.token_hex(4)
        log.error("broke", reference=reference, user=user_of(body), exc_info=error)
        reply = replies.broken(reference)
        shown = HitlError(reply["text"])
    if response is not None and body.get("type") == "view_submission":
        ending = {"response_action": "update", "view": views.refused_view(shown)}
        return BoltResponse(status=200, body=json.dumps(ending), headers={"content-type": ["application/json"]})
    _tell(reply, body, context, client, respond)
    return None if response is None else BoltResponse(status=200)


def _tell(reply: replies.Reply, body: Json, context: BoltContext, client: WebClient, respond: Respond) -> None:
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
