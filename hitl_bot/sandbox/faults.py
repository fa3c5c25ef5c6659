"""Faults for the next calls and deliveries, and rate limits."""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatch
from itertools import takewhile
from typing import Any

Json = dict[str, Any]


class Outcome(str, Enum):
    """What a fault does to a call of the Web API."""

    ERROR = "error"  # Slack's {"ok": false, "error": ...}
    STATUS = "status"  # an HTTP status with a body that is not JSON
    RATELIMITED = "ratelimited"  # 429 with Retry-After
    DELAY = "delay"  # the call goes on after so many seconds
    REFUSED = "refused"  # the connection breaks before anything was done
    LOST = "lost"  # everything was done, but the answer never arrives


class DeliveryFault(str, Enum):
    """What can go wrong with an envelope."""

    TWICE = "twice"  # delivered two times
    UNHEARD = "unheard"  # its ack does not arrive


@dataclass(kw_only=True)
class Fault:
    """One fault, for the next `times` calls of a method.

    Attributes
    ----------
    method : str
        A method's name, or a pattern such as ``chat.*``.
    outcome : Outcome
        What happens.
    times : int
        How many calls it affects; then it is removed.
    error : str
        With `Outcome.ERROR`: Slack's error code.
    status : int
        With `Outcome.STATUS`: the HTTP status.
    seconds : float
        With `Outcome.DELAY`: how long; with `Outcome.RATELIMITED`: what Retry-After says.
    where : dict
        Only calls with these arguments, e.g. ``{"channel": "C0APPROVALS"}``.
    """

    method: str
    outcome: Outcome
    times: int = 1
    error: str = ""
    status: int = 503
    seconds: float = 0.0
    where: Json = field(default_factory=dict)

    def strikes(self, method: str, args: Json) -> bool:
        return (
            self.times > 0
            and fnmatch(method, self.method)
            and all(args.get(name) == value for name, value in self.where.items())
        )

    def shape(self) -> Json:
        return {
            "method": self.method,
            "outcome": self.outcome.value,
            "times": self.times,
            "error": self.error,
            "status": self.status,
            "seconds": self.seconds,
            "where": self.where,
        }


class PendingFaults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.deliveries: Counter[DeliveryFault] = Counter()

    def take(self, method: str, args: Json) -> Fault | None:
        """Return the oldest fault that affects this call, and count it as used once."""
        for fault in self.faults:
            if fault.strikes(method, args):
                fault.times -= 1
                self.faults = [one for one in self.faults if one.times > 0]
                return fault
        return None

    def take_delivery(self, kind: DeliveryFault) -> int:
        """Return 1 if this should happen to the next envelope, else 0, and count it as used."""
        struck = int(self.deliveries[kind] > 0)
        self.deliveries[kind] -= struck
        return struck

    def clear(self) -> None:
        self.faults.clear()
        self.deliveries.clear()

    def shape(self) -> Json:
        return {
            "faults": [fault.shape() for fault in self.faults],
            "deliveries": {kind.value: self.deliveries[kind] for kind in DeliveryFault},
        }


# Slack's rate limits: every call is counted; a switch makes the limits bite.

POST_BURST = 4  # "short bursts" pass, says the documentation without a number; this is the sandbox's


class Tier(Enum):
    """Calls allowed per minute; postings are one per second and channel; some methods have no limit worth counting."""

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
        """Count a call, and return how many seconds later it should have come."""
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
        """Record the busiest second and minute, counting every call."""
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
        """Count a call; return the seconds of Retry-After, or 0 if the call is allowed."""
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
