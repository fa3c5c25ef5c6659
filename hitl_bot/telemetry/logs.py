"""The log: constant texts with fields, for a person or for a machine, and never a token."""

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from hitl_bot.settings import LogFormat, LogLevel
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import NotifierBusy, NotifierError, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock, Finder, Notifier
from metaflow_extensions.hitl.approvals.record import Approval, Post

_LIBRARIES = ("slack_bolt", "slack_sdk")
_REPEATED_EVERY = 600.0  # seconds
_KINDS = 500
_VARIES = re.compile(r"\d+|0x[0-9a-f]+|[0-9a-f-]{32,36}")

_TOKEN = re.compile(r"\b(xox[a-z]|xapp)-[\w-]+")
_TICKET = re.compile(r"(wss?://[^\s?]+)\?\S+")  # the address of a Socket Mode connection holds its ticket


slack_is_away = Event()
"""Set while no call reaches Slack. The log has been told so, once."""


class Repeated(logging.Filter):
    """Lets each kind of line from Slack's libraries through once in ten minutes, and none while Slack is away.

    They write several a second then; the bot itself says once that Slack is away, and once that it is back.

    Parameters
    ----------
    monotonic : Callable[[], float]
        Seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._written: BoundedMap[tuple[str, str], float] = BoundedMap(_KINDS)
        self._lock = Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        if not record.name.startswith(_LIBRARIES):
            return True
        if slack_is_away.is_set():
            return False
        kind, now = (record.name, _VARIES.sub("", record.getMessage())[:80]), self._monotonic()
        with self._lock:
            written = self._written.get(kind)
            if written is not None and now - written < _REPEATED_EVERY:
                return False
            self._written[kind] = now
        return True


def set_up_logs(log_format: LogFormat, level: LogLevel) -> None:
    """Send the bot's log, and that of the libraries, to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        without_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_colors,
                _renderer(log_format),
            ],
        )
    )
    handler.addFilter(Repeated())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.value.upper())


def _without_colors(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop uvicorn's second text of a line, which has codes for a terminal's colours."""
    event.pop("color_message", None)
    return event


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take tokens and tickets out of every text, whichever library wrote it."""
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _TICKET.sub(r"\1?…", _TOKEN.sub(r"\1-…", value))
    if isinstance(value, BaseException):
        return _clean(repr(value))
    return value


def _renderer(log_format: LogFormat) -> Processor:
    if log_format is LogFormat.JSON:
        return structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


# What keeps questions from being shown: logged once for each cause, not once for each question.

REPORT_AGAIN = timedelta(hours=1)
_CAUSES = 1_000

log = structlog.get_logger("hitl_bot.notifiers")


AWAY_AFTER = 4.0  # seconds without any answer; a bot that is connecting tries every five


class Outage:
    """Tells the log once that Slack is away, and once that it is back. Threads may share it.

    Parameters
    ----------
    waiting : Callable[[], Mapping[str, int]]
        Counts what waits for Slack, in words for the log.
    monotonic : Callable[[], float]
        Seconds of a clock that never goes back.
    """

    def __init__(
        self, waiting: Callable[[], Mapping[str, int]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = waiting
        self._monotonic = monotonic
        self._since: float | None = None  # the first call of those that all remained without an answer
        self._told = False
        self._lock = Lock()

    @property
    def is_on(self) -> bool:
        """Whether the log was told that Slack is away, and Slack is not back."""
        return self._told

    def no_answer(self, method: str, kind: str) -> None:
        """Note that a call did not reach Slack."""
        with self._lock:
            now = self._monotonic()
            self._since = now if self._since is None else self._since
            if self._told or now - self._since < AWAY_AFTER:
                return
            self._told = True
            slack_is_away.set()
        log.warning(
            "slack is away",
            method=method,
            kind=kind,
            fix="see slack-status.com, and check the network path",
            **self._waiting(),
        )

    def answered(self) -> None:
        """Note that Slack answered, whatever it said."""
        with self._lock:
            since, told = self._since, self._told
            self._since, self._told = None, False
            if not told:
                return
            slack_is_away.clear()
        log.info("slack is back", seconds=round(self._monotonic() - (since or 0.0)), **self._waiting())


class ProblemLog:
    """Writes each problem of a notifier to the log as an error, with what to do; the same again after an hour.

    Parameters
    ----------
    clock : Clock
        The present.
    outage : Outage, optional
        While it is on, what merely got no answer has been said.
    """

    def __init__(self, clock: Clock, outage: Outage | None = None) -> None:
        self._outage = outage
        self._clock = clock
        self._reported: BoundedMap[tuple[str, str], datetime] = BoundedMap(_CAUSES)
        self._lock = Lock()

    def report(
        self, notifier: str, example: str, error: NotifierError, *, what: str = "questions can't be shown"
    ) -> None:
        """Log a problem that was not logged within the last hour. Having to wait for a turn is not a problem."""
        if isinstance(error, NotifierBusy):
            return
        if self._outage is not None and self._outage.is_on and isinstance(error, NotifierUnavailable):
            return
        key, now = (notifier, f"{what} {error.cause}"), self._clock()
        with self._lock:
            reported = self._reported.get(key)
            if reported is not None and now - reported < REPORT_AGAIN:
                return
            self._reported[key] = now
        log.error(what, notifier=notifier, why=str(error), for_example=example)


class ReportingNotifier:
    """A notifier whose problems are logged. It still raises them.

    Parameters
    ----------
    name : str
        What questions ask for it by.
    notifier : Notifier
        What does the work.
    problems : ProblemLog
        Where they are logged.
    """

    def __init__(self, name: str, notifier: Notifier, problems: ProblemLog) -> None:
        self.updates = bool(getattr(notifier, "updates", False))
        self._name = name
        self._notifier = notifier
        self._problems = problems

    def post(self, approval: Approval) -> Post | None:
        """Ask the question."""
        try:
            return self._notifier.post(approval)
        except NotifierError as error:
            self._problems.report(self._name, approval.id, error)
            raise

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now."""
        try:
            self._notifier.update(approval, post)
        except NotifierError as error:
            self._problems.report(self._name, approval.id, error)
            raise

    def find(self, approval: Approval) -> Post | None:
        """Return where a question stands, if the notifier can say."""
        if not isinstance(self._notifier, Finder):
            return None
        try:
            return self._notifier.find(approval)
        except NotifierError as error:
            self._problems.report(self._name, approval.id, error)
            raise

    def withdraw(self, post: Post) -> None:
        """Remove a message beside the one that the record names, if the notifier can."""
        if isinstance(self._notifier, Finder):
            try:
                self._notifier.withdraw(post)
            except NotifierError as error:
                self._problems.report(self._name, post.ts or "", error)
                raise


def reporting(notifiers: Mapping[str, Notifier], problems: ProblemLog) -> dict[str, Notifier]:
    """Log the problems of all these notifiers."""
    return {name: ReportingNotifier(name, notifier, problems) for name, notifier in notifiers.items()}
