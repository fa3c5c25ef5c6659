"""The decorator's arguments, checked and normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from metaflow_extensions.hitl.approvals.deciding.permission import is_group
from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.question import Need, OnReject, OnTimeout, RuleMode
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.approvals.schema.fields import fields
from metaflow_extensions.hitl.plugins.evidence_arguments import (
    MetricSpec,
    read_condition,
    read_links,
    read_metrics,
    read_quorum_if,
)
from metaflow_extensions.hitl.slack import FORM

_DEFAULT_MESSAGE = "{flow} / {step}: may run {run_id} go on?"
_MOST = 20  # people who must agree; more than a message can name
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
    needs: tuple[Need, ...]  # so many of each group; `approvers` names them all
    quorum: int
    allow_self_approval: bool
    allow_changes: bool
    remind_every: int | None  # seconds
    escalate_after: int | None  # seconds
    escalate_to: tuple[str, ...]
    batch: bool | None  # None: from four shards on
    metrics: tuple[MetricSpec, ...]
    links: dict[str, str]  # templates of addresses, by what is there
    auto_approve: str | None
    mode: RuleMode
    quorum_if: dict[str, int]
    valid_for: int | None  # seconds
    supersede: bool


def read_arguments(arguments: Mapping[str, Any]) -> Ask:
    """Check what an author wrote; raise a HitlError that names the argument and what it accepts."""
    timeout = arguments["timeout"]
    on_timeout = _choice("on_timeout", arguments["on_timeout"], OnTimeout)
    if timeout is None and on_timeout is not OnTimeout.REJECT:
        raise BadArgument(f'on_timeout="{on_timeout.value}" needs a timeout, and timeout=None waits for ever.')
    schema = arguments["input_schema"]
    approvers, needs = _approvers(arguments["approvers"])
    escalate_after = _duration("escalate_after", arguments["escalate_after"])
    escalate_to = _names("escalate_to", arguments["escalate_to"]) or ()
    if bool(escalate_to) is not bool(escalate_after):
        raise BadArgument(
            'escalate_after and escalate_to go together: escalate_after="8h", escalate_to=["@ml-oncall"].'
        )
    metrics = read_metrics(arguments["metrics"])
    quorum_if = read_quorum_if(arguments["quorum_if"], metrics)
    for people in quorum_if.values():
        _quorum(people, approvers)
    _check_defaults(schema, arguments["auto_approve"])
    return Ask(
        message=_text("message", arguments["message"]) or _DEFAULT_MESSAGE,
        schema=None if schema is None else normalise(schema, FORM),
        approvers=approvers,
        channel=_text("channel", arguments["channel"]),
        notifiers=_names("notifier", arguments["notifier"]),
        timeout=None if timeout is None else parse_duration("timeout", timeout),
        on_timeout=on_timeout,
        on_reject=_choice("on_reject", arguments["on_reject"], OnReject),
        poll_interval=_seconds("poll_interval", arguments["poll_interval"]),
        needs=needs,
        quorum=_quorum(arguments["quorum"], approvers),
        allow_self_approval=_yes_or_no("allow_self_approval", arguments["allow_self_approval"]),
        allow_changes=_yes_or_no("allow_changes", arguments["allow_changes"]),
        remind_every=_duration("remind_every", arguments["remind_every"]),
        escalate_after=escalate_after,
        escalate_to=escalate_to,
        batch=None if arguments["batch"] is None else _yes_or_no("batch", arguments["batch"]),
        metrics=metrics,
        links=read_links(arguments["links"]),
        auto_approve=read_condition("auto_approve", arguments["auto_approve"], metrics),
        mode=_mode(arguments["mode"], arguments["auto_approve"]),
        quorum_if=quorum_if,
        valid_for=_duration("valid_for", arguments["valid_for"]),
        supersede=_yes_or_no("supersede", arguments["supersede"]),
    )


def _check_defaults(schema: Any, auto_approve: Any) -> None:
    """Refuse a rule that could never approve, because a form would have to be filled in."""
    if schema is None or auto_approve is None:
        return
    gaps = [one.name for one in fields(normalise(schema, FORM)) if one.required and one.default is None]
    if gaps:
        raise BadArgument(
            f"`auto_approve` needs a default for every field of `input_schema` that isn't optional, and "
            f"{', '.join(gaps)} has none: without a person nobody fills in the form."
        )


def _mode(value: Any, auto_approve: Any) -> RuleMode:
    if value != "decide" and auto_approve is None:
        raise BadArgument(f"`mode={value!r}` goes with `auto_approve`, the condition that it is about.")
    return _choice("mode", value, RuleMode)


def _approvers(value: Any) -> tuple[tuple[str, ...], tuple[Need, ...]]:
    """Read names, or groups with a quorum each."""
    if not isinstance(value, (list, tuple)) or not any(isinstance(part, dict) for part in value):
        return _names("approvers", value) or (), ()
    needs = tuple(_need(part) for part in value)
    return tuple(dict.fromkeys(name for need in needs for name in need.of)), needs


def _need(part: Any) -> Need:
    if not isinstance(part, dict) or set(part) - {"group", "quorum"} or not _is_name(part.get("group")):
        raise BadArgument(
            f"approvers has {part!r}. Write names alone, or a quorum for each group: "
            'approvers=[{"group": "@ml-leads", "quorum": 1}, {"group": "@risk", "quorum": 1}].'
        )
    name = part["group"].strip()
    return Need(of=(name,), quorum=_quorum(part.get("quorum", 1), (name,)))


def _quorum(value: Any, approvers: tuple[str, ...]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST:
        raise BadArgument(f"quorum={value!r} is no number of people from 1 to {_MOST}.")
    # Of a group nobody knows yet how many are in it; of people each is one.
    if approvers and value > len(approvers) and not any(is_group(name) for name in approvers):
        raise BadArgument(
            f"quorum={value} can never be met by {len(approvers)} approvers. Name more, or ask for fewer."
        )
    return value


def _duration(name: str, value: Any) -> int | None:
    return None if value is None else parse_duration(name, value)


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadArgument(f"{name}={value!r} is neither True nor False.")
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


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
    if not isinstance(parts, (list, tuple)) or not parts or not all(_is_name(part) for part in parts):
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
