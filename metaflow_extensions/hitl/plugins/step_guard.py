"""Where a gated step's code may run: in a process that opened its gate, and in deployments that have gates."""

import sys
from functools import wraps
from typing import Any, NoReturn

from metaflow._vendor import click
from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY, MetaflowException, MetaflowExceptionWrapper

_MARK = "_opens_gates_first"


class GateClosed(MetaflowException):
    """The answer, or the lack of one, keeps the step from running."""

    headline = "The gate stays closed"


class RunLeaves(GateClosed):
    """The question is asked, and nobody waits here for the answer."""

    headline = "Not failed, but waiting"


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


# Which of Metaflow's deployments have gates.

_WITH_GATES = "argo-workflows"
_NO_DEPLOYER = "card"  # `card create` draws a card of a task that has run


class NotDeployed(MetaflowException):
    """The flow can't be deployed with its gates."""

    headline = "The gates can't be deployed"


def refuse_without_gates(step: str) -> None:
    """Raise NotDeployed if this process deploys the flow to where nobody would be asked.

    Every deployer of Metaflow's, and of its extensions, has a command ``create``: ``airflow create``, say.
    """
    context = click.get_current_context(silent=True)
    command: list[str] = list(getattr(context.find_root(), "saved_args", ())) if context is not None else []
    if command[1:2] == ["create"] and command[0] not in {_WITH_GATES, _NO_DEPLOYER}:
        raise NotDeployed(
            f"Step {step} is gated with @hitl, and `{command[0]}` does not deploy gates: nobody would be asked, "
            f"and the step would never start. Deploy the flow with `{_WITH_GATES} create`, or remove @hitl from it."
        )
