"""Approvals that wait in recorded workflows, in the real API server."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import kubernetes

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.proposing import asked_digest
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate
from metaflow_extensions.hitl.engines import nodes
from metaflow_extensions.hitl.engines.kubernetes import JSON_PATCH
from tests.cluster import recorded
from tests.cluster.control_plane import ADMIN, Cluster
from tests.fixtures.approvals import approval, approving, pathspec, rejecting

RESOURCE = ("argoproj.io", "v1alpha1")


@dataclass(frozen=True, kw_only=True)
class Gated:
    """A workflow in the API server, and a pending approval for each of its gates."""

    cluster: Cluster
    namespace: str
    name: str
    approvals: tuple[Approval, ...]

    def read(self) -> dict[str, Any]:
        return self._api().get_namespaced_custom_object(*RESOURCE, self.namespace, "workflows", self.name)

    def node(self, asked: Approval) -> dict[str, Any]:
        """The suspend node of an approval."""
        return self.nodes()[asked.id]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """All suspend nodes, by approval id."""
        return {
            parameter["value"]: node
            for node in recorded.nodes(self.read()).values()
            if node["type"] == "Suspend"
            for parameter in node["inputs"]["parameters"]
            if parameter["name"] == nodes.PARAMETER
        }

    def say_what_was_asked(self, asked: Approval) -> None:
        """Pass a question's digest on to the suspend node, as Argo does with what the container before it said."""
        parameter = {"name": nodes.QUESTION, "value": asked_digest(asked.question)}
        path = f"/status/nodes/{self.node(asked)['id']}/inputs/parameters/-"
        self.change({"op": "add", "path": path, "value": parameter})

    def asked(self, asked: Approval) -> str | None:
        """The digest that was passed on; None before."""
        return nodes.input_of(self.node(asked), nodes.QUESTION)

    def phases(self) -> list[str]:
        """The phases of the gates, in the order of the approvals."""
        found = self.nodes()
        return [found[asked.id]["phase"] for asked in self.approvals]

    def change(self, *operations: dict[str, Any]) -> None:
        """Change the workflow as somebody else does, by a JSON Patch."""
        self._api().patch_namespaced_custom_object(
            *RESOURCE, self.namespace, "workflows", self.name, list(operations), _content_type=JSON_PATCH
        )

    def change_node(self, asked: Approval, **changes: str) -> None:
        """Change a suspend node as the controller, or somebody with a command, does."""
        path = f"/status/nodes/{self.node(asked)['id']}"
        self.change(*({"op": "add", "path": f"{path}/{key}", "value": value} for key, value in changes.items()))

    def started(self) -> dict[str, dict[str, str]]:
        """The workflows that were started since: their parameters by name, without the quotes of JSON."""
        found = self._api().list_namespaced_custom_object(*RESOURCE, self.namespace, "workflows")["items"]
        return {
            one["metadata"]["name"]: {
                parameter["name"]: str(json.loads(parameter["value"]))
                for parameter in one["spec"]["arguments"]["parameters"]
            }
            for one in found
            if one["metadata"]["name"] != self.name
        }

    def delete(self) -> None:
        self._api().delete_namespaced_custom_object(*RESOURCE, self.namespace, "workflows", self.name)

    def _api(self) -> Any:
        return kubernetes.client.CustomObjectsApi(self.cluster.api_client(ADMIN))


def gated(
    cluster: Cluster,
    namespace: str,
    recording: str = recorded.FOREACH_4_1,
    *,
    most: int = 3,
    parameters: dict[str, str] | None = None,
    **parts: Any,
) -> Gated:
    """Create a recorded workflow, with an approval for each gate up to so many.

    Parameters
    ----------
    recording : str
        One of those that `recorded` names.
    parameters : dict[str, str], optional
        With which the template has them, as JSON; the workflow itself was started with none of its own.
    parts : Any
        Of the approvals' question.
    """
    workflow = recorded.workflow(recording)
    name = workflow["metadata"]["name"]
    annotations = workflow["metadata"].setdefault("annotations", {})  # that of 3,000 gates was made without Metaflow
    run = {"flow": annotations.setdefault("metaflow/flow_name", "ManyGates"), "run": f"argo-{name}"}
    gate = Gate(engine=EngineKind.ARGO, namespace=namespace, workflow=name)
    gates = list(recorded.gates(workflow))[:most]
    now = datetime.now(timezone.utc)
    asked = tuple(
        replace(approval(pathspec(**run, task=f"t-{number}-{namespace}"), at=now, **parts), gate=gate)
        for number in range(len(gates))
    )
    arguments = [{"name": key, "value": value} for key, value in (parameters or {}).items()]
    workflow["status"].setdefault("storedWorkflowTemplateSpec", {})["arguments"] = {"parameters": arguments}
    renamed = with_ids(workflow, dict(zip(gates, (one.id for one in asked), strict=True)))
    kubernetes.client.CustomObjectsApi(cluster.api_client(ADMIN)).create_namespaced_custom_object(
        *RESOURCE, namespace, "workflows", renamed
    )
    return Gated(cluster=cluster, namespace=namespace, name=name, approvals=asked)


def approved(asked: Approval, **parts: Any) -> Approval:
    return transitions.decide(asked, approving(at=asked.requested_at + timedelta(seconds=60), **parts))


def rejected(asked: Approval, **parts: Any) -> Approval:
    return transitions.decide(asked, rejecting(at=asked.requested_at + timedelta(seconds=60), **parts))


def with_ids(workflow: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """Put approval ids in place of what a recording has for them."""
    text = json.dumps(recorded.nodes(workflow))
    for old, new in ids.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    return with_nodes(workflow, json.loads(text))


def with_nodes(workflow: dict[str, Any], found: nodes.Nodes) -> dict[str, Any]:
    """Put other nodes into a workflow, packed if its own are."""
    packed = "compressedNodes" in workflow["status"]
    changed = {"compressedNodes": nodes.pack(found)} if packed else {"nodes": found}
    return {**workflow, "status": {**workflow["status"], **changed}}
