"""A gate in a WorkflowTemplate: three templates around the one that Metaflow made of the step.

    deploy                      was the container; now a DAG of the same name, inputs and outputs
      hitl-notify-deploy        the container again, small: asks, and says the approval's id
      hitl-suspend-deploy       waits, without a pod
      deploy-task               the container as Metaflow made it; runs once the suspend node Succeeded

A workflow that is retried from before the gate asks once more, and finds an answer that was carried out long ago.
Nobody will end its suspend node again, so after an approval it is skipped; after a rejection the container that asks
fails.

The rest of the workflow refers to ``deploy`` by name and stays as it is, so every shape of flow works alike. Nothing
here reads a clock, a setting or a file: dictionaries in, a dictionary out.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.engines.nodes import PARAMETER, QUESTION
from metaflow_extensions.hitl.notifiers.registry import is_secret
from metaflow_extensions.hitl.plugins.settings import QUESTION_SHA256

from .notify_container import File, Small, notify_template

# What Argo keeps of a workflow, and how much it takes.

MOST_TEMPLATES = 200  # argo-workflows 4.1.2, workflow_types.go, MaxItems of WorkflowSpec.templates in the full CRDs
WORKFLOW_SIZE = 2**20  # argo-workflows 3.7.3, workflow/packer/packer.go, unless MAX_WORKFLOW_SIZE says otherwise
COPIES = 2  # storedWorkflowTemplateSpec and storedTemplates in a Workflow's status
_PER_TEMPLATE = 440  # bytes of names and empty fields that the second adds; 434 to 438 measured on 3.7.3


def stored_size(spec: dict[str, Any]) -> int:
    """Return the bytes that Argo keeps of a specification in each workflow, before any node has begun."""
    text = json.dumps(spec, separators=(",", ":"))
    return COPIES * len(text) + _PER_TEMPLATE * len(spec["templates"])


def fits(spec: dict[str, Any]) -> bool:
    """Whether Argo takes it as it is installed."""
    return len(spec["templates"]) <= MOST_TEMPLATES and stored_size(spec) <= WORKFLOW_SIZE


# One template for what many gates have alike.

Template = dict[str, Any]

STEP_PARAMETER = "hitl-step"
_REFERENCE = f"{{{{inputs.parameters.{STEP_PARAMETER}}}}}"
_BRACES = re.compile(r"\{\{.*?\}\}")


@dataclass(frozen=True)
class Part:
    """What a template is to a gate: its step, and how a template's name begins that several gates share."""

    step: str
    kind: str


def share(templates: list[Template], parts: Mapping[str, Part]) -> list[Template]:
    """Let gates share templates.

    Parameters
    ----------
    templates : list of dict
        Of a workflow; they are not changed.
    parts : Mapping[str, Part]
        The templates that may be shared, by name.

    Returns
    -------
    list of dict
        With one template in the place of those that are equal once the step is a parameter. Their tasks run what they
        ran before: Argo fills in the step's name wherever it stood.
    """
    alike: dict[str, list[Template]] = defaultdict(list)
    for template in templates:
        if part := parts.get(template["name"]):
            alike[json.dumps([part.kind, _general(template, part.step)], sort_keys=True)].append(template)
    taken = {template["name"] for template in templates}
    new_names: dict[str, str] = {}
    made: dict[str, Template] = {}  # by the name of the first that it stands for
    for same in alike.values():
        if len(same) > 1:
            first = same[0]["name"]
            name = _free(parts[first].kind, taken)
            taken.add(name)
            new_names |= {one["name"]: name for one in same}
            made[first] = {**_general(same[0], parts[first].step), "name": name}
    kept = [made.get(one["name"], one) for one in templates if one["name"] in made or one["name"] not in new_names]
    calls = {
        old: (new, [{"name": STEP_PARAMETER, "value": parts[old].step}] if _takes_step(new, made) else [])
        for old, new in new_names.items()
    }
    return [_calling(template, calls) for template in kept]


def _takes_step(name: str, made: Mapping[str, Template]) -> bool:
    return any(one["name"] == name and {"name": STEP_PARAMETER} in one["inputs"]["parameters"] for one in made.values())


def _general(template: Template, step: str) -> Template:
    """Return a template without its name, and with the parameter wherever a text holds the name of its step."""
    word = re.compile(rf"(?<!\w){re.escape(step)}(?!\w)")

    def put_in(text: str) -> str:
        if any(word.search(braces) for braces in _BRACES.findall(text)):
            return text  # there it would be a word of Argo's own
        return word.sub(_REFERENCE, text)

    general = {**template, "name": ""}
    if metadata := template.get("metadata"):
        annotations = {key: put_in(value) for key, value in metadata.get("annotations", {}).items()}
        general["metadata"] = {**metadata, "annotations": annotations}
    if container := template.get("container"):
        environment = [
            {**entry, "value": put_in(entry["value"])} if "value" in entry else entry for entry in container["env"]
        ]
        command = [put_in(part) for part in container["command"]]
        named = {key: value for key, value in container.items() if key != "name"}  # Argo calls every one "main"
        general["container"] = {**named, "command": command, "env": environment}
        general["inputs"] = {"parameters": [*template["inputs"]["parameters"], {"name": STEP_PARAMETER}]}
    return general


def _free(kind: str, taken: set[str]) -> str:
    """Return a name that begins so, and that nobody has."""
    return next(free for number in range(1, len(taken) + 2) if (free := f"{kind}--{number}") not in taken)


def _calling(template: Template, calls: Mapping[str, tuple[str, list[dict[str, str]]]]) -> Template:
    tasks = template.get("dag", {}).get("tasks", [])
    if not any(task.get("template") in calls for task in tasks):
        return template
    called = []
    for task in tasks:
        if task.get("template") in calls:
            name, more = calls[task["template"]]
            arguments = {"parameters": [*task["arguments"]["parameters"], *more]}
            called.append({**task, "template": name, "arguments": arguments})
        else:
            called.append(task)
    return {**template, "dag": {**template["dag"], "tasks": called}}


# A gate in a WorkflowTemplate: three templates around the one that Metaflow made of the step.

STEP_ANNOTATION = "metaflow/step_name"
SETTLED = "settled"  # whether the gate had been carried out before, so that nobody will end a suspend node
# On the volume that Metaflow mounts for output parameters.
OUTPUTS = {
    PARAMETER: File(path="/mnt/out/approval_id", variable="METAFLOW_HITL_ID_FILE"),
    SETTLED: File(path="/mnt/out/approval_settled", variable="METAFLOW_HITL_SETTLED_FILE"),
    QUESTION: File(path="/mnt/out/question_sha256", variable="METAFLOW_HITL_QUESTION_FILE"),
}
GRACE = 600  # seconds after the deadline that the sweeper has before the suspend node ends by itself
NO_MORE_ATTEMPTS = 202  # metaflow.exception.METAFLOW_EXIT_DISALLOW_RETRY
# argo-workflows, docs/retries.md: both the policy and the expression must want another attempt.
RETRY = f"asInt(lastRetry.exitCode) != {NO_MORE_ATTEMPTS}"
LONGEST_NAME = 128  # argo-workflows 4.1.2, workflow/validate/validate.go, workflowFieldMaxLength
MOST_OWN_TEMPLATES = 20  # gates that have all their templates to themselves; more would leave Argo little room
_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")  # the same file, workflowFieldNameFmt


class NotCompiled(HitlError):
    """The gate can't become part of this workflow. Nothing was deployed."""


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """What the workflow must know of a step's gate."""

    timeout: int | None  # seconds
    on_timeout: OnTimeout

    @property
    def duration(self) -> str | None:
        """The suspend node's own limit in seconds, at which Argo calls it Succeeded, or None for no limit.

        What an approval is worth is in the record: where the deadline rejects, this only starts the gated container,
        which sees the deadline passed and refuses, should nobody have failed the node before.
        """
        if self.timeout is None or self.on_timeout is OnTimeout.NOTIFY:
            return None
        return str(self.timeout if self.on_timeout is OnTimeout.APPROVE else self.timeout + GRACE)

    @property
    def longest_wait(self) -> int | None:
        """Seconds, or None where it may wait forever."""
        return None if self.on_timeout is OnTimeout.NOTIFY else self.timeout


@dataclass(frozen=True, kw_only=True)
class Pods:
    """What goes into the containers around a gate."""

    notify: Small
    gated_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    metaflow_version: str = "unknown"  # for errors


def wrap(workflow_template: Template, gates: Mapping[str, GateSpec], pods: Pods) -> Template:
    """Put gates into a WorkflowTemplate.

    Parameters
    ----------
    workflow_template : dict
        As Metaflow compiles it; it is not changed.
    gates : Mapping[str, GateSpec]
        By step.
    pods : Pods
        Settings of the containers.

    Returns
    -------
    dict
        Another WorkflowTemplate. Whatever has nothing to do with a gate is the same object as before.

    Raises
    ------
    NotCompiled
        A gate does not fit: Metaflow's output is of another shape, a name is taken or too long, or the gate may wait
        for longer than the workflow may run. It names the step, and what to do.
    """
    if not gates:
        return workflow_template
    spec = workflow_template["spec"]
    for step, gate in gates.items():
        _check_wait(step, gate, spec.get("activeDeadlineSeconds"))
    templates = spec["templates"]
    found = {step: _template_of(step, templates, pods) for step in gates}
    taken = {template["name"] for template in templates}
    wrapped: list[Template] = []
    shareable: dict[str, Part] = {}
    for template in templates:
        step = _step_of(template)
        if step in gates and template is found[step]:
            around = list(_around(step, template, gates[step], pods, taken))
            taken.update(one["name"] for one in around)
            kinds = ("hitl-notify", "hitl-suspend", "hitl-task")
            shareable |= {one["name"]: Part(step, kind) for one, kind in zip(around[1:], kinds, strict=True)}
            wrapped += around
        else:
            wrapped.append(template)
    if len(gates) > MOST_OWN_TEMPLATES or not fits({**spec, "templates": wrapped}):
        wrapped = share(wrapped, shareable)
    return {**workflow_template, "spec": {**spec, "templates": wrapped}}


def _step_of(template: Template) -> str:
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(STEP_ANNOTATION, ""))


def _template_of(step: str, templates: list[Template], pods: Pods) -> Template:
    """Return the one container template of a step, of the shape that the wrapper knows."""

    def unexpected(what: str) -> NotCompiled:
        return NotCompiled(
            f"Step {step}: @hitl can't be put into what Metaflow {pods.metaflow_version} made of it: expected {what}. "
            "Use a version of Metaflow that this release of metaflow-hitl names, or report this."
        )

    of_step = [template for template in templates if _step_of(template) == step]
    if not of_step:
        raise unexpected(f"a template with the annotation {STEP_ANNOTATION}: {step}, and there is none")
    if len(of_step) > 1:
        raise unexpected(f"one template with the annotation {STEP_ANNOTATION}: {step}, and there are {len(of_step)}")
    container = of_step[0].get("container") or {}
    command = container.get("command")
    if not isinstance(command, list) or len(command) != 3 or command[:2] != ["bash", "-c"]:  # noqa: PLR2004 - bash -c TEXT
        raise unexpected("a container with the command bash -c")
    calls = command[2].count(_step_call(step))
    if calls != 1:
        raise unexpected(f"the text {_step_call(step)!r} once in its command, and it is there {calls} times")
    if "/mnt/out" not in {mount.get("mountPath") for mount in container.get("volumeMounts") or []}:
        raise unexpected("a volume at /mnt/out for output parameters")
    return of_step[0]


def _step_call(step: str) -> str:
    return f" step {step} --run-id"


def _around(step: str, original: Template, gate: GateSpec, pods: Pods, taken: set[str]) -> Iterator[Template]:
    name = original["name"]
    plain = step.replace("_", "-")  # as Metaflow does it: a step's name holds no hyphen, so no two become one
    notify, suspend = (_own_name(step, f"hitl-{part}-{plain}", taken) for part in ("notify", "suspend"))
    # "deploy" and "deploy_task" are both good names of steps.
    task = _own_name(step, f"{name}-task" if f"{name}-task" not in taken else f"hitl-task-{plain}", taken)
    inputs = [one["name"] for one in (original.get("inputs") or {}).get("parameters", [])]
    outputs = [one["name"] for one in (original.get("outputs") or {}).get("parameters", [])]
    passed_on = [{"name": one, "value": f"{{{{inputs.parameters.{one}}}}}"} for one in inputs]
    approval_id, digest = (
        {"name": one, "value": f"{{{{tasks.{notify}.outputs.parameters.{one}}}}}"} for one in (PARAMETER, QUESTION)
    )
    yield {
        "name": name,
        "inputs": {"parameters": [{"name": one} for one in inputs]},
        "outputs": {
            "parameters": [
                {"name": one, "valueFrom": {"parameter": f"{{{{tasks.{task}.outputs.parameters.{one}}}}}"}}
                for one in outputs
            ]
        },
        "dag": {
            "failFast": True,
            "tasks": [
                {"name": notify, "template": notify, "arguments": {"parameters": passed_on}},
                {
                    "name": suspend,
                    "template": suspend,
                    "depends": f"{notify}.Succeeded",
                    "when": f"{{{{tasks.{notify}.outputs.parameters.{SETTLED}}}}} != true",
                    "arguments": {"parameters": [approval_id, digest]},
                },
                {
                    "name": task,
                    "template": task,
                    "depends": f"{suspend}.Succeeded || {suspend}.Skipped",
                    "arguments": {"parameters": [*passed_on, digest]},
                },
            ],
        },
    }
    bare = _without_nones(_without_secrets(original))
    yield notify_template(
        bare,
        name=notify,
        command=(_step_call(step), f" hitl notify {step} --run-id"),
        outputs=OUTPUTS,
        retry=RETRY,
        small=pods.notify,
    )
    # No retryStrategy: a Retry node above would hide who rejected behind "No more retries left".
    yield {
        "name": suspend,
        "inputs": {"parameters": [{"name": PARAMETER}, {"name": QUESTION}]},
        "suspend": {} if gate.duration is None else {"duration": gate.duration},
    }
    yield _gated(bare, task, pods.gated_environment)


def _gated(original: Template, name: str, environment: Mapping[str, str]) -> Template:
    """Return the step's own template, told what was asked. A refusal is not tried again, whatever ``@retry`` says."""
    inputs = original.get("inputs") or {}
    gated = {
        **original,
        "name": name,
        "inputs": {**inputs, "parameters": [*(inputs.get("parameters") or ()), {"name": QUESTION}]},
        "container": _with_environment(
            original["container"], {**environment, QUESTION_SHA256: f"{{{{inputs.parameters.{QUESTION}}}}}"}
        ),
    }
    if strategy := original.get("retryStrategy"):
        gated["retryStrategy"] = {**strategy, "expression": _also(strategy.get("expression"))}
    return gated


def _also(expression: str | None) -> str:
    return f"({expression}) && {RETRY}" if expression else RETRY


def _with_environment(container: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the container with these variables set, and no second entry of any of them."""
    kept = [entry for entry in container.get("env") or [] if entry["name"] not in environment]
    return {**container, "env": kept + [{"name": name, "value": value} for name, value in environment.items()]}


def _without_secrets(template: Template) -> Template:
    """Leave out what a careless ``@environment`` may hold: a token has no business in a template."""
    container = template["container"]
    kept = [entry for entry in container.get("env") or [] if not is_secret(entry["name"])]
    return {**template, "container": {**container, "env": kept}}


def _without_nones(part: Any) -> Any:
    """Leave out fields that are null, a quarter of what Metaflow writes: what is stored may have 1.5 MiB (etcd)."""
    if isinstance(part, dict):
        return {key: _without_nones(value) for key, value in part.items() if value is not None}
    return [_without_nones(one) for one in part] if isinstance(part, list) else part


def _own_name(step: str, name: str, taken: set[str]) -> str:
    if name in taken:
        raise NotCompiled(
            f"Step {step}: its gate needs the name {name} in the workflow, but the step {name.replace('-', '_')} has "
            "it. Rename that step."
        )
    if len(name) > LONGEST_NAME:
        raise NotCompiled(
            f"Step {step}: its gate would be called {name}, which has {len(name)} characters, but Argo Workflows "
            f"allows {LONGEST_NAME}. Give the step a shorter name."
        )
    if not _NAME.fullmatch(name):
        raise NotCompiled(
            f"Step {step}: its gate would be called {name!r}, but Argo Workflows allows only ASCII letters, digits "
            "and hyphens. Rename the step."
        )
    return name


def _check_wait(step: str, gate: GateSpec, most: int | None) -> None:
    if most is None:
        return
    if gate.longest_wait is None or gate.longest_wait >= most:
        wait = "forever" if gate.longest_wait is None else f"for {in_words(gate.longest_wait)} ({gate.longest_wait} s)"
        raise NotCompiled(
            f"Step {step}: its gate may wait {wait}, but the workflow ends after {in_words(most)} ({most} s), "
            "including the time that it waits. Shorten the timeout of @hitl, or lengthen --workflow-timeout."
        )
