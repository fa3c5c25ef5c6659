"""The decorator's arguments, checked and normalised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from metaflow_extensions.hitl.approvals.deciding.permission import is_group, problem_with
from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.question import Need, OnReject, OnTimeout, Question, RuleMode
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.approvals.schema.fields import fields
from metaflow_extensions.hitl.slack import FORM

from .evidence_arguments import (
    MetricSpec,
    PlotSpec,
    read_condition,
    read_links,
    read_metrics,
    read_plots,
    read_quorum_if,
)
from .forms import check_form, depends_on_run
from .models import model_of

_DEFAULT_MESSAGE = "{flow} / {step}: continue run {run_id}?"
_SENTENCE = 200  # characters of what an answer leads to
_MOST = 20  # people who must agree; more than a message can name


# From an argument's name, its value and the parts that were read before it, to its own parts of the question.
Reader = Callable[[str, Any, Mapping[str, Any]], dict[str, Any]]


class BadArgument(HitlError, ValueError):
    """An argument of ``@hitl`` that can't be used."""


@dataclass(frozen=True, kw_only=True)
class StepArguments:
    """What a step's ``@hitl`` says, checked.

    Attributes
    ----------
    question : Question
        What shall be asked, before the artifacts are known: its message is a template, and what the author left open
        (``notifiers``, ``channel``, ``batch``) is still empty.
    poll_interval : float, optional
        Seconds.
    metrics : tuple of MetricSpec
        What the decision is based on, before its values are known.
    plots : tuple of PlotSpec
        Pictures of the run's own, before they are drawn.
    form : object, optional
        The ``input_schema`` as it was written, where it depends on artifacts; then the question has no schema yet.
    model : type, optional
        The pydantic model that the step's input becomes.
    """

    question: Question
    poll_interval: float | None
    metrics: tuple[MetricSpec, ...]
    plots: tuple[PlotSpec, ...]
    form: object = None
    model: Any = None


def read_arguments(arguments: Mapping[str, Any]) -> StepArguments:
    """Check what an author wrote; raise a HitlError that names the argument and what it accepts."""
    parts: dict[str, Any] = {}
    for name, read in ARGUMENTS.items():
        parts |= read(name, arguments[name], parts)
    own = {name: parts.pop(name) for name in ("poll_interval", "metrics", "plots", "form", "model")}
    question = Question(**parts)
    _check_together(question)
    return StepArguments(question=question, **own)


def _check_together(question: Question) -> None:
    """Refuse arguments that contradict each other."""
    if question.timeout is None and question.on_timeout is not OnTimeout.REJECT:
        raise BadArgument(
            f'on_timeout="{question.on_timeout.value}" needs a `timeout`, but `timeout` is None, which waits forever.'
        )
    if bool(question.escalate_to) is not bool(question.escalate_after):
        raise BadArgument(
            'escalate_after and escalate_to go together: escalate_after="8h", escalate_to=["@ml-oncall"].'
        )
    if question.auto_approve_mode is not RuleMode.DECIDE and question.auto_approve is None:
        mode = question.auto_approve_mode.value
        raise BadArgument(f"`mode={mode!r}` needs `auto_approve`, the condition that it applies to.")
    _check_can_be_met(question.quorum, question.approvers)
    for need in question.needs:
        _check_can_be_met(need.quorum, need.of)
    for people in question.quorum_if.values():
        _quorum("quorum_if", people)
        _check_can_be_met(people, question.approvers)
    check_defaults(question)


def check_defaults(question: Question) -> None:
    """Refuse a rule that could never approve, because a form would have to be filled in."""
    if question.schema is None or question.auto_approve is None:
        return
    gaps = [one.name for one in fields(question.schema) if one.required and one.default is None]
    if gaps:
        raise BadArgument(
            f"`auto_approve` needs a default for every field of `input_schema` that isn't optional, and "
            f"{', '.join(gaps)} has none: without a person, nobody fills in the form."
        )


def _check_can_be_met(quorum: int, approvers: tuple[str, ...]) -> None:
    # Of a group nobody knows yet how many are in it; of people each is one.
    if approvers and quorum > len(approvers) and not any(is_group(name) for name in approvers):
        raise BadArgument(
            f"quorum={quorum} can never be met by {len(approvers)} approvers. Name more, or ask for fewer."
        )


def _approvers(name: str, value: Any, _parts: Mapping[str, Any]) -> dict[str, Any]:
    """Read names, or groups with a quorum each."""
    if not isinstance(value, (list, tuple)) or not any(isinstance(part, dict) for part in value):
        return {"approvers": _people(name, value)}
    needs = tuple(_need(part) for part in value)
    return {"approvers": tuple(dict.fromkeys(group for need in needs for group in need.of)), "needs": needs}


def _need(part: Any) -> Need:
    if not isinstance(part, dict) or set(part) - {"group", "quorum"} or not _is_name(part.get("group")):
        raise BadArgument(
            f"`approvers` must not mix names and groups (it has {part!r}). Use only names, or a quorum for each group: "
            'approvers=[{"group": "@ml-leads", "quorum": 1}, {"group": "@risk", "quorum": 1}].'
        )
    name = _person("approvers", part["group"].strip())
    return Need(of=(name,), quorum=_quorum("quorum", part.get("quorum", 1)))


def _people(name: str, value: Any) -> tuple[str, ...]:
    """Read names of approvers. One that nobody can ever be would leave the run waiting."""
    return tuple(_person(name, one) for one in _names(name, value))


def _person(name: str, one: str) -> str:
    if problem := problem_with(one):
        raise BadArgument(f"{name}: {problem}")
    return one


def _quorum(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST:
        raise BadArgument(f"`{name}` must be a whole number from 1 to {_MOST}, not {value!r}.")
    return value


def _duration(name: str, value: Any) -> int | None:
    return None if value is None else parse_duration(name, value)


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadArgument(f"`{name}` must be True or False, not {value!r}.")
    return value


def _yes_or_no_or_open(name: str, value: Any) -> bool | None:
    return None if value is None else _yes_or_no(name, value)


def _message(name: str, value: Any) -> str:
    return _text(name, value) or _DEFAULT_MESSAGE


def _schema(_name: str, value: Any, _parts: Mapping[str, Any]) -> dict[str, Any]:
    if depends_on_run(value):
        check_form(value)
        return {"schema": None, "form": value, "model": None}
    return {"schema": None if value is None else normalise(value, FORM), "form": None, "model": model_of(value)}


def _what_happens(name: str, value: Any, parts: Mapping[str, Any]) -> dict[str, Any]:
    if value is None:
        return {name: {}}
    offered = ("approve", "reject", "changes") if parts["allow_changes"] else ("approve", "reject")
    if not isinstance(value, Mapping) or not value or not all(_is_name(text) for text in value.values()):
        raise BadArgument(
            f'`{name}` must be a dict such as {{"approve": "v7 goes live", "reject": "v6 stays"}}, not {value!r}.'
        )
    if unknown := [answer for answer in value if answer not in offered]:
        raise BadArgument(f"`{name}` has {unknown[0]!r}, and this step offers {', '.join(offered)}.")
    if long := [answer for answer, text in value.items() if len(text) > _SENTENCE]:
        raise BadArgument(f"`{name}`: the text for {long[0]!r} must have at most {_SENTENCE} characters.")
    return {name: {str(answer): text.strip().rstrip(".") for answer, text in value.items()}}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise BadArgument(f"`{name}` must be a non-empty string, not {value!r}.")
    return value.strip()


def _names(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts or not all(_is_name(part) for part in parts):
        raise BadArgument(f"`{name}` must be a name or a list of names, not {value!r}.")
    return tuple(part.strip() for part in parts)


def _choice(kind: type[Enum]) -> Callable[[str, Any], Enum]:
    def read(name: str, value: Any) -> Enum:
        try:
            return kind(value)
        except ValueError as error:
            accepted = ", ".join(f'"{choice.value}"' for choice in kind)
            raise BadArgument(f"{value!r} is not a valid `{name}`. Use one of {accepted}.") from error

    return read


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 3600:  # noqa: PLR2004 - an hour
        raise BadArgument(f"`{name}` must be a number of seconds from 0 to 3600, not {value!r}.")
    return float(value)


def _as(part: str, read: Callable[[str, Any], Any]) -> Reader:
    """Read an argument into one part of the question."""
    return lambda name, value, _parts: {part: read(name, value)}


ARGUMENTS: Mapping[str, Reader] = {
    "message": _as("message", _message),
    "input_schema": _schema,
    "approvers": _approvers,
    "channel": _as("channel", _text),
    "notifier": _as("notifiers", _names),
    "timeout": _as("timeout", _duration),
    "on_timeout": _as("on_timeout", _choice(OnTimeout)),
    "on_reject": _as("on_reject", _choice(OnReject)),
    "poll_interval": _as("poll_interval", _seconds),
    "quorum": _as("quorum", _quorum),
    "allow_self_approval": _as("allow_self_approval", _yes_or_no),
    "allow_changes": _as("allow_changes", _yes_or_no),
    "remind_every": _as("remind_every", _duration),
    "escalate_after": _as("escalate_after", _duration),
    "escalate_to": _as("escalate_to", _people),
    "batch": _as("batch", _yes_or_no_or_open),
    "metrics": _as("metrics", lambda _name, value: read_metrics(value)),
    "plots": _as("plots", lambda _name, value: read_plots(value)),
    "links": _as("links", lambda _name, value: read_links(value)),
    "auto_approve": lambda name, value, parts: {name: read_condition(name, value, parts["metrics"])},
    "mode": _as("auto_approve_mode", _choice(RuleMode)),
    "quorum_if": lambda name, value, parts: {name: read_quorum_if(value, parts["metrics"])},
    "valid_for": _as("valid_for", _duration),
    "supersede": _as("supersede", _yes_or_no),
    "obligations": _as("obligations", _yes_or_no),
    "what_happens": _what_happens,
}
"""How each argument of ``@hitl`` is read, and into which part of the question. Its default and its manual stand at the
decorator, its meaning at ``Question``; a test holds the three to each other and to docs/arguments.md."""
