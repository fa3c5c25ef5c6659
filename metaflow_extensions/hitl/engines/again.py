"""The workflow that runs another one again, with other parameters. No I/O.

It is what ``argo-workflows trigger`` of Metaflow creates (metaflow 2.19, ``plugins/argo/argo_client.py``,
``trigger_workflow_template``): a reference to the WorkflowTemplate, and the parameters as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.approvals.running_again import BadParameter, CantRunAgain
from metaflow_extensions.hitl.engines.nodes import Workflow, name_of

# Annotations: the approval of which changes were requested, and who ran it again.
AFTER, BY = "metaflow-hitl/after", "metaflow-hitl/by"
TRIGGERED_BY = "metaflow/triggered_by_user"
_LONGEST_NAME = 63  # characters of a workflow's name (argo-workflows 4.1.2, ``workflow/validate/validate.go``)
_ID = 10  # characters of an approval's id that no other approval has
_WORDS = {bool: "true or false", int: "a number", float: "a number", list: "a JSON list", dict: "a JSON object"}


def parameters(workflow: Workflow) -> dict[str, str]:
    """Return what a workflow was started with, as people write it: by name, texts without quotes.

    Raises
    ------
    CantRunAgain
        It was not started from a WorkflowTemplate.
    """
    _template(workflow)
    return {name: _as_text(value) for name, value in _raw(workflow).items()}


def manifest(workflow: Workflow, approval: Approval, entered: Mapping[str, str], by: Person) -> dict[str, Any]:
    """Build the workflow that runs another one again. Its name follows from the approval, so there is one of it.

    Raises
    ------
    CantRunAgain
        As for ``parameters``.
    BadParameter
        A value is of another kind than the one before.
    """
    template, raw = _template(workflow), _raw(workflow)
    values = [{"name": name, "value": _as_value(name, entered.get(name), former)} for name, former in raw.items()]
    stem = str(template["name"])[: _LONGEST_NAME - _ID - 1].rstrip("-.")
    return {
        "apiVersion": workflow["apiVersion"],
        "kind": "Workflow",
        "metadata": {
            "name": f"{stem}-{approval.id[-_ID:]}",
            "namespace": workflow["metadata"]["namespace"],
            "annotations": {
                AFTER: approval.id,
                BY: by.id,
                TRIGGERED_BY: json.dumps({"type": "user", "name": by.email or by.name}),
            },
        },
        "spec": {
            "workflowTemplateRef": dict(template),
            # What has no value is left to the template, which may have a default for it.
            "arguments": {"parameters": [one for one in values if one["value"] is not None]},
        },
    }


def is_the_same(workflow: Workflow, wanted: Mapping[str, Any]) -> bool:
    """Whether a workflow is what the same person started before with the same parameters."""
    annotations = workflow["metadata"].get("annotations") or {}
    arguments = (workflow["spec"].get("arguments") or {}).get("parameters") or []
    return (
        all(annotations.get(key) == wanted["metadata"]["annotations"][key] for key in (AFTER, BY))
        and arguments == wanted["spec"]["arguments"]["parameters"]
    )


def _template(workflow: Workflow) -> dict[str, Any]:
    template = workflow["spec"].get("workflowTemplateRef")
    if not isinstance(template, dict) or not template.get("name"):
        raise CantRunAgain(f"Workflow {name_of(workflow)} was not started from a WorkflowTemplate.")
    return template


def _raw(workflow: Workflow) -> dict[str, str | None]:
    """Return the parameters as the workflow has them: the template's as it was then, and its own above them."""
    stored = (workflow.get("status") or {}).get("storedWorkflowTemplateSpec") or {}
    found: dict[str, str | None] = {}
    for spec in (stored, workflow["spec"]):
        for one in (spec.get("arguments") or {}).get("parameters") or ():
            value = one.get("value")
            found[str(one["name"])] = None if value is None else str(value)
    return found


def _as_text(raw: str | None) -> str:
    decoded = _decoded(raw)
    if decoded is None:
        return ""
    return decoded if isinstance(decoded, str) else str(raw)


def _as_value(name: str, text: str | None, former: str | None) -> str | None:
    if text is None or text == _as_text(former):
        return former
    decoded = _decoded(former)
    if isinstance(decoded, str):
        return json.dumps(text)
    value = _decoded(text)
    if decoded is None:
        return json.dumps(value)
    kinds = (int, float) if type(decoded) in (int, float) else (type(decoded),)
    if type(value) not in kinds:
        raise BadParameter(name, f"It must be {_WORDS[type(decoded)]}, such as {str(former)[:100]}.")
    return json.dumps(value)


def _decoded(raw: str | None) -> Any:
    """Read JSON; what is none is text, as somebody with ``argo submit -p`` writes it."""
    if raw is None or raw == "":
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw
