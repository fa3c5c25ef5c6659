"""The log of Web API calls."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 20_000


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as it came and as it was answered; the token is left out.

    Attributes
    ----------
    at : float
        Seconds since 1970, by the sandbox's clock.
    outcome : str
        ``ok``, or Slack's error code, or ``http 503``, ``refused``, ``lost`` for the switches.
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
