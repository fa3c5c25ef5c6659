"""Calls of Slack's Web API: at Slack's pace, and with every failure turned into one of the port's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException
from logging import getLogger
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from metaflow_extensions.hitl.approvals.errors import (
    MessageUnreachable,
    NotifierError,
    NotifierRefused,
    NotifierUnavailable,
)
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, is_busy, meaning, pause_of, status_of
from metaflow_extensions.hitl.notifiers.slack.errors import advice, passing
from metaflow_extensions.hitl.notifiers.slack.pace import PATIENCE, Lane, Pace

_UPLOAD = 30  # seconds
_PAGES = 20  # of 200 messages or 1,000 channels, before a look gives up


log = getLogger(__name__)


class TooLong(NotifierRefused):
    """Slack doesn't accept this message as it is. It may accept a shorter one."""


class SlackCalls:
    """Calls methods for one lane of the pace. Threads may share it.

    Parameters
    ----------
    client : WebClient
        With a bot token. Used without its retries: repeating chat.postMessage after a lost connection posts twice
        (slack_sdk's ``ConnectionErrorRetryHandler`` does so unasked).
    pace : Pace
        Shared with everything else that calls with the same token.
    wait : Callable[[float], object]
        Called with seconds until a turn comes, or when Slack asks for patience; 10 at most for one call of Slack.
    """

    def __init__(self, client: WebClient, pace: Pace, wait: Callable[[float], object]) -> None:
        self.client = copy.copy(client)
        self.client.retry_handlers = []
        self._pace = pace
        self._wait = wait
        self._lane = Lane.PEOPLE

    def for_bulk(self) -> SlackCalls:
        """Return one that never waits: what is too much for now is NotifierBusy."""
        bulk = copy.copy(self)
        bulk._lane = Lane.BULK  # noqa: SLF001 - its own class
        return bulk

    def call(self, method: str, where: str, arguments: dict[str, Any]) -> Any:
        """Call a method when its turn comes."""
        self.take_turn(method, where)
        return self.call_in_turn(method, where, arguments)

    def take_turn(self, method: str, where: str) -> None:
        """Wait until a call may be made, or raise NotifierBusy."""
        if seconds := self._pace.take(method, where, self._lane):
            self._wait(seconds)

    def call_in_turn(self, method: str, where: str, arguments: dict[str, Any]) -> Any:
        """Call a method; wait as Slack asks, for ten seconds in all; turn every failure into one of the port's."""
        waited = 0.0
        while isinstance(answer := self._answer(method, where, arguments), float):
            self._pace.hold(method, where, answer)
            waited += answer
            if waited > PATIENCE or self._lane is Lane.BULK:
                raise NotifierUnavailable(
                    f"Slack asks to wait {answer:.0f} s before {method} again. Waiting calls are made then, and "
                    "there is nothing to fix. If this keeps happening, too many questions are asked in one "
                    "channel, or another program calls Slack "
                    "with the same bot token: give it a token of its own, or ask in several channels. "
                    "(Slack: ratelimited)",
                    cause=f"ratelimited {method}",
                )
            self._wait(answer)
        return answer

    def pages(self, method: str, name: str, where: str, look: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what a method lists under a name, page after page."""
        cursor = ""
        for _ in range(_PAGES):
            page = self.call(method, where, look | ({"cursor": cursor} if cursor else {}))
            yield from page.get(name) or []
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def upload(self, url: str, content: bytes) -> None:
        """Send the bytes of a file to where files.getUploadURLExternal says; raises NotifierUnavailable."""
        # slack_sdk's own way, which knows the proxy and the certificates (slack_sdk 3.48, web/client.py).
        sending = {"logger": log, "timeout": _UPLOAD, "proxy": self.client.proxy, "ssl": self.client.ssl}
        try:
            status = self.client._upload_file(url=url, data=content, **sending).status  # type: ignore[arg-type] # noqa: SLF001
        except (OSError, HTTPException, SlackClientError) as error:
            raise NotifierUnavailable(
                f"Slack did not take a picture: {error}. The bot will retry.", cause="upload"
            ) from error
        if status != HTTPStatus.OK:
            raise NotifierUnavailable(
                f"Slack did not take a picture (HTTP {status}). The bot will retry.", cause="upload"
            )

    def merge(self, name: str, channel: str) -> None:
        """Keep one pace for a channel under its name and its id."""
        self._pace.merge(name, channel)

    def _answer(self, method: str, where: str, arguments: dict[str, Any]) -> Any:
        """Return what a method answers, or for how many seconds Slack wants to be left alone, as a float."""
        try:
            return self._request(method, arguments)
        except SlackApiError as error:
            if not is_busy(error):
                raise _translated(method, where, error) from error
            return pause_of(error)
        except (OSError, HTTPException, SlackClientError) as error:
            raise NotifierUnavailable(
                f"Slack did not answer {method}: {error}. The bot will retry.", cause=f"no answer {method}"
            ) from error

    def _request(self, method: str, arguments: dict[str, Any]) -> Any:
        if method.startswith("chat.") and method != "chat.getPermalink":
            return self.client.api_call(method, json=arguments)
        # The reading methods take no JSON: docs.slack.dev/apis/web-api/using-the-slack-web-api
        return self.client.api_call(method, params=arguments)


_KINDS: dict[Meaning, type[NotifierError]] = {Meaning.FINAL: MessageUnreachable, Meaning.TOO_LONG: TooLong}


def _translated(method: str, where: str, error: SlackApiError) -> NotifierError:
    code, status = code_of(error), status_of(error)
    what = meaning(method, code, status)
    if what is Meaning.PASSING:
        return NotifierUnavailable(passing(code or str(status), method=method), cause=f"{code or status} {method}")
    kind = _KINDS.get(what, NotifierRefused)
    return kind(advice(code, method=method, channel=where, needed=str(error.response.data.get("needed", ""))))
