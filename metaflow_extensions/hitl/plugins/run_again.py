"""The command that starts a run again, for a requester who has to change its parameters."""

from __future__ import annotations

import shlex
from typing import Any

_VALUE = 200  # characters of a value; what is longer is better looked up than copied
_COMMAND = 2_000


def run_again(flow: Any, script: str, start: str) -> str:
    """Write the command with the parameters of this run.

    Parameters
    ----------
    flow : FlowSpec
        With the values of the run's parameters.
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
    for name, _ in sorted(flow._get_parameters()):
        value = getattr(flow, name, None)
        if value is not None:
            words.append(f"--{name} {_written(value)}")
    command = " ".join(words)
    return command if len(command) <= _COMMAND else f"{' '.join(words[:3])} ..."


def _written(value: Any) -> str:
    if isinstance(value, (str, int, float)) and len(str(value)) <= _VALUE:
        return shlex.quote(str(value))
    return "..."
