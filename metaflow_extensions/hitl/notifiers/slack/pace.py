"""The pace at which Slack lets an app call its methods, kept before Slack has to ask for it.

Source: docs.slack.dev/apis/web-api/rate-limits: chat.postMessage takes about one message a second and channel, and
short bursts; a method of tier 2 takes 20 calls a minute, of tier 3 50, of tier 4 100, in each workspace. The tier of a
method stands on its own page below docs.slack.dev/reference/methods.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import NotifierBusy

PATIENCE = 10.0  # seconds that somebody who waits for an effect may be held up, in all, by one call
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
_TIER_3 = Rate(seconds=2.0, burst=20, bulk_burst=10)
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
                raise NotifierBusy(_words(method, channel), seconds=free - now)
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
