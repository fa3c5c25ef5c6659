"""A gated step's code runs only in a process that opened its gate, whichever Metaflow command started it.

Metaflow has commands that skip a decorator's hooks (``spin``, with ``--skip-decorators`` all of them), and an exception
in somebody else's hook can end a task before the gate is reached. So the last check is made where the step's function
is called, by Metaflow's own ``MetaflowTask._exec_step_function`` (the same in Metaflow 2.19.0 and 2.19.39).
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any, NoReturn

from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY, MetaflowException, MetaflowExceptionWrapper

_MARK = "_opens_gates_first"


class GateClosed(MetaflowException):
    """The answer, or the lack of one, keeps the step from running."""

    headline = "The gate stays closed"


def guard_steps() -> None:
    """Let no task of this process call a gated step's function before its gate has been opened."""
    from metaflow.task import MetaflowTask  # noqa: PLC0415 - it needs the plugins, of which this is a part

    call_step = MetaflowTask._exec_step_function
    if hasattr(call_step, _MARK):
        return

    @wraps(call_step)
    def call_opened_step(task: Any, step_function: Any, orig_step_func: Any, *rest: Any) -> Any:
        for decorator in orig_step_func.decorators:
            if decorator.name == "hitl" and not decorator.opened:
                refuse(task.flow, GateClosed(_not_opened(orig_step_func.name)))
        return call_step(task, step_function, orig_step_func, *rest)

    setattr(call_opened_step, _MARK, True)
    MetaflowTask._exec_step_function = call_opened_step


def refuse(flow: Any, error: GateClosed) -> NoReturn:
    """End the task such that neither ``@retry`` starts it again nor ``@catch`` lets the run go on without it."""
    # An exception would be retried, or handed to @catch. Metaflow's own word for "no more attempts" is an exit code.
    flow._task_ok = False
    flow._exception = MetaflowExceptionWrapper(error)
    print(f"{error.headline}: {error}", file=sys.stderr)  # noqa: T201 - a task's log is its standard error
    raise SystemExit(METAFLOW_EXIT_DISALLOW_RETRY)


def _not_opened(step: str) -> str:
    return (
        f"Step {step} is gated with @hitl, and this command does not ask at gates (`spin` skips them), "
        "so the step does not run. Use `run` or `resume`."
    )
