"""The question through a Slack incoming webhook: a message without buttons, for who can't install an app."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.messages import plain
from metaflow_extensions.hitl.notifiers.sent import Sent

from .calls import PATIENCE

if TYPE_CHECKING:
    from requests import Response

NAME = "slack_webhook"
SETTING = "METAFLOW_HITL_SLACK_WEBHOOK"

_TIMEOUT = 8.0  # seconds, to connect and then for the answer
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500  # HTTP
_NEW = f"Make a new webhook under Incoming Webhooks of the Slack app, and set {SETTING} to it."
# Source: api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks, and
# docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, "Handling errors".
_ADVICE = {
    "action_prohibited": "The workspace's admins forbid it to post. Ask them.",
    "channel_is_archived": f"Its channel is archived. Unarchive it, or: {_NEW}",
    "channel_not_found": f"Its channel is gone. {_NEW}",
    "invalid_payload": "This is a defect of metaflow-hitl: report it with this line.",
    "invalid_token": f"Slack does not recognize it. {_NEW}",
    "no_active_hooks": f"It was switched off. {_NEW}",
    "no_service": f"It was removed or switched off. {_NEW}",
    "no_service_id": f"The address is incomplete. {_NEW}",
    "no_team": f"Its workspace is gone. {_NEW}",
    "posting_to_general_channel_denied": f"Only the workspace's admins can post in #general. {_NEW}",
    "team_disabled": f"Its workspace is closed. {_NEW}",
    "user_not_found": f"The person it writes to is gone. {_NEW}",
}


class SlackWebhookNotifier:
    """Sends each question once. What was sent can't be changed, so nothing follows after the answer.

    Parameters
    ----------
    url : str
        The webhook's address, which is a secret: it never appears in an error.
    clock : Clock
        The present.
    script : str
        The flow's file, as it is written after ``python``.
    wait : Callable[[float], object]
        Called with seconds when Slack asks for patience; 10 at most.

    Raises
    ------
    NotifierRefused
        The address is none that a secret may be sent to.
    """

    def __init__(
        self, url: str, *, clock: Clock, script: str = "flow.py", wait: Callable[[float], object] = time.sleep
    ) -> None:
        where = urlsplit(url)
        if not (where.hostname and (where.scheme == "https" or where.hostname in _LOOPBACK)):
            raise NotifierRefused(f"{SETTING} must be an address that begins with https://. {_NEW}")
        self._url = url
        self._script = script
        self._wait = wait
        self._sent = Sent(NAME, clock)

    def post(self, approval: Approval) -> Post:
        """Send the question.

        A connection that breaks before Slack has answered leaves open whether it was sent: then it is sent again.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As the port says.
        """
        sent = self._sent.find(approval)
        if sent is not None:
            return sent
        message = plain.render_webhook(approval, script=self._script)
        response = self._answer(message)
        if response.status_code == _TOO_MANY and (pause := _pause(response)) <= PATIENCE:
            self._wait(pause)
            response = self._answer(message)
        if response.status_code != _OK:
            raise _translated(response)
        return self._sent.note(approval)

    def update(self, approval: Approval, post: Post) -> None:
        """Do nothing: a webhook can't change what it sent."""

    def _answer(self, message: dict[str, Any]) -> Response:
        import requests  # noqa: PLC0415 - 60 ms, and only where there is a webhook

        try:
            return requests.post(self._url, json=message, timeout=_TIMEOUT, allow_redirects=False)
        except (OSError, ValueError) as error:  # requests' own are of the first kind, those of an odd address of both
            # Not in the error's own words, nor as its cause: they hold the address.
            raise NotifierUnavailable(
                f"Slack's webhook did not answer ({type(error).__name__}). The bot will retry. If this keeps "
                "happening, see "
                f"whether {SETTING} is right and hooks.slack.com can be reached from here.",
                cause="no answer",
            ) from None


def _pause(response: Response) -> float:
    try:
        return max(1.0, float(response.headers.get("Retry-After", 1)))
    except ValueError:
        return 1.0


def _translated(response: Response) -> NotifierUnavailable | NotifierRefused:
    status, said = response.status_code, response.text.strip()[:80]
    if status == _TOO_MANY:
        return NotifierUnavailable(
            f"Slack asks the webhook to wait {_pause(response):.0f} s. The question is sent then, and there is nothing "
            "to fix. If this keeps happening, too many questions are asked through one webhook.",
            cause="ratelimited",
        )
    if said in _ADVICE:
        return NotifierRefused(f"Slack's webhook can't be used. {_ADVICE[said]} (Slack: {said})")
    if status >= _SERVER_ERROR:
        return NotifierUnavailable(
            f"Slack's webhook failed ({status}). The bot will retry. If this keeps happening, see slack-status.com.",
            cause=str(status),
        )
    return NotifierRefused(f"Slack's webhook refused the question. {_NEW} (Slack: {status})")
