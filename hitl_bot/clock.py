"""The bot's clock: the machine's, with a second opinion from those that it talks to."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from statistics import median
from threading import Lock
from typing import Any

import structlog

from metaflow_extensions.hitl.approvals.ports import Clock

from .slack.client import CallObserver

WRONG_FROM = 10.0  # seconds; an answer takes up to eight, and its `Date` has whole seconds
_RIGHT_AGAIN = 5.0  # seconds
_AGREE = 5.0  # seconds that several answers may lie apart
_HEARD = 5  # answers of one source that are kept
_NEEDED = 2  # of them, before a source counts

log = structlog.get_logger("hitl_bot.clock")


def utc_now() -> datetime:
    """Return the present, as the machine has it."""
    return datetime.now(timezone.utc)


class CheckedClock:
    """The present. Where Slack and the store both say that the machine's clock is wrong, theirs holds.

    Either of them suffices while the other has said nothing. Where they contradict each other, or one of them agrees
    with the machine, the machine's clock holds. Threads may share it.

    Parameters
    ----------
    system : Clock
        The machine's.
    """

    def __init__(self, system: Clock = utc_now) -> None:
        self._system = system
        self._heard: dict[str, deque[float]] = {}  # by source: seconds that it is ahead of the machine
        self._ahead = 0.0
        self._lock = Lock()

    def __call__(self) -> datetime:
        """Return the present."""
        return self._system() + timedelta(seconds=self._ahead)

    @property
    def ahead(self) -> float:
        """Seconds that are added to the machine's clock; 0 while nothing is known against it."""
        return self._ahead

    @property
    def sources(self) -> list[str]:
        """Who has said what time it is."""
        return sorted(self._heard)

    def hear(self, source: str, headers: Mapping[str, Any]) -> None:
        """Take in when somebody answered, by the headers that came with it. What passed through a cache says nothing.

        Parameters
        ----------
        source : str
            ``Slack`` or ``the store``.
        """
        named = {name.lower(): value for name, value in headers.items()}
        date = named.get("date")
        if date is None or "age" in named:
            return
        try:
            said = parsedate_to_datetime(str(date[0] if isinstance(date, list) else date))
            ahead = (said.astimezone(timezone.utc) - self._system()).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return
        with self._lock:
            self._heard.setdefault(source, deque(maxlen=_HEARD)).append(ahead)
            before, self._ahead = self._ahead, self._judged()
            after, others = self._ahead, " and ".join(self.sources)
        if before != after and after:
            log.warning(
                "the system clock is wrong", ahead_by=round(-after), says=others, fix="set it, by NTP for example"
            )
        elif before and not after:
            log.info("the system clock is right again")

    def _judged(self) -> float:
        settled = [one for one in self._heard.values() if len(one) >= _NEEDED and max(one) - min(one) < _AGREE]
        opinions = [median(one) for one in settled]
        if not opinions or max(opinions) - min(opinions) > _AGREE:
            return self._ahead if not opinions else 0.0
        found = median(opinions)
        if abs(found - self._ahead) < _RIGHT_AGAIN and self._ahead:
            return self._ahead  # a clock that trembles helps nobody
        return found if abs(found) >= WRONG_FROM else 0.0


def listening(client: Any, clock: CheckedClock) -> Any:
    """Let a boto3 client tell a clock when the store answered; return the client."""

    def heard(parsed: Mapping[str, Any], **_: object) -> None:
        clock.hear("the store", parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}))

    client.meta.events.register("after-call.s3", heard)
    return client


class SlackTime(CallObserver):
    """Tells a clock when Slack answered.

    Parameters
    ----------
    clock : Clock
        One that nobody is asked about is told nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def answered(self, headers: Mapping[str, Any]) -> None:
        if isinstance(self._clock, CheckedClock):
            self._clock.hear("Slack", headers)
