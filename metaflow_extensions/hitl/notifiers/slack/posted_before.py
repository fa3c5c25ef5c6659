"""Which questions stand in a channel already, without reading the channel again for each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.messages import action_ids

# What another process posts within this time could be missed; who may still be posting is kept apart by far more: the
# sweeper comes ten seconds after whoever asked, and of several sweepers one posts.
_FRESH = timedelta(seconds=3)
_SPARE = timedelta(minutes=10)  # read further back than was asked for, so that a slightly older question needs no more
_CHANNELS = 256
_QUESTIONS = 10_000  # of one channel; with more it is read afresh


@dataclass
class _Channel:
    lock: threading.Lock = field(default_factory=threading.Lock)
    ts: dict[tuple[str, str], str] = field(default_factory=dict)  # by approval id and pathspec
    since: datetime | None = None  # how far back it was read; None: not at all
    newest: str = ""  # ts of the newest message that was read
    looked_at: datetime | None = None
    doubts: int = 0  # that there had been when it was looked at


class Postable(Protocol):
    """What a message asks about: an approval, or many gates at once."""

    @property
    def id(self) -> str: ...

    @property
    def pathspec(self) -> object: ...


class PostedBefore:
    """The questions of each channel by their messages' metadata. Threads may share it.

    Parameters
    ----------
    clock : Clock
        The present.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._channels: BoundedMap[str, _Channel] = BoundedMap(_CHANNELS)
        self._doubts = 0
        self._lock = threading.Lock()

    def find(
        self,
        channel: str,
        approval: Postable,
        read: Callable[[str], Iterable[dict[str, Any]]],
        *,
        since: datetime,
        bot_id: Callable[[], str],
        as_of: datetime | None = None,
    ) -> str | None:
        """Return the ts of the message that asks a question, or None if there is none.

        Parameters
        ----------
        channel : str
            Its id.
        approval : Postable
            What is asked about.
        read : Callable[[str], Iterable[dict]]
            Reads all messages of the channel that are newer than a ts, with their metadata, newest first.
        since : datetime
            How far back the message may lie.
        bot_id : Callable[[], str]
            Of the bot, asked for only where a message looks like one of its own: any app can write the same metadata.
        as_of : datetime, optional
            A look before this moment does not do.
        """
        seen = self._of(channel)
        with seen.lock:
            if seen.since is None or since < seen.since or len(seen.ts) > _QUESTIONS:
                seen.ts, seen.since, seen.newest, seen.looked_at = {}, since - _SPARE, "", None
            now, doubts = self._clock(), self._doubts
            if seen.doubts != doubts or _is_old(seen.looked_at, now, as_of):
                # By Slack's own clock, by which nothing can be posted in the past.
                found = list(read(seen.newest or f"{seen.since.timestamp():.6f}"))
                for message in found:
                    key = _key_of(message)
                    if key is not None and message.get("bot_id") == bot_id():
                        seen.ts.setdefault(key, str(message["ts"]))
                seen.newest = max([seen.newest, *(str(message["ts"]) for message in found)])
                seen.looked_at, seen.doubts = now, doubts
            return seen.ts.get(_key(approval))

    def note(self, channel: str, approval: Postable, ts: str) -> None:
        """Remember what was just posted from here."""
        seen = self._of(channel)
        with seen.lock:
            seen.ts[_key(approval)] = ts

    def doubt(self) -> None:
        """Look again before the next answer: something may stand somewhere that nobody here knows of."""
        with self._lock:
            self._doubts += 1

    def _of(self, channel: str) -> _Channel:
        with self._lock:
            seen = self._channels.setdefault(channel, _Channel())
            self._channels.touch(channel)
            return seen


def _is_old(looked_at: datetime | None, now: datetime, as_of: datetime | None) -> bool:
    if looked_at is None or (as_of is not None and looked_at <= as_of):
        return True
    return not timedelta(0) <= now - looked_at < _FRESH


def _key(approval: Postable) -> tuple[str, str]:
    return approval.id, str(approval.pathspec)


def _key_of(message: dict[str, Any]) -> tuple[str, str] | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") != action_ids.EVENT_TYPE:
        return None
    return str(payload.get("approval_id")), str(payload.get("pathspec"))
