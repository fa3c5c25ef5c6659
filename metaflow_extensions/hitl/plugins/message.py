"""The question's words, from the author's template and the artifacts that come in."""

import re
import shlex
import string
from collections.abc import Mapping
from typing import Any

from metaflow.exception import MetaflowException

from metaflow_extensions.hitl.approvals.question import Shard
from metaflow_extensions.hitl.messages import markdown

from .tables import rows_of, shortened

_SHARD_LENGTH = 200  # characters of what a shard works on; a checkbox shows 75
_VALUE_LENGTH = 500  # characters of one value: enough to decide by, too few to flood a channel
_MESSAGE_LENGTH = 2_900  # fits a Slack section (3,000) with what escaping adds left to the notifier
_MARKDOWN_LENGTH = 6_000  # with what escaping adds
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]")


class BadMessage(MetaflowException):
    """The template names something that is not there."""

    headline = "The message of @hitl can't be written"


class _Template(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, (set, frozenset)) and not format_spec:
            # In the same order in every process: a task that is tried again asks the same question.
            value = f"{{{', '.join(sorted(map(repr, value)))}}}" if value else str(value)
        text = str(super().format_field(value, format_spec))
        return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


class _Markdown(_Template):
    """Writes values as letters, and those that are a table as one."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if not format_spec and (rows := rows_of(value)):
            lines = [f"| {' | '.join(map(markdown.literal, row))} |" for row in rows]
            rule = "|" + " --- |" * len(rows[0])
            return "\n" + "\n".join([lines[0], rule, *lines[1:]]) + "\n"
        text = super().format_field(shortened(value) if not format_spec else value, format_spec)
        return markdown.literal(text)


def check_template(step: str, template: str) -> None:
    """Refuse what ``str.format`` can't read, when the flow is loaded."""
    try:
        list(string.Formatter().parse(template))
    except ValueError as error:
        raise BadMessage(
            f"Step {step}: {template!r} is not a valid format string ({error}). Write literal braces as {{{{ or }}}}."
        ) from error


def write_message(step: str, template: str, names: dict[str, Any]) -> str:
    """Fill in a template.

    Parameters
    ----------
    step : str
        For the error.
    template : str
        As in ``str.format``: ``"Accuracy: {self.accuracy:.1%}. Deploy?"``.
    names : dict of str to object
        What it may name: ``self``, in a join ``inputs``, ``run_id``, ``flow``, ``step``.

    Returns
    -------
    str
        At most 2,900 characters, without control characters; each value at most 500. Not escaped for any medium.

    Raises
    ------
    BadMessage
        It names an artifact that is missing, or formats one in a way that it can't be.
    """
    return _fitting(_filled(_Template(), step, template, names))


def _filled(formatter: string.Formatter, step: str, template: str, names: dict[str, Any]) -> str:
    try:
        return str(formatter.vformat(template, (), names))
    except (AttributeError, KeyError, IndexError) as error:
        missing = getattr(error, "name", None) or (str(error.args[0]) if error.args else str(error))
        raise BadMessage(
            f"Step {step}: the template {template!r} uses {missing!r}, but no artifact of that name comes "
            f"in. It can use {', '.join(sorted(names))} and the artifacts of the steps before."
        ) from error
    except Exception as error:  # a template runs the formatting code of whatever the artifacts are
        raise BadMessage(f"Step {step}: the template {template!r} can't be filled in: {error}") from error


def write_markdown(step: str, template: str, names: dict[str, Any]) -> tuple[str, str | None]:
    """Fill in a template that may be Markdown.

    Returns
    -------
    str
        As ``write_message`` does, without the author's formatting.
    str or None
        The Markdown, with everything in the values escaped; None if nothing in it is formatted.

    Raises
    ------
    BadMessage
        As ``write_message`` does.
    """
    text = _CONTROL.sub("\ufffd", _filled(_Markdown(), step, template, names)).strip()
    parts = markdown.parse(text)
    plain = _fitting(markdown.plain(parts))
    fits = plain == markdown.plain(parts) and len(text) <= _MARKDOWN_LENGTH
    return plain, text if fits and markdown.has_markup(parts) else None


def _fitting(text: str) -> str:
    text = _CONTROL.sub("\ufffd", text).strip()
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 1] + "…"


def shard_of(flow: Any) -> Shard | None:
    """Say which task of a foreach this is, and what it works on; None outside of any.

    Parameters
    ----------
    flow : FlowSpec
        In a task. Metaflow gives it the stack of the foreachs around it (metaflow 2.19, ``task.py``).
    """
    stack = getattr(flow, "_foreach_stack", None) or ()
    if not stack:
        return None
    try:
        value = str(flow.input)[:_SHARD_LENGTH]
    except Exception:  # noqa: BLE001 - an artifact's own code may raise anything, and the question is worth more
        value = ""
    words = " ".join(_CONTROL.sub("\ufffd", value).split())
    # An unbounded foreach does not know how many it has.
    counts = tuple(frame.num_splits or 0 for frame in stack)
    return Shard(place=tuple(frame.index for frame in stack), value=words, counts=counts if all(counts) else ())


# The command that starts a run again, for a requester who has to change its parameters.

_VALUE = 200  # characters of a value; what is longer is better looked up than copied
_COMMAND = 2_000


def parameter_options(flow: Any) -> dict[str, str]:
    """Return the options that set the flow's parameters, by attribute.

    Before a task starts: Metaflow then puts the values in the parameters' place (metaflow 2.19, ``task.py``,
    ``_init_parameters``).
    """
    return {
        attribute: f"--{parameter.name}"
        for attribute, parameter in flow._get_parameters()
        if not getattr(parameter, "IS_CONFIG_PARAMETER", False)
    }


def run_again(flow: Any, options: Mapping[str, str], script: str, start: str) -> str:
    """Write the command with the parameters of this run.

    Parameters
    ----------
    flow : FlowSpec
        With the values of the run's parameters.
    options : Mapping[str, str]
        As ``parameter_options`` returned them.
    script : str
        The flow's file, as it is written after ``python``.
    start : str
        The command of the flow that starts a run: ``run``, or ``argo-workflows trigger``.

    Returns
    -------
    str
        At most 2,000 characters. A value that is long, or no plain text or number, is left to the reader as ``...``.
    """
    words = ["python", shlex.quote(script), start]
    for attribute, option in options.items():
        value = getattr(flow, attribute, None)
        if value is not None:
            words.append(f"{option} {_written(value)}")
    command = " ".join(words)
    return command if len(command) <= _COMMAND else f"{' '.join(words[:3])} ..."


def _written(value: Any) -> str:
    if isinstance(value, (str, int, float)) and len(str(value)) <= _VALUE:
        return shlex.quote(str(value))
    return "..."
