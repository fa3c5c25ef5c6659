"""Turns at a method of Slack's Web API, within the calls a minute that Slack allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class NoTurn(Exception):
    """The next turn comes too late for its caller."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next turn comes in {seconds:.0f} s")
        self.seconds = seconds


class Turns:
    """A token bucket. Threads share it.

    Parameters
    ----------
    a_minute : int
        Calls a minute, in the long run.
    burst : int
        Calls that need not wait after a quiet minute. Both together stay below Slack's limit.
    patience : float
        Seconds that one call may wait.
    monotonic, sleep
        The clock, and how to wait.
    """

    def __init__(
        self,
        *,
        a_minute: int,
        burst: int,
        patience: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._refill = a_minute / 60
        self._burst = float(burst)
        self._patience = patience
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = Lock()
        self._tokens = self._burst
        self._seen = monotonic()

    def wait(self) -> None:
        """Wait for a turn.

        Raises
        ------
        NoTurn
            It comes later than this may wait. No turn was taken.
        """
        with self._lock:
            now = self._monotonic()
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._seen) * self._refill)
            self._seen = now
            wait = max(0.0, (1 - self._tokens) / self._refill)
            if wait > self._patience:
                raise NoTurn(wait)
            self._tokens -= 1  # below 0 it is promised to those who wait
        if wait:
            self._sleep(wait)
