"""What can be known about a flow's gates before a run: names that nothing assigns, people who are not there."""

import ast
import inspect
import json
import os
import re
import shutil
import string
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaflow.exception import MetaflowException
from metaflow.util import get_latest_run_id

from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout, RuleMode
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate
from metaflow_extensions.hitl.approvals.transitions import request
from metaflow_extensions.hitl.notifiers.registry import needed_for

from . import forms, root
from .arguments import StepArguments
from .gate import build_question, find
from .hitl_decorator import place_of
from .incoming import TaskOptions, arguments_of, load_task
from .settings import FlowSettings, misspelt_here, read_settings

_ROOTS = ("flow", "run_id", "step")
_FIELD = re.compile(r"(\w+)(?:\.(\w+))?")
_OF_METAFLOW = frozenset({"input", "index", "hitl_input", "hitl_decision", "name"})
_BOT_TAKES = 60  # seconds, a bound
_ERROR = 300  # characters
_PAGES, _PAGE = 20, 999  # of conversations.list, which documents a limit below 1,000


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """A mistake, and where it is."""

    place: str  # file:line of the step, or the setting's name
    what: str


def check_flow(flow: Any) -> tuple[list[str], list[Flaw], list[str]]:
    """Look at every gate of a flow.

    Returns
    -------
    list of str
        The gated steps.
    list of Flaw
        What is wrong.
    list of str
        What the operator's policy demands of them, where it can be read here, and what could not be checked.
    """
    settings = read_settings()
    problems = [Flaw(place="settings", what=line) for line in misspelt_here()]
    slack = _Workspace(settings) if settings.slack_bot_token else None
    asks_slack: list[str] = []
    gated: list[str] = []
    notes: list[str] = []
    for node in sorted(flow._graph, key=lambda one: one.func_lineno):
        arguments = next((deco.arguments for deco in node.decorators if deco.name == "hitl"), None)
        if arguments is None:
            continue
        gated.append(node.name)
        found = [*_names(flow, node, arguments), *_settings(arguments, settings)]
        rule = _rule(flow.name, node.name)
        found += _against_policy(arguments, rule)
        if rule.get("rule"):
            notes.append(f"{node.name}: the rule “{rule['rule']}” requires: {'; '.join(rule['demands'])}")
        if "slack" in _ways(arguments, settings):
            asks_slack.append(node.name)
            found += slack.problems(arguments, settings) if slack else ()
        problems += [Flaw(place=place_of(node), what=what) for what in found]
    if asks_slack and slack is None:
        notes.append(
            f"Slack was not asked whether the channel and the approvers of {', '.join(asks_slack)} exist: "
            "METAFLOW_HITL_SLACK_BOT_TOKEN is not set here."
        )
    return gated, problems, notes


# The operator's policy, which only the bot can read.


def _rule(flow: str, step: str) -> dict[str, Any]:
    """Return what ``hitl-bot policy check`` says of a step of a run on one machine; nothing without a policy."""
    file = os.environ.get("METAFLOW_HITL_POLICY")
    if not file:
        return {}
    beside = Path(sys.executable).with_name("hitl-bot")
    bot = str(beside) if beside.exists() else shutil.which("hitl-bot")
    if bot is None:
        return {"problem": "METAFLOW_HITL_POLICY can't be looked up, because hitl-bot is not installed here."}
    command = [bot, "policy", "check", file, "--flow", flow, "--step", step, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BOT_TAKES, check=False)
    if done.returncode:
        return {"problem": f"METAFLOW_HITL_POLICY can't be looked up: {' '.join(done.stderr.split())[-_ERROR:]}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _against_policy(arguments: StepArguments, rule: dict[str, Any]) -> Iterator[str]:
    if problem := rule.get("problem"):
        yield str(problem)
    question, refuses = arguments.question, rule.get("refuses", ())
    name = f"the rule “{rule.get('rule')}” of the operator's policy"
    if "open_approvers" in refuses and not question.approvers:
        yield f"{name} requires named approvers. Name them with `approvers`."
    if "timeout_approves" in refuses and question.on_timeout is OnTimeout.APPROVE:
        yield f'{name} lets no deadline approve, so on_timeout="approve" rejects.'
    if "continue" in refuses and question.on_reject is OnReject.CONTINUE:
        yield f'{name} lets a rejection end the run, so on_reject="continue" has no effect.'
    if "auto_approve" in refuses and question.auto_approve and question.auto_approve_mode is RuleMode.DECIDE:
        yield f"{name} requires people to decide, so `auto_approve` has no effect."


# Names.


def _names(flow: Any, node: Any, arguments: StepArguments) -> Iterator[str]:
    known = _assigned_before(flow, node)
    holder = "inputs" if node.type == "join" else "self"
    for what, name, artifact in _named(arguments):
        if name not in {holder, *_ROOTS}:
            yield f"{what} names {name!r}. It may name {', '.join(sorted((holder, *_ROOTS)))}."
        elif name in _ROOTS and artifact is not None:
            yield f"{what} names {name}.{artifact}, but {name} is a text. Use {{{name}}}."
        elif name == "self" and artifact is not None and known is not None and artifact not in known:
            yield f"{what} names self.{artifact}, which no step before {node.name} assigns."


def _named(arguments: StepArguments) -> Iterator[tuple[str, str, str | None]]:
    """Return what names something, the name, and the artifact if it is one."""
    question = arguments.question
    templates = [("the message", question.message)]
    templates += [(f"what_happens[{answer!r}]", text) for answer, text in question.what_happens.items()]
    templates += [(f"input_schema[{field!r}]", text) for field, text in forms.templates(arguments.form)]
    for what, template in templates:
        for _, field, _, _ in string.Formatter().parse(template):
            if field is not None and (found := _FIELD.match(field)) is not None:
                yield what, found[1], found[2]
    for metric in arguments.metrics:
        if isinstance(metric.source, str):
            yield f"the metric {metric.name!r}", "self", metric.source.split(".")[0]
    for plot in arguments.plots:
        if isinstance(plot.source, str):
            yield f"the picture {plot.name!r}", "self", plot.source.split(".")[0]


def _assigned_before(flow: Any, node: Any) -> frozenset[str] | None:
    """Return every attribute that comes in at a step; None where that can't be read off the code."""
    graph = flow._graph
    before: set[str] = set()
    waiting = list(node.in_funcs)
    while waiting:
        name = waiting.pop()
        if name not in before:
            before.add(name)
            waiting += graph[name].in_funcs
    steps = {one.name for one in graph}
    found: set[str] = set(_OF_METAFLOW) | {name for name in dir(type(flow)) if not name.startswith("__")}
    for kind in type(flow).__mro__:
        if kind.__module__.partition(".")[0] == "metaflow" or kind is object:
            continue
        for name, member in vars(kind).items():
            if not inspect.isfunction(member) or (name in steps and name not in before):
                continue
            assigned = _assigned_in(member)
            if assigned is None:
                return None
            found |= assigned
    return frozenset(found)


def _assigned_in(function: Any) -> set[str] | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return None
    found: set[str] = set()
    for part in ast.walk(tree):
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
            found.add(part.attr)
        elif isinstance(part, ast.Attribute) and part.attr == "__dict__":
            return None
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "setattr":
            name = part.args[1] if len(part.args) > 1 else None
            if not isinstance(name, ast.Constant):
                return None  # whatever it is called
            found.add(str(name.value))
    return found


# Settings and Slack.


def _ways(arguments: StepArguments, settings: FlowSettings) -> tuple[str, ...]:
    """Return how a step asks from here: in Slack with buttons only where a token or a bot does that."""
    ways = settings.notifiers(arguments.question.notifiers)
    return tuple(way for way in ways if way != "slack") if settings.webhook_alone else ways


def _settings(arguments: StepArguments, settings: FlowSettings) -> Iterator[str]:
    wanted = _ways(arguments, settings)
    here = root.build_notifiers(lambda _: None)
    for name in wanted:
        if name not in here and not settings.public_keys:
            yield f"it asks by {name}, which is not set up here ({needed_for(name) or 'another package'})."
    if "slack" in wanted and not (arguments.question.channel or settings.slack_channel):
        yield "it asks in Slack, but names no channel, and METAFLOW_HITL_SLACK_CHANNEL is not set."
    if settings.ui_url:
        try:
            settings.ui_url.format(flow="F", run="1", step="s", task="1")
        except (KeyError, IndexError, ValueError) as error:
            yield f"METAFLOW_HITL_UI_URL can't be filled in: {error!r}. Use {{flow}}, {{run}}, {{step}}, {{task}}."


class _Workspace:
    """What Slack knows, each asked once."""

    def __init__(self, settings: FlowSettings) -> None:
        from metaflow_extensions.hitl.notifiers.slack.names import SlackNames  # noqa: PLC0415 - needs slack_sdk

        self._client = root.slack_client(settings)
        self._people = SlackNames(self._client, root.utc_now)
        self._channels: dict[str, bool] | None = None

    def problems(self, arguments: StepArguments, settings: FlowSettings) -> Iterator[str]:
        question = arguments.question
        for argument, names in (("approvers", question.approvers), ("escalate_to", question.escalate_to)):
            for name in self._people.look_up(names).nobody:
                yield f"no one in Slack matches {name}. Fix `{argument}`."
        channel = question.channel or settings.slack_channel
        if channel:
            yield from self._channel(channel)

    def _channel(self, channel: str) -> Iterator[str]:
        from slack_sdk.errors import SlackClientError  # noqa: PLC0415 - needs slack_sdk

        try:
            channels = self._channels = self._channels or self._list()
        except (SlackClientError, OSError) as error:
            yield f"the channel {channel} could not be looked up: {error}"
            return
        member = channels.get(channel.removeprefix("#"))
        if member is None:
            yield f"the bot can't see a channel {channel}. Check the name, or invite the bot to it if it is private."
        elif not member:
            yield f"the bot is not in {channel}. Invite it there: /invite @hitl."

    def _list(self) -> dict[str, bool]:
        """Return whether the bot is in a channel, by name and by id."""
        found: dict[str, bool] = {}
        cursor = ""
        for _ in range(_PAGES):
            answer = self._client.conversations_list(
                types="public_channel,private_channel", exclude_archived=True, limit=_PAGE, cursor=cursor
            )
            for one in answer["channels"]:
                found[one["name"]] = found[one["id"]] = bool(one.get("is_member"))
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        return found


# What a gate would ask, from the artifacts of a past run. Nothing is recorded, and nobody is asked.

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
    asked = build_question(task, arguments, find(task, arguments.metrics))
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
