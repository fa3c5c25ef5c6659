"""The buttons of the direct messages that ask whether an answer, or a run, is somebody's own."""

from __future__ import annotations

from slack_bolt import Ack, Respond

from hitl_bot.listeners.payloads import Json, user_of
from hitl_bot.surfaces.confirming import Confirming
from metaflow_extensions.hitl.approvals.pathspec import checked_id
from metaflow_extensions.hitl.messages import answers
from metaflow_extensions.hitl.messages.mrkdwn import code


def answer(ack: Ack, action: Json, body: Json, respond: Respond, confirming: Confirming) -> None:
    """Take the answer for this person's own, and say so in the place of the question."""
    ack()
    reply = answers.done(confirming.confirm_answer(str(action.get("value")), user_of(body)))
    reply["replace_original"] = True
    respond(**reply)


def run(ack: Ack, action: Json, body: Json, respond: Respond, confirming: Confirming) -> None:
    """Note whose run it is, and say so in the place of the question."""
    ack()
    approval = confirming.confirm_run(checked_id(str(action.get("value"))), user_of(body))
    place = f"{approval.pathspec.flow}/{approval.pathspec.run}"
    reply = answers.said(f"You confirmed that the run {code(place)} is yours. Others can approve it now.")
    reply["replace_original"] = True
    respond(**reply)
