"""One template for what many gates have alike.

Argo keeps two copies of the whole specification in the status of each Workflow, and a Workflow may have 1 MiB (see
``limits``). The containers of some 30 gates fill it. Those that ask, and mostly the steps' own, differ in their step's
name alone, and the nodes that wait in nothing, so in a large flow they are templates that take the step as a parameter.
What a gate then has to itself is a DAG of three tasks, which keep their names, and with them what people see.

Measured on 3.7.3 at the end of a run of 100 gates: 730 KB with shared templates. Without, the API server takes neither
100 nor 60, and 100 steps without any gate are 1.4 MB, which Argo refuses. On 4.1.2 with its full definitions 190 gates
ran, in 198 templates; Argo packed the nodes from the 117th gate on.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Template = dict[str, Any]

PARAMETER = "hitl-step"
_REFERENCE = f"{{{{inputs.parameters.{PARAMETER}}}}}"
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
        old: (new, [{"name": PARAMETER, "value": parts[old].step}] if _takes_step(new, made) else [])
        for old, new in new_names.items()
    }
    return [_calling(template, calls) for template in kept]


def _takes_step(name: str, made: Mapping[str, Template]) -> bool:
    return any(one["name"] == name and {"name": PARAMETER} in one["inputs"]["parameters"] for one in made.values())


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
        general["inputs"] = {"parameters": [*template["inputs"]["parameters"], {"name": PARAMETER}]}
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
