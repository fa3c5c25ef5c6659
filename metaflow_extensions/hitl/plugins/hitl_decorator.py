"""``@hitl``: the step does not start until a person has said yes."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaflow import flowspec
from metaflow._vendor import click
from metaflow.decorators import StepDecorator, _base_step_decorator
from metaflow.exception import MetaflowException

from .launch import REMOTE
from .specification import encode, parse
from .step_guard import GateClosed, RunLeaves, guard_steps, refuse, refuse_without_gates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metaflow_extensions.hitl.approvals.record import Approval

    from .arguments import StepArguments


class BadHitl(MetaflowException):
    """An argument of the decorator can't be used. Nothing was run."""

    headline = "Bad @hitl"


class HitlDecorator(StepDecorator):
    """Do not start this step until a person has said yes.

    The question is asked in Slack, the answer is a record in object storage, and nothing runs while people decide.
    In the step, ``self.hitl_input`` is what the person entered, and ``current.hitl`` says who decided what, when and
    why. Both stay as artifacts: ``hitl_input`` and ``hitl_decision``.

    Time spent waiting doesn't count towards ``@timeout``. A retry finds the answer that was given before. A rejected
    step is not retried, its code does not run, and a rejection isn't a failure that ``@catch`` handles: the run fails,
    unless ``on_reject="continue"``.

    Parameters
    ----------
    message : str, optional
        The question, as for ``str.format``, with ``self`` (the artifacts that come in; ``inputs`` in a join),
        ``flow``, ``step`` and ``run_id``. Default: names flow, step and run.
    input_schema : dict or pydantic model class, optional
        What the form asks for: names with types, names with settings, a JSON Schema object, or a pydantic model.
        Choices, defaults and limits may come from the run: ``{"model": {"type": "choice", "choices":
        "{self.candidates}"}}``, or a function of ``self`` in place of a setting or of the whole schema.
        Default: nothing, approving is one click.
    approvers : list of str or list of dict, optional
        Who may decide: Slack user ids, user groups (``@ml-leads``) or email addresses. With a quorum for each group,
        ``[{"group": "@ml-leads", "quorum": 1}, {"group": "@risk", "quorum": 1}]``, each group has its own
        quorum, and nobody counts for two groups. Default: everyone in the channel.
    channel : str, optional
        Where to ask. Default: ``METAFLOW_HITL_SLACK_CHANNEL``.
    notifier : str or list of str, optional
        How to ask, one way or several: ``slack``, ``slack_webhook``, ``email``, ``apprise``, ``terminal``, or another
        package's. Default: ``METAFLOW_HITL_NOTIFIER``, or ``slack`` and ``terminal`` with a bot token.
    timeout : str or int, default "24h"
        How long to wait: ``"30m"``, ``"24h"``, ``"7d"``, ``"1h30m"`` or seconds, up to 366 days. None waits forever.
    on_timeout : str, default "reject"
        What the deadline does: ``approve``, ``reject``, or ``notify``, which only reminds and keeps waiting.
    on_reject : str, default "fail"
        ``fail`` the step, or ``continue``: it runs and sees ``current.hitl.verdict == "rejected"``.
    poll_interval : float, optional
        How often a local run checks for the answer, in seconds. Default: 0.1 for a directory, 1 for S3; half of that
        for two minutes after each change, twice that after an hour, and five times after eight.
    quorum : int, default 1
        How many different people must agree, 1 to 20. One rejection rejects. With an ``input_schema`` they agree on
        the same input: another one is a new proposal, and those who approved before vote again.
    allow_self_approval : bool, default True
        Whether the person who started the run may approve it. With False, that person must be linked to a Slack user:
        by the operator's policy, or because their user name is their email address.
    allow_changes : bool, default False
        Offer "Request changes…" as a third answer: the run fails and says what must change. The message has the
        command that runs it again, and on Argo a button for the person who started the run. The parameters' values
        are shown in the channel, so don't use this if one of them is a secret.
    remind_every : str or int, optional
        How often to remind those who can still act, as ``timeout``. Default: never.
    escalate_after : str or int, optional
        When to ask more people, as ``timeout``; goes with ``escalate_to``. Default: never.
    escalate_to : list of str, optional
        Whom to ask then, in the same form as ``approvers``.
    batch : bool, optional
        Whether the gates of a foreach share one message. Default: if there are four or more.
    metrics : list or dict, optional
        What the decision is based on: artifacts (``"accuracy"``), paths into dicts (``"report.f1"``), functions of
        ``self``; or a dict from names to settings: ``{"accuracy": {"format": ".1%", "better": "higher", "warn_below":
        0.9, "warn_change": -0.02}}``. Settings: ``value`` (an artifact or a function), ``format``, ``better``
        (``higher``, ``lower``), ``warn_below``, ``warn_above``, ``warn_change``. The message shows each beside its
        value in the last approved run. In a join a metric is a function of ``inputs``. Default: none.
    plots : list or dict, optional
        Pictures below the question, up to 4: artifacts that are a matplotlib figure or a PNG
        (``["confusion_matrix"]``), or a dict from names to artifacts or functions of ``self``. Default: none.
    links : dict, optional
        Where to look, by what is there: ``{"Model card": "https://models.example.com/{flow}/{run_id}"}``; ``{flow}``,
        ``{run_id}``, ``{step}`` and ``{task}`` are filled in. They become buttons. Default: none.
    auto_approve : str, optional
        A condition over metrics that approves without a person: ``"accuracy >= 0.95 and abs(delta.accuracy) < 0.01"``.
        ``delta.x`` is the change since the last approved run, ``previous.x`` the value then. A condition that has no
        answer (a missing value, the first run) leaves the question to people. Default: none.
    mode : str, default "decide"
        ``shadow`` only records what ``auto_approve`` would have done, and leaves the question to people.
    quorum_if : dict, optional
        Conditions, and how many people must agree if they are true or have no answer: ``{"accuracy < 0.9": 2}``.
    valid_for : str or int, optional
        How long after an approval the step may start, as ``timeout``. After that, a new run has to ask again.
        Default: forever.
    supersede : bool, default False
        Whether the question of a newer run in this step takes the place of this one, which then ends as if it were
        rejected.
    obligations : bool, default False
        Whether the form that approves asks for an obligation, which nobody has to enter: what somebody owes with the
        yes, who, and by when. The bot reminds them.
    what_happens : dict, optional
        What each answer leads to, as people read it above the buttons: ``{"approve": "{self.model} goes live",
        "reject": "the run fails, v6 stays"}``; ``changes`` is the third. Default: what happens to run and step.
    """

    name = "hitl"
    defaults = {  # noqa: RUF012 - Metaflow's contract
        "message": None,
        "input_schema": None,
        "approvers": None,
        "channel": None,
        "notifier": None,
        "timeout": "24h",
        "on_timeout": "reject",
        "on_reject": "fail",
        "poll_interval": None,
        "quorum": 1,
        "allow_self_approval": True,
        "allow_changes": False,
        "remind_every": None,
        "escalate_after": None,
        "escalate_to": None,
        "batch": None,
        "metrics": None,
        "plots": None,
        "links": None,
        "auto_approve": None,
        "mode": "decide",
        "quorum_if": None,
        "valid_for": None,
        "supersede": False,
        "obligations": False,
        "what_happens": None,
    }

    arguments: StepArguments
    refused = ""  # why an argument can't be used
    opened = False  # the gate of the task that this process runs

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        guard_steps()  # here, because this is called even where Metaflow skips every hook

    @classmethod
    def extract_args_kwargs_from_decorator_spec(cls, deco_spec: str) -> tuple[list[Any], dict[str, Any]]:
        try:
            return [], parse(deco_spec, cls.defaults)
        except ValueError as error:
            raise BadHitl(str(error)) from error

    def make_decorator_spec(self) -> str:
        self.external_init()
        given = {name: value for name, value in self.attributes.items() if value != self.defaults[name]}
        return f"{self.name}:{encode(given)}" if given else self.name

    def init(self) -> None:
        from metaflow_extensions.hitl.approvals.errors import HitlError  # noqa: PLC0415 - not on import of metaflow
        from metaflow_extensions.hitl.notifiers.registry import check_names  # noqa: PLC0415

        from .arguments import read_arguments  # noqa: PLC0415
        from .settings import in_container, read_settings  # noqa: PLC0415

        try:
            self.arguments = read_arguments(self.attributes)
            if not in_container(os.environ):  # there another package's notifier can't be seen
                check_names(self.arguments.question.notifiers or read_settings().named_notifiers)
                self._check_patterns()
        except HitlError as error:
            self.refused = str(error)  # step_init says it: only Metaflow knows yet which step this is
            return
        # A pydantic model could not travel in a decorator specification; what it means can.
        if self.arguments.form is None:
            self.attributes["input_schema"] = self.arguments.question.schema

    def _check_patterns(self) -> None:
        from .forms import check_form  # noqa: PLC0415

        form = self.arguments.form
        schema = self.arguments.question.schema if form is None else check_form(form)
        if '"pattern"' in json.dumps(schema):
            from metaflow_extensions.hitl.inputs.patterns import check_patterns  # noqa: PLC0415 - jsonschema: 100 ms

            check_patterns(schema)

    def step_init(
        self, flow: Any, graph: Any, step_name: str, decorators: Any, environment: Any, flow_datastore: Any, logger: Any
    ) -> None:
        from .message import check_template, parameter_options  # noqa: PLC0415

        refuse_without_gates(step_name)
        if refused := [
            f"{place_of(node)}: {deco.refused}"
            for node in sorted(graph, key=lambda one: one.func_lineno)
            for deco in node.decorators
            if isinstance(deco, HitlDecorator) and deco.refused
        ]:
            raise BadHitl("\n".join(refused))
        self._parameters = parameter_options(flow)
        self.flow_name = flow.name
        self._datastore = (flow_datastore.TYPE, flow_datastore.datastore_root)
        self.created: list[tuple[str, str, str]] = []  # run, step and task of what this process launched
        for template in (self.arguments.question.message, *self.arguments.question.what_happens.values()):
            check_template(step_name, template)
        self._check_metrics(step_name, graph)
        # Every gate of a branch or a shard has an answer of its own, which merge_artifacts would call a conflict.
        flowspec.INTERNAL_ARTIFACTS_SET.update(("hitl_input", "hitl_decision"))
        # First, so that waiting comes before a @timeout's alarm, a @secrets' token and a @card's clock.
        decorators.remove(self)
        decorators.insert(0, self)
        self._decorators = decorators
        if self._is_remote():
            self._tell_pod_where_the_records_are()

    def _check_metrics(self, step_name: str, graph: Any) -> None:
        if graph[step_name].type != "join":
            return
        for argument, example in (("metrics", "min(one.{0} for one in inputs)"), ("plots", "inputs[0].{0}")):
            named = [one.name for one in getattr(self.arguments, argument) if isinstance(one.source, str)]
            if named:
                raise BadHitl(
                    f"Step {step_name} is a join, where {named[0]!r} may come from any of its inputs. Use a function: "
                    f'{argument}={{"{named[0]}": lambda inputs: {example.format(named[0])}}}.'
                )

    def _is_remote(self) -> bool:
        return any(deco.name in REMOTE for deco in self._decorators)

    def _tell_pod_where_the_records_are(self) -> None:
        """Hand on where the records are and whom to believe.

        Metaflow gives a pod that it launches only the variables of ``@environment``.
        """
        from metaflow.plugins.environment_decorator import EnvironmentDecorator  # noqa: PLC0415 - heavy

        from .settings import read_settings  # noqa: PLC0415

        settings = read_settings()
        handed_on = {
            "METAFLOW_HITL_ROOT": settings.root,  # None: it finds the records beside the artifacts
            "METAFLOW_HITL_PUBLIC_KEYS": " ".join(map(str, settings.public_keys)),
        }
        handed_on = {name: value for name, value in handed_on.items() if value}
        if not handed_on:
            return
        given = next((deco for deco in self._decorators if deco.name == "environment"), None)
        if given is None:
            # With this decorator Metaflow leaves out the one variable that it would set without (kubernetes_cli.py).
            names = {"METAFLOW_FLOW_FILENAME": Path(sys.argv[0]).name}
            given = EnvironmentDecorator(attributes={"vars": names}, statically_defined=True)
            self._decorators.append(given)
        given.attributes["vars"] = {**given.attributes["vars"], **handed_on}

    def package_init(self, flow: Any, step_name: str, environment: Any) -> None:
        # Metaflow loads a command's own modules after step_init, and packages before it compiles.
        from .argo.compiling import put_gates_in  # noqa: PLC0415

        put_gates_in()
        self._say_what_to_know(flow)

    def runtime_init(self, flow: Any, graph: Any, package: Any, run_id: str) -> None:
        self._say_what_to_know(flow)
        if self._leaves():
            from .leaving import let_run_leave  # noqa: PLC0415 - seldom
            from .task_log import say  # noqa: PLC0415

            let_run_leave(say)

    def _leaves(self) -> bool:
        from .settings import read_settings  # noqa: PLC0415 - not on import of metaflow

        return read_settings().leaves

    def _say_what_to_know(self, flow: Any) -> None:
        from .models import notes_once  # noqa: PLC0415 - not on import of metaflow
        from .settings import say_once  # noqa: PLC0415
        from .task_log import complain, say  # noqa: PLC0415

        say_once(complain)
        notes_once(flow, say)

    def add_to_package(self) -> Iterator[tuple[str, str]]:
        # Metaflow installs nothing of ours in a pod. What asks in Slack is pure Python, so it can travel.
        from importlib.util import find_spec  # noqa: PLC0415 - only when packaging

        spec = find_spec("slack_sdk")
        for folder in (spec and spec.submodule_search_locations) or []:
            for file in sorted(Path(folder).rglob("*.py")):
                yield str(file), f"slack_sdk/{file.relative_to(folder).as_posix()}"

    def runtime_task_created(
        self, task_datastore: Any, task_id: str, split_index: Any, input_paths: Any, is_cloned: Any, ubf_context: Any
    ) -> None:
        if not is_cloned:
            # `task_id` is None where the metadata provider gives it (Metaflow 2.19, runtime.py); the datastore knows.
            self.created.append((str(task_datastore.run_id), task_datastore.step_name, str(task_datastore.task_id)))

    def runtime_step_cli(self, cli_args: Any, retry_count: int, max_user_code_retries: int, ubf_context: Any) -> None:
        from .settings import MAX_WORKERS  # noqa: PLC0415 - not on import of metaflow

        run = click.get_current_context(silent=True)
        workers = run.params.get("max_workers") if run else None
        if workers:
            cli_args.env[MAX_WORKERS] = str(workers)
        # Behind the last attempt of the step's code comes @catch's, which Metaflow runs on this machine.
        if not self._is_remote() or retry_count > max_user_code_retries:
            return
        named = ("run-id", "task-id", "input-paths", "split-index", "ubf-context", "clone-run-id")
        values = {name: cli_args.command_options.get(name) for name in named}
        given = [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]
        task = json.dumps([cli_args.task.step, *given])
        cli_args.entrypoint[:0] = [sys.executable, str(Path(__file__).with_name("launch.py")), task]

    def runtime_finished(self, exception: Any) -> None:
        # A run that leaves has its questions answered while it is away, also one of which another task failed.
        if exception is not None and (isinstance(exception, KeyboardInterrupt) or not self._leaves()):
            from . import gate  # noqa: PLC0415

            gate.close_unanswered(self.flow_name, self.created, self._datastore)

    def task_pre_step(
        self,
        step_name: str,
        task_datastore: Any,
        metadata: Any,
        run_id: str,
        task_id: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
        inputs: Any,
    ) -> None:
        from metaflow import current  # noqa: PLC0415 - of this task

        from metaflow_extensions.hitl.approvals.errors import HitlError  # noqa: PLC0415
        from metaflow_extensions.hitl.messages.terminal import words  # noqa: PLC0415

        from . import gate, incoming, leaving  # noqa: PLC0415

        task = incoming.GatedTask(
            flow=flow,
            step=step_name,
            run_id=str(run_id),
            task_id=str(task_id),
            inputs=tuple(inputs or ()),
            is_join=graph[step_name].type == "join",
            datastore=self._datastore,
            origin_run=current.origin_run_id or None,
            tags=tuple(sorted(metadata.sticky_tags)),
            parameters=self._parameters,
            control_task=_control_task(ubf_context),
        )
        self._task, self._metadata, self._attempt = task, metadata, retry_count
        try:
            approval = gate.pass_gate(task, self.arguments, os.environ)
        except leaving.Leaves as left:
            leaving.note_left(left.approval.id)
            refuse(flow, RunLeaves(words(left)))
        except HitlError as error:
            self._refuse(
                flow,
                graph[step_name],
                GateClosed(words(error)),
                getattr(error, "approval", None),
                retry_count,
                max_user_code_retries,
            )
        except Exception as error:  # noqa: BLE001 - whatever goes wrong before an answer must not let the run go on
            self._refuse(
                flow, graph[step_name], _went_wrong(step_name, error), None, retry_count, max_user_code_retries
            )
        gate.hand_over(flow, approval, self.arguments.model)
        self._leave_lineage(approval)
        self.opened = True

    def _leave_lineage(self, approval: Approval) -> None:
        from .lineage import leave  # noqa: PLC0415 - not on import of metaflow

        leave(self._task, approval, self._metadata, self._attempt)

    def task_exception(
        self, exception: Any, step_name: str, flow: Any, graph: Any, retry_count: int, max_user_code_retries: int
    ) -> Any:
        if not self.opened and not isinstance(exception, GateClosed):
            # Something failed before the gate was reached: @catch must not take it for the step's own failure.
            refuse(flow, _went_wrong(step_name, exception))

    def _refuse(
        self,
        flow: Any,
        node: Any,
        error: GateClosed,
        approval: Approval | None,
        retry_count: int,
        max_user_code_retries: int,
    ) -> None:
        from . import gate, leaving  # noqa: PLC0415

        leaving.note_refused()
        if approval is not None and approval.decision is not None:
            gate.hand_over(flow, approval)
            self._leave_lineage(approval)
        handled = any(
            type(deco).task_exception is not StepDecorator.task_exception
            for deco in node.decorators
            if deco is not self
        )
        if retry_count >= max_user_code_retries and not handled:
            raise error  # nobody retries or handles it, so Metaflow may tell of it in its own way
        refuse(flow, error)


def place_of(node: Any) -> str:
    """Return file, line and name of a step, from its node in the flow's graph."""
    return f"{Path(node.source_file).name}:{node.func_lineno} {node.name}"


def _control_task(ubf_context: Any) -> str | None:
    """Return the task that asked for a whole gang, where this is another node of it on the same machine.

    The control task starts the others once its own gate is open, and tells them its ID (metaflow 2.19,
    ``parallel_decorator.py``).
    """
    return os.environ.get("MF_PARALLEL_CONTROL_TASK_ID") if ubf_context == "ubf_task" else None


def _went_wrong(step: str, error: Exception) -> GateClosed:
    if isinstance(error, MetaflowException):  # written for people, with a headline of its own
        what = f"{error.headline}: {str(error).removeprefix(f'Step {step}: ')}"
    else:
        what = f"Something failed before its gate was open: {type(error).__name__}: {error}"
    return GateClosed(f"Step {step} does not run. {what}")


hitl: Callable[..., Any] = partial(_base_step_decorator, HitlDecorator)
