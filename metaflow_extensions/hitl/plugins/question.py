"""The decorator's arguments, checked and normalised."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.schema import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_MESSAGE = "{flow} / {step}: may run {run_id} go on?"
_Choice = TypeVar("_Choice", bound=Enum)


class BadArgument(HitlError, ValueError):
    """An argument of ``@hitl`` that can't be used."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a step wants asked, before its artifacts are known."""

    message: str
    schema: dict[str, Any] | None
    approvers: tuple[str, ...]
    channel: str | None
    notifiers: tuple[str, ...] | None  # None: what the configuration says
    timeout: int | None  # seconds
    on_timeout: OnTimeout
    on_reject: OnReject
    poll_interval: float | None  # seconds


def read_arguments(arguments: Mapping[str, Any]) -> Ask:
    """Check what an author wrote; raise a HitlError that names the argument and what it accepts."""
    timeout = arguments["timeout"]
    on_timeout = _choice("on_timeout", arguments["on_timeout"], OnTimeout)
    if timeout is None and on_timeout is not OnTimeout.REJECT:
        raise BadArgument(f'on_timeout="{on_timeout.value}" needs a timeout, and timeout=None waits for ever.')
    schema = arguments["input_schema"]
    return Ask(
        message=_text("message", arguments["message"]) or _DEFAULT_MESSAGE,
        schema=None if schema is None else normalise(schema),
        approvers=_names("approvers", arguments["approvers"]) or (),
        channel=_text("channel", arguments["channel"]),
        notifiers=_names("notifier", arguments["notifier"]),
        timeout=None if timeout is None else parse_duration("timeout", timeout),
        on_timeout=on_timeout,
        on_reject=_choice("on_reject", arguments["on_reject"], OnReject),
        poll_interval=_seconds("poll_interval", arguments["poll_interval"]),
    )


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise BadArgument(f"{name}={value!r} is no text.")
    return value.strip()


def _names(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    parts = [value] if isinstance(value, str) else value
    if (
        not isinstance(parts, (list, tuple))
        or not parts
        or not all(isinstance(part, str) and part.strip() for part in parts)
    ):
        raise BadArgument(f"{name}={value!r} is no name and no list of names.")
    return tuple(part.strip() for part in parts)


def _choice(name: str, value: Any, kind: type[_Choice]) -> _Choice:
    try:
        return kind(value)
    except ValueError as error:
        accepted = ", ".join(f'"{choice.value}"' for choice in kind)
        raise BadArgument(f"{name}={value!r} is not accepted. Choose one of {accepted}.") from error


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 3600:  # noqa: PLR2004 - an hour
        raise BadArgument(f"{name}={value!r} is no number of seconds between 0 and 3600.")
    return float(value)
