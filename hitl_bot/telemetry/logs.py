"""The log: constant texts with fields, for a person or for a machine, and never a token."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from hitl_bot.settings import LogFormat, LogLevel
from metaflow_extensions.hitl.approvals.bounded import BoundedMap

_LIBRARIES = ("slack_bolt", "slack_sdk")
_REPEATED_EVERY = 600.0  # seconds
_KINDS = 500
_VARIES = re.compile(r"\d+|0x[0-9a-f]+|[0-9a-f-]{32,36}")

_TOKEN = re.compile(r"\b(xox[a-z]|xapp)-[\w-]+")
_TICKET = re.compile(r"(wss?://[^\s?]+)\?\S+")  # the address of a Socket Mode connection holds its ticket


class Repeated(logging.Filter):
    """Lets each kind of line from Slack's libraries through once in ten minutes.

    While Slack is away they write several a second; the bot itself says once that it can't connect, and when it can.

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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(log_format)],
        )
    )
    handler.addFilter(Repeated())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.value.upper())


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
