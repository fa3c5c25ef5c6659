"""What happened in the workspace, in order, for those who wait for it: the driver, the page, a test."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import islice
from typing import Any

# The sandbox's own time, which a test may move.


class Clock:
    """Seconds since 1970: what the source returns, plus the time by which the clock was moved.

    Everything in the sandbox that waits, waits here. So a test can move the clock past Slack's three seconds, or past
    the thirty minutes of a response_url, instead of waiting for them.

    Parameters
    ----------
    source : callable
        Returns the seconds since 1970. With a constant one, the clock moves only by `advance`.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._source() + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward (or, with a negative number, back) and wake everything that waits for an instant now past."""
        self._offset += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def set(self, instant: float) -> None:
        """Set the clock, in seconds since 1970."""
        self.advance(instant - self.now())

    async def sleep_until(self, instant: float) -> None:
        while (left := instant - self.now()) > 0:
            moved = self._moved
            try:
                await asyncio.wait_for(moved.wait(), timeout=left)
            except asyncio.TimeoutError:
                # The timer and the clock round differently: without this the last microsecond would be a busy loop.
                await asyncio.sleep(0.001)


# The log of Web API calls.

KEPT = 20_000


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call, with its arguments and its outcome; the token is left out.

    Attributes
    ----------
    at : float
        Seconds since 1970, by the sandbox's clock.
    outcome : str
        ``ok``, or Slack's error code, or ``http 503``, ``refused``, ``lost`` for faults.
    """

    seq: int
    at: float
    method: str
    args: dict[str, Any]
    outcome: str

    def shape(self) -> dict[str, Any]:
        return asdict(self)


class CallLog:
    """The latest calls, at most `KEPT` of them."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._seq = 0

    def add(self, at: float, method: str, args: dict[str, Any], outcome: str) -> None:
        self._seq += 1
        kept = {name: value for name, value in args.items() if name != "token"}
        self._calls.append(Call(seq=self._seq, at=at, method=method, args=kept, outcome=outcome))

    def select(self, method: str = "", after: int = 0) -> list[Call]:
        return [call for call in self._calls if call.seq > after and method in ("", call.method)]


# What happened in the workspace, in order, for whoever waits for it: the driver, the page, a test.


class Kind(str, Enum):
    """What a change is about; its value is the word in the control API."""

    MESSAGE_POSTED = "message_posted"
    MESSAGE_CHANGED = "message_changed"
    MESSAGE_DELETED = "message_deleted"
    VIEW_OPENED = "view_opened"
    VIEW_CHANGED = "view_changed"
    VIEW_CLOSED = "view_closed"
    HOME_PUBLISHED = "home_published"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CALLED = "called"
    SWITCHED = "switched"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that happened.

    Attributes
    ----------
    seq : int
        Counts up from 1 without gaps.
    kind : Kind
        What happened.
    act : str
        The person's act that it answers, if that is known (by trigger_id or response_url), else "".
    """

    seq: int
    kind: Kind
    act: str = ""
    channel: str = ""
    ts: str = ""
    user: str = ""
    view: str = ""
    envelope: str = ""
    method: str = ""

    def shape(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind.value}


class Feed:
    """The latest changes, at most `KEPT` of them."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self._grown = asyncio.Event()
        self.seq = 0

    def add(self, kind: Kind, **about: str) -> None:
        self.seq += 1
        self._changes.append(Change(seq=self.seq, kind=kind, **about))
        self._grown.set()
        self._grown = asyncio.Event()

    def after(self, seq: int) -> list[Change]:
        return list(islice(self._changes, max(0, len(self._changes) - (self.seq - seq)), None))

    async def wait(self, seq: int, timeout: float) -> list[Change]:
        """Return the changes after a number, once there are any; [] if none comes within that many real seconds."""
        if self.seq <= seq:
            grown = self._grown
            try:
                await asyncio.wait_for(grown.wait(), timeout)
            except asyncio.TimeoutError:
                return []
        return self.after(seq)
