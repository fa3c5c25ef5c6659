"""What a gate would ask, from the artifacts of a past run. Nothing is recorded, and nobody is asked."""

from __future__ import annotations

from typing import Any

from metaflow.exception import MetaflowException
from metaflow.util import get_latest_run_id

from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate
from metaflow_extensions.hitl.approvals.transitions import request
from metaflow_extensions.hitl.plugins import root
from metaflow_extensions.hitl.plugins.gate import find, question
from metaflow_extensions.hitl.plugins.incoming import TaskOptions, arguments_of, load_task

_TASK = "preview"


class NoSuchRun(MetaflowException):
    """There are no artifacts to preview with."""

    headline = "Nothing to preview with"


def preview(state: Any, step: str, run: str | None) -> Approval:
    """Return what would be asked.

    Parameters
    ----------
    state : object
        What Metaflow hands its commands.
    step : str
        A gated step.
    run : str, optional
        The id of a run in which the steps before it have ended. Default: the last one here.

    Raises
    ------
    NoSuchRun
        There is no such run, or it has not come as far as this step.
    """
    arguments = arguments_of(state.flow, step)
    run = run or get_latest_run_id(state.echo, state.flow.name)
    if run is None:
        raise NoSuchRun(f"{state.flow.name} has not run here yet. Run it once, or name a run with --run.")
    options = TaskOptions(
        run_id=run,
        task_id=_TASK,
        input_paths=_parents(state, step, run),
        split_index=0 if _begins_shard(state.flow._graph, step) else None,
        ubf_context=None,
    )
    task = load_task(state, step, options)
    asked = question(task, arguments, find(task, arguments.metrics))
    return request(task.pathspec, asked, Gate(engine=EngineKind.LOCAL), root.local_person(), root.utc_now())


def _begins_shard(graph: Any, step: str) -> bool:
    return any(graph[parent].type == "foreach" for parent in graph[step].in_funcs)


def _parents(state: Any, step: str, run: str) -> tuple[str, ...]:
    """Return the paths of the tasks that lead to the step; of a foreach the first shard's."""
    node = state.flow._graph[step]
    names = list(node.in_funcs) or ["_parameters"]
    found = state.flow_datastore.get_task_datastores(run_id=run, steps=names)
    paths = sorted("/".join((str(one.run_id), one.step_name, str(one.task_id))) for one in found)
    if not paths:
        raise NoSuchRun(
            f"Nothing comes in at {step} in run {run} of {state.flow.name}: {' and '.join(names)} did not end in it."
        )
    return tuple(paths) if node.type == "join" else tuple(paths[:1])
