"""Bad weather: what the next calls and deliveries shall suffer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatch
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


class Delivery(str, Enum):
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
        How many calls suffer it; it is gone afterwards.
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


class Weather:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.deliveries: Counter[Delivery] = Counter()

    def take(self, method: str, args: Json) -> Fault | None:
        """Return the oldest fault that strikes this call, and use it up by one."""
        for fault in self.faults:
            if fault.strikes(method, args):
                fault.times -= 1
                self.faults = [one for one in self.faults if one.times > 0]
                return fault
        return None

    def take_delivery(self, kind: Delivery) -> int:
        """Return 1 if the next envelope suffers this, else 0, and use it up."""
        struck = int(self.deliveries[kind] > 0)
        self.deliveries[kind] -= struck
        return struck

    def clear(self) -> None:
        self.faults.clear()
        self.deliveries.clear()

    def shape(self) -> Json:
        return {
            "faults": [fault.shape() for fault in self.faults],
            "deliveries": {kind.value: self.deliveries[kind] for kind in Delivery},
        }
