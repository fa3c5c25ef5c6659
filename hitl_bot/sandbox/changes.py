"""What happened in the workspace, in order, for whoever waits for it: the driver, the page, a test."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import islice
from typing import Any

KEPT = 20_000


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
        The person's act that it answers, where that can be told (by trigger_id or response_url), else "".
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
        """Return the changes after one, as soon as there are any; [] after so many real seconds without one."""
        if self.seq <= seq:
            grown = self._grown
            try:
                await asyncio.wait_for(grown.wait(), timeout)
            except asyncio.TimeoutError:
                return []
        return self.after(seq)
