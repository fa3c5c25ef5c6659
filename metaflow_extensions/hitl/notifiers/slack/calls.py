"""Calls of Slack's Web API: at Slack's pace, and with every failure turned into one of the port's."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from http.client import HTTPException
from logging import getLogger
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import (
    MessageUnreachable,
    NotifierBusy,
    NotifierError,
    NotifierRefused,
    NotifierUnavailable,
)

from .codes import Meaning, advice, code_of, is_busy, meaning, passing, pause_of, status_of

# The pace at which Slack lets an app call its methods, kept before Slack has to ask for it.

PATIENCE = 10.0  # seconds that somebody who waits for an effect may be held up, in all, by one call
PATIENCE_TO_SHOW = 2.0  # seconds for an update: whoever clicked is told that the message follows, and goes on
_NOW = 0.05  # seconds: a turn that is no further away has come; clocks and timers round
_KEYS = 4_096  # methods and channels that are kept in mind; one that was forgotten starts afresh


class Lane(Enum):
    """Whose call it is. Each lane has its own room for a burst, so one never waits behind the other's bulk."""

    PEOPLE = "people"  # somebody just clicked or asked: waits for its turn, up to ten seconds
    BULK = "bulk"  # the sweeper's: never waits, is told when to come again


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often a method may be called.

    Attributes
    ----------
    seconds : float
        From one call to the next, in the long run.
    burst, bulk_burst : int
        Calls that may come at once, for people and for bulk. In any minute there are at most ``burst + 60 / seconds``
        calls.
    """

    seconds: float
    burst: int
    bulk_burst: int

    def room(self, lane: Lane) -> float:
        """Return how many seconds a lane may be ahead of the steady pace."""
        return self.seconds * ((self.burst if lane is Lane.PEOPLE else self.bulk_burst) - 1)


POSTING = Rate(seconds=1.0, burst=3, bulk_burst=2)  # Slack names no number for "short bursts"
_TIER_2 = Rate(seconds=5.0, burst=8, bulk_burst=4)
_TIER_3 = Rate(seconds=1.5, burst=10, bulk_burst=5)
RATES = {
    "chat.postMessage": POSTING,
    "chat.update": _TIER_3,
    "conversations.history": _TIER_3,
    "conversations.list": _TIER_2,
    "conversations.open": _TIER_3,
    "conversations.replies": _TIER_3,
}
"""The methods that are paced. The others are called at once, and wait only where Slack says so."""
_BY_CHANNEL = frozenset({"chat.postMessage"})


@dataclass
class _Turns:
    """Of one method, or one method in one channel, in seconds of the clock."""

    ahead: float = 0.0  # when the calls that were let through would be through at the steady pace
    held: float = 0.0  # Slack wants none before
    promised: float = 0.0  # the last turn that was promised to somebody


class Pace:
    """Says when a method may be called. Threads share one, and everything that calls with the same token should.

    Parameters
    ----------
    now : Callable[[], float]
        Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._turns: BoundedMap[tuple[str, str], _Turns] = BoundedMap(_KEYS)
        self._ids: BoundedMap[str, str] = BoundedMap(_KEYS)
        self._lock = threading.Lock()

    def take(self, method: str, channel: str, lane: Lane, patience: float = PATIENCE) -> float:
        """Take a turn, and return how many seconds it is away.

        Parameters
        ----------
        method : str
            Of the Web API.
        channel : str
            Where the call goes, by the channel's id or by a name that `merge` may tell the id of.
        lane : Lane
            Whose call it is.
        patience : float
            How many seconds away a turn for people may be.

        Raises
        ------
        NotifierBusy
            The turn is too far away. It is not taken; the error says when to come again, each caller at its own time.
        """
        rate = RATES.get(method)
        with self._lock:
            now = self._now()
            turns = self._of(method, channel, now)
            free = max(turns.held, turns.ahead - rate.room(lane) if rate else 0.0, now)
            if free - now > (patience if lane is Lane.PEOPLE else _NOW):
                if lane is Lane.BULK:
                    free = turns.promised = max(free, turns.promised + (rate.seconds if rate else 0.0))
                queue = "" if method in _BY_CHANNEL else method
                raise NotifierBusy(_words(method, channel), seconds=free - now, queue=queue)
            if rate:
                turns.ahead = max(turns.ahead, free) + rate.seconds
            return free - now if lane is Lane.PEOPLE else 0.0

    def merge(self, name: str, channel: str) -> None:
        """Count for a channel what was counted under another name of it, and what will be."""
        with self._lock:
            now = self._now()
            # Kept, since a caller that has not heard of the id yet may still be about to take a turn by the name.
            self._ids[name] = channel
            for method in _BY_CHANNEL:
                other = self._turns.pop((method, name), None)
                if other is not None:
                    turns = self._of(method, channel, now)
                    turns.ahead = max(turns.ahead, now) + max(0.0, other.ahead - now)
                    turns.held = max(turns.held, other.held)
                    turns.promised = max(turns.promised, other.promised)

    def hold(self, method: str, channel: str, seconds: float) -> None:
        """Let nobody call for so many seconds: Slack's Retry-After, which counts for a method (and channel) alone."""
        with self._lock:
            now = self._now()
            turns = self._of(method, channel, now)
            turns.held = max(turns.held, now + seconds)

    def _of(self, method: str, channel: str, now: float) -> _Turns:
        key = (method, self._ids.get(channel, channel) if method in _BY_CHANNEL else "")
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = _Turns(ahead=now, held=now, promised=now)
        self._turns.touch(key)
        return turns


def _words(method: str, channel: str) -> str:
    where = f" to {channel}" if method in _BY_CHANNEL else ""
    return f"Other calls come first at the rate that Slack allows for {method}{where}. It will be sent in turn."


# Calls of Slack's Web API: at Slack's pace, and with every failure turned into one of the port's.

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

    def for_bulk(self) -> "SlackCalls":
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
        patience = PATIENCE_TO_SHOW if method == "chat.update" else PATIENCE
        if seconds := self._pace.take(method, where, self._lane, patience):
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
