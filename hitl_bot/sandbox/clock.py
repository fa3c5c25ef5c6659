"""The sandbox's own time, which a test may move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970, as the source tells them plus what the clock was moved by.

    Everything in the sandbox that waits, waits here: so a test moves the clock over Slack's three seconds, or over the
    thirty minutes of a response_url, and does not wait for them.

    Parameters
    ----------
    source : callable
        Tells the seconds since 1970. One that stands still makes a clock that moves by `advance` alone.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._source() + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward (or, with a negative number, back) and wake whoever waits for an instant now past."""
        self._offset += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def set(self, instant: float) -> None:
        """Let it be that instant, in seconds since 1970."""
        self.advance(instant - self.now())

    async def sleep_until(self, instant: float) -> None:
        while (left := instant - self.now()) > 0:
            moved = self._moved
            try:
                await asyncio.wait_for(moved.wait(), timeout=left)
            except asyncio.TimeoutError:
                # The timer and the clock round differently: without this the last microsecond would be a busy loop.
                await asyncio.sleep(0.001)
