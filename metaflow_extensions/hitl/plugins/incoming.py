"""A task that has not started, as it will find itself: its flow with the artifacts that come in.

Whoever asks for a task from outside it needs what the task would see: the parents' artifacts, the parameters, in a
foreach ``self.input``. Metaflow's own code for starting a task does the loading, so nothing can differ; what that code
writes for a task (its attempt, its metadata) is left out, because the task has not begun.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaflow.exception import MetaflowException

from metaflow_extensions.hitl.approvals.record import Pathspec

from .arguments import StepArguments
from .message import parameter_options


@dataclass(frozen=True, kw_only=True)
class GatedTask:
    """The task that is about to run."""

    flow: Any
    step: str
    run_id: str
    task_id: str
    inputs: tuple[Any, ...]  # the datastores of the tasks before it
    is_join: bool
    datastore: tuple[str, str | None]  # type and root
    origin_run: str | None = None  # the run that this one resumes
    tags: tuple[str, ...] = ()  # of the run
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])  # what sets them, by attribute
    control_task: str | None = None  # of the gang that it is a node of (@parallel), which has asked for all of it

    @property
    def pathspec(self) -> Pathspec:
        return Pathspec(flow=self.flow.name, run=self.run_id, step=self.step, task=self.task_id)


class NotGated(MetaflowException):
    """The step has no gate, or is none."""

    headline = "Not a gated step"


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What Metaflow's ``step`` command is told about a task."""

    run_id: str
    task_id: str
    input_paths: tuple[str, ...]  # run/step/task, of each parent
    split_index: int | None
    ubf_context: str | None
    tags: tuple[str, ...] = ()
    origin_run: str | None = None  # the run that this one resumes

    @classmethod
    def of_command(cls, options: Mapping[str, Any]) -> "TaskOptions":
        """Read the options of that command, by their names in click (metaflow, ``cli_components/step_cmd.py``)."""
        from metaflow.util import decompress_list  # noqa: PLC0415 - heavy

        paths = options["input_paths"]
        if not paths and options["input_paths_filename"]:
            paths = Path(options["input_paths_filename"]).read_text(encoding="utf-8").strip(" \n\"'")
        context = options["ubf_context"]
        return cls(
            run_id=options["run_id"],
            task_id=options["task_id"],
            input_paths=tuple(decompress_list(paths)) if paths else (),
            split_index=options["split_index"],
            ubf_context=None if context == "none" else context,
            tags=tuple(options["opt_tag"] or ()),
            origin_run=options.get("clone_run_id") or None,
        )


def arguments_of(flow: Any, step: str) -> StepArguments:
    """Return what a step wants asked; raise NotGated if it wants nothing."""
    for deco in getattr(getattr(flow, step, None), "decorators", ()):
        if deco.name == "hitl":
            arguments: StepArguments = deco.arguments
            return arguments
    gated = [node.name for node in flow._graph if any(deco.name == "hitl" for deco in node.decorators)]
    raise NotGated(f"{flow.name} has no step {step} with @hitl. Its gated steps: {', '.join(gated) or 'none'}.")


def load_task(state: Any, step: str, options: TaskOptions) -> GatedTask:
    """Load what comes into a task.

    Parameters
    ----------
    state : object
        What Metaflow hands its commands: the flow, its datastore and so on. The flow takes on the task's artifacts.
    step : str
        A step of the flow.
    options : TaskOptions
        The task.
    """
    from metaflow.task import MetaflowTask  # noqa: PLC0415 - heavy

    flow = state.flow
    parameters = parameter_options(flow)
    node = flow._graph[step]
    join_type = flow._graph[node.split_parents[-1]].type if node.type == "join" else None
    task = MetaflowTask(
        flow,
        state.flow_datastore,
        state.metadata,
        state.environment,
        state.echo,
        state.event_logger,
        state.monitor,
        options.ubf_context,
    )
    inputs = task._init_data(options.run_id, join_type, list(options.input_paths))
    task._init_foreach(step, join_type, inputs, options.split_index)
    task._init_iteration(step, inputs, node.type == "split-switch" and step in node.out_funcs)
    flow._current_step = step
    if join_type is None:
        flow._set_datastore(inputs[0])
    task._init_parameters(inputs[0], passdown=False)
    return GatedTask(
        flow=flow,
        step=step,
        run_id=options.run_id,
        task_id=options.task_id,
        inputs=tuple(inputs),
        is_join=join_type is not None,
        datastore=(state.flow_datastore.TYPE, state.flow_datastore.datastore_root),
        tags=tuple(sorted(options.tags)),
        origin_run=options.origin_run,
        parameters=parameters,
    )
