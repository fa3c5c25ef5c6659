"""Slack's rate limits: every call is counted; a switch makes the limits bite.

Source: docs.slack.dev/apis/web-api/rate-limits, and the tier that each method's own page names.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from itertools import takewhile
from typing import Any

POST_BURST = 4  # "short bursts" pass, says the documentation without a number; this is the sandbox's


class Tier(Enum):
    """Calls allowed in a minute; a posting is one a second and channel; some methods have no limit worth counting."""

    NONE = 0
    ONE = 1
    TWO = 20
    THREE = 50
    FOUR = 100
    POSTING = 60


@dataclass
class Count:
    """What was seen of one method (and, for postings, one channel)."""

    tier: Tier
    calls: int = 0
    exceeded: int = 0
    peak_second: int = 0
    peak_minute: int = 0
    tokens: float = 0.0
    seen: float = 0.0
    times: deque[float] = field(default_factory=deque)

    @property
    def capacity(self) -> float:
        return POST_BURST if self.tier is Tier.POSTING else self.tier.value

    @property
    def refill(self) -> float:
        """Calls a second."""
        return self.tier.value / 60

    def add(self, now: float) -> int:
        """Count a call, and return how many seconds it should have waited."""
        self.calls += 1
        if self.calls == 1:
            self.tokens = self.capacity
        else:
            self.tokens = min(self.capacity, self.tokens + max(0.0, now - self.seen) * self.refill)
        self.seen = now
        self._measure(now)
        if self.tier is not Tier.NONE and self.tokens < 1 - 1e-9:
            self.exceeded += 1
            return max(1, math.ceil((1 - self.tokens) / self.refill))
        self.tokens -= 1
        return 0

    def _measure(self, now: float) -> None:
        """Note the busiest second and minute, with every call that came."""
        self.times.append(now)
        while self.times[0] <= now - 60:
            self.times.popleft()
        in_this_second = takewhile(lambda at: at > now - 1, reversed(self.times))
        self.peak_minute = max(self.peak_minute, len(self.times))
        self.peak_second = max(self.peak_second, sum(1 for _ in in_this_second))


class Enforcement(str, Enum):
    """Whether a call over the limit is only counted, or answered with 429."""

    COUNTED = "counted"
    ENFORCED = "enforced"


class RateLimits:
    """Counts by method, and by channel where Slack limits by channel."""

    def __init__(self) -> None:
        self.enforcement = Enforcement.COUNTED
        self._counts: dict[tuple[str, str], Count] = {}

    def check(self, method: str, tier: Tier, channel: str, now: float) -> int:
        """Count a call; return the seconds of Retry-After, or 0 where the call may go on."""
        key = (method, channel if tier is Tier.POSTING else "")
        count = self._counts.setdefault(key, Count(tier))
        wait = count.add(now)
        return wait if self.enforcement is Enforcement.ENFORCED else 0

    def shape(self) -> list[dict[str, Any]]:
        return [
            {
                "method": method,
                "channel": channel,
                "tier": count.tier.name.lower(),
                "calls": count.calls,
                "exceeded": count.exceeded,
                "peak_second": count.peak_second,
                "peak_minute": count.peak_minute,
            }
            for (method, channel), count in self._counts.items()
        ]
