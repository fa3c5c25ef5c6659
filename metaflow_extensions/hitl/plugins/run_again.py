"""The command that starts a run again, for a requester who has to change its parameters."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

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
