"""Who deployed and who started an Argo Workflow, as the object itself has it. No I/O.

Metaflow notes the deployer on the template's workflows, and who triggers one (metaflow 2.19,
``plugins/argo/argo_workflows.py`` and ``argo_client.py``). Argo's server notes its own logged-in user in labels, which
hold ``[-_.0-9a-zA-Z]`` alone, so ``@`` becomes ``.at.`` (argo-workflows 4.1.2, ``workflow/creator/creator.go``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from metaflow_extensions.hitl.approvals.record import Origin, Person
from metaflow_extensions.hitl.engines.again import BY, TRIGGERED_BY
from metaflow_extensions.hitl.engines.nodes import Workflow
from metaflow_extensions.hitl.slack import SLACK

_OWNER = "metaflow/owner"
_CREATOR = "workflows.argoproj.io/creator"


def started_by(workflow: Workflow) -> tuple[Person, ...]:
    """Return everybody whose workflow it is, the deployer first, once each."""
    metadata = workflow["metadata"]
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    found = [Person(id=name, name=name, origin=Origin.CLAIM) for name in _names(annotations, labels)]
    if again_by := str(annotations.get(BY) or ""):
        found.append(Person(id=again_by, name=again_by, origin=SLACK))
    return tuple(dict.fromkeys(found))


def _names(annotations: Mapping[str, Any], labels: Mapping[str, Any]) -> Iterator[str]:
    if owner := str(annotations.get(_OWNER) or ""):
        yield owner
    if email := str(labels.get(f"{_CREATOR}-email") or ""):
        yield email.replace(".at.", "@", 1)
    elif creator := str(labels.get(f"{_CREATOR}-preferred-username") or labels.get(_CREATOR) or ""):
        yield creator
    # Of a run that somebody started again in Slack the name is the same person's, and the id says who.
    if not annotations.get(BY) and (name := _triggered_by(annotations)):
        yield name


def _triggered_by(annotations: Mapping[str, Any]) -> str:
    try:
        triggered = json.loads(annotations.get(TRIGGERED_BY) or "{}")
    except (TypeError, ValueError):
        return str(annotations[TRIGGERED_BY])  # unreadable, and not nobody
    return str(triggered.get("name") or "") if isinstance(triggered, dict) else ""
