"""The question as a Slack message that changes with the approval."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from datetime import timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError, SlackClientError

from metaflow_extensions.hitl.approvals.errors import NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.record import Post
from metaflow_extensions.hitl.messages import action_ids
from metaflow_extensions.hitl.messages.question import render
from metaflow_extensions.hitl.notifiers.slack_errors import advice, is_passing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slack_sdk import WebClient

    from metaflow_extensions.hitl.approvals.ports import Clock
    from metaflow_extensions.hitl.approvals.record import Approval

NAME = "slack"

_SURELY_FIRST = timedelta(seconds=2)  # a second attempt at a younger question can only come from this process
_SKEW = timedelta(minutes=5)  # between the clock of who asked and Slack's
_TRIED = 4_096  # questions that are remembered as tried: far more than one process asks in two seconds
_PAGES = 20  # of 200 messages or 1,000 channels, before a look gives up
_LONGEST_WAIT = 10.0  # seconds in all that Slack's Retry-After may hold a caller up
_CHANNELS = 256


class SlackNotifier:
    """Posts questions to Slack channels, and keeps the messages as the approvals stand.

    Parameters
    ----------
    client : WebClient
        With a bot token. Used without its retries: repeating chat.postMessage after a lost connection posts twice
        (slack_sdk's ``ConnectionErrorRetryHandler`` does so unasked).
    default_channel : str, optional
        Where to ask if the question names no channel: ``C…``, ``#name``, or ``U…`` for a direct message.
    clock : Clock
        The present.
    wait : Callable[[float], object]
        Called with seconds when Slack asks for patience; 10 at most for one call of this class's methods.

    Notes
    -----
    Scopes: ``chat:write``; to find a message again ``channels:history`` and ``groups:history``, for a channel that is
    named instead of given by its id ``channels:read`` and ``groups:read``, for direct messages ``im:write`` and
    ``im:history``. Without these six it still posts, and could post twice where a connection broke or a process died
    in the middle. Source: docs.slack.dev/reference/methods, "Required scopes" of each method called here.
    """

    def __init__(
        self,
        client: WebClient,
        *,
        default_channel: str | None,
        clock: Clock,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.client = copy.copy(client)
        self.client.retry_handlers = []
        self.default_channel = default_channel
        self.clock = clock
        self.wait = wait
        self._tried: deque[str] = deque(maxlen=_TRIED)
        self._channel_ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def post(self, approval: Approval) -> Post:
        """Ask the question, or find the message that asks it already.

        Raises
        ------
        NotifierUnavailable, NotifierRefused
            As the port says.
        """
        channel = approval.question.channel or self.default_channel
        if not channel:
            raise NotifierRefused(
                f"{approval.id} has no Slack channel to be asked in. Set METAFLOW_HITL_SLACK_CHANNEL, or "
                'name one in the step: @hitl(channel="#approvals").'
            )
        found = None if self._is_first(approval) else self._find(approval, channel)
        where, ts = found or self._send(approval, channel)
        return Post(notifier=NAME, at=self.clock(), channel=where, ts=ts, url=self._permalink(where, ts))

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it stands in the message that asked."""
        if post.channel is None or post.ts is None:
            return
        message = render(approval, now=self.clock())
        # Both of them: with `text` alone Slack drops the blocks, with `blocks` alone the old text stays in searches.
        self._call(
            "chat.update",
            post.channel,
            {
                "channel": post.channel,
                "ts": post.ts,
                "text": message.text,
                "blocks": message.blocks,
                "metadata": message.metadata,
            },
        )

    def _is_first(self, approval: Approval) -> bool:
        """Whether nobody can have posted this yet, so that there is no need to look."""
        with self._lock:
            tried = approval.id in self._tried
            if not tried:
                self._tried.append(approval.id)
        return not tried and self.clock() - approval.requested_at < _SURELY_FIRST

    def _send(self, approval: Approval, channel: str) -> tuple[str, str]:
        message = render(approval, now=self.clock())
        sent = self._call(
            "chat.postMessage",
            channel,
            {
                "channel": channel,
                "text": message.text,
                "blocks": message.blocks,
                "metadata": message.metadata,
                "unfurl_links": False,
                "unfurl_media": False,
            },
        )
        with self._lock:
            if len(self._channel_ids) < _CHANNELS:
                self._channel_ids[channel] = sent["channel"]
        return sent["channel"], sent["ts"]

    # Finding a message again.

    def _find(self, approval: Approval, channel: str) -> tuple[str, str] | None:
        try:
            where = self._channel_id(channel)
            if where is None:
                return None
            oldest = f"{(approval.requested_at - _SKEW).timestamp():.6f}"
            look = {"channel": where, "oldest": oldest, "include_all_metadata": True, "limit": 200}
            for message in self._pages("conversations.history", "messages", channel, look):
                if _asks(message, approval):
                    return where, message["ts"]
        except NotifierRefused:
            # The bot may not look. To ask twice is better than not at all, and posting says what else is wrong.
            return None
        return None

    def _channel_id(self, channel: str) -> str | None:
        """Return the id of a channel, or None if it can't be found; a direct message is found by its user's id."""
        if not channel.startswith("#") and channel[:1] in "CGD" and channel.isupper():
            return channel
        known = self._channel_ids.get(channel)
        if known is not None:
            return known
        if channel[:1] in "UW" and channel.isupper():
            return str(self._call("conversations.open", channel, {"users": channel})["channel"]["id"])
        look = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": 1_000}
        for found in self._pages("conversations.list", "channels", channel, look):
            if found.get("name") == channel.lstrip("#"):
                return str(found["id"])
        return None

    def _pages(self, method: str, name: str, where: str, look: dict[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = ""
        for _ in range(_PAGES):
            page = self._call(method, where, look | ({"cursor": cursor} if cursor else {}))
            yield from page.get(name) or []
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def _permalink(self, channel: str, ts: str) -> str | None:
        try:
            return str(self._call("chat.getPermalink", channel, {"channel": channel, "message_ts": ts})["permalink"])
        except (NotifierUnavailable, NotifierRefused):
            return None  # a link is a comfort; the question stands

    # Talking to Slack.

    def _call(self, method: str, where: str, arguments: dict[str, Any]) -> Any:
        """Call a method; wait as Slack asks, for ten seconds in all; turn every failure into one of the port's two."""
        waited = 0.0
        while isinstance(answer := self._answer(method, where, arguments), float):
            waited += answer
            if waited > _LONGEST_WAIT:
                raise NotifierUnavailable(f"Slack asks to wait {answer:.0f} s before {method} again.")
            self.wait(answer)
        return answer

    def _answer(self, method: str, where: str, arguments: dict[str, Any]) -> Any:
        """Return what a method answers, or for how many seconds Slack wants to be left alone, as a float."""
        try:
            return self._request(method, arguments)
        except SlackApiError as error:
            pause = _pause(error)
            if pause is None:
                raise _translated(method, where, error) from error
            return pause
        except (OSError, HTTPException, SlackClientError) as error:
            raise NotifierUnavailable(f"Slack did not answer {method}: {error}. It will be tried again.") from error

    def _request(self, method: str, arguments: dict[str, Any]) -> Any:
        if method.startswith("chat.") and method != "chat.getPermalink":
            return self.client.api_call(method, json=arguments)
        # The reading methods take no JSON: docs.slack.dev/apis/web-api/using-the-slack-web-api
        return self.client.api_call(method, params=arguments)


def _asks(message: dict[str, Any], approval: Approval) -> bool:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    return (
        metadata.get("event_type") == action_ids.EVENT_TYPE
        and payload.get("approval_id") == approval.id
        and payload.get("pathspec") == str(approval.pathspec)
    )


def _pause(error: SlackApiError) -> float | None:
    """Return for how many seconds Slack wants to be left alone; None if that is not what it says."""
    response = error.response
    if getattr(response, "status_code", 0) != 429 and _code(error) not in {"ratelimited", "rate_limited"}:  # noqa: PLR2004 - HTTP
        return None
    headers = {name.lower(): value for name, value in (getattr(response, "headers", None) or {}).items()}
    try:
        return max(1.0, float(headers.get("retry-after", 1)))
    except ValueError:
        return 1.0


def _code(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def _translated(method: str, where: str, error: SlackApiError) -> NotifierUnavailable | NotifierRefused:
    code = _code(error)
    status = getattr(error.response, "status_code", 200)
    if is_passing(code, status):
        return NotifierUnavailable(f"Slack failed at {method} ({code or status}). It will be tried again.")
    data = error.response.data
    return NotifierRefused(advice(code, method=method, channel=where, needed=str(data.get("needed", ""))))
