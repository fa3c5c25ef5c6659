"""The example policy that demands gates in production namespaces, in a real API server."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from tests.cluster import recorded
from tests.cluster.control_plane import ADMIN, Cluster
from tests.cluster.gated import RESOURCE

POLICY = Path(__file__).parents[2] / "manifests" / "admission" / "gates-required.yaml"
EFFECTIVE_SECONDS = 240  # the server compiles a policy some seconds after its creation

Json = dict[str, Any]


@pytest.fixture(scope="module")
def policy(cluster: Cluster) -> Iterator[None]:
    """The policy, applied as an operator does, with strict validation of its fields."""
    api = kubernetes.client.AdmissionregistrationV1Api(cluster.api_client(ADMIN))
    rules, binding = yaml.safe_load_all(POLICY.read_text())
    api.create_validating_admission_policy(rules, field_validation="Strict")
    api.create_validating_admission_policy_binding(binding, field_validation="Strict")
    yield
    api.delete_validating_admission_policy_binding(binding["metadata"]["name"])
    api.delete_validating_admission_policy(rules["metadata"]["name"])


@pytest.fixture
def production(policy: None, cluster: Cluster, namespace: str) -> str:
    """A namespace with the label, once the policy is effective there."""
    core = kubernetes.client.CoreV1Api(cluster.api_client(ADMIN))
    core.patch_namespace(namespace, {"metadata": {"labels": {"metaflow-hitl/gates": "required"}}})
    last_moment = time.monotonic() + EFFECTIVE_SECONDS
    while refusal(cluster, namespace, workflow(templates=[])) is None:
        assert time.monotonic() < last_moment, "the policy is not effective"
        time.sleep(0.1)  # the server tells nobody when it has compiled a policy
    return namespace


def compiled() -> Json:
    """Return the specification of a WorkflowTemplate with gates at `train` and `deploy`, as it was deployed."""
    spec: Json = recorded.workflow(recorded.FOREACH_4_1)["status"]["storedWorkflowTemplateSpec"]
    return copy.deepcopy(spec)


def template(spec: Json) -> Json:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate", "metadata": {"name": "f"}, "spec": spec}


def workflow(**spec: Any) -> Json:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "f-"}, "spec": spec}


def refusal(cluster: Cluster, namespace: str, wanted: Json) -> str | None:
    """Ask the server, in a dry run, and return why it refuses; None if it takes it."""
    api = kubernetes.client.CustomObjectsApi(cluster.api_client(ADMIN))
    plural = f"{wanted['kind'].lower()}s"
    try:
        api.create_namespaced_custom_object(*RESOURCE, namespace, plural, wanted, dry_run="All")
    except ApiException as error:
        return str(error.body)
    return None


def without_gate(spec: Json, *steps: str) -> Json:
    """Leave `@hitl` out of some steps: their container takes the place of the DAG around it."""
    around = {step: f"{step}-task" for step in steps}
    gone = {*around, *(f"hitl-{part}-{step}" for part in ("notify", "suspend") for step in steps)}
    kept = [one for one in spec["templates"] if one["name"] not in gone]
    names = {task: step for step, task in around.items()}
    spec["templates"] = [{**one, "name": names.get(one["name"], one["name"])} for one in kept]
    return spec


def test_a_flow_with_its_gates_is_deployed_and_triggered(cluster: Cluster, production: str) -> None:
    """What Metaflow compiles and what its trigger creates are taken as they are."""
    assert refusal(cluster, production, template(compiled())) is None
    triggered = workflow(workflowTemplateRef={"name": "f"}, arguments={"parameters": [{"name": "alpha", "value": "1"}]})
    assert refusal(cluster, production, triggered) is None


def test_a_flow_without_gates_is_refused(cluster: Cluster, production: str) -> None:
    """Who leaves `@hitl` out can't deploy here, and reads what to do; elsewhere it is their own affair."""
    ungated = template(without_gate(compiled(), "train", "deploy"))
    assert "Put @hitl on the step that needs a yes" in (refusal(cluster, production, ungated) or "")
    assert refusal(cluster, cluster.namespace(), ungated) is None


def test_a_gate_at_another_step_does_not_do(cluster: Cluster, production: str) -> None:
    """The steps that the policy names need gates of their own."""
    ungated = template(without_gate(compiled(), "deploy"))
    assert "the step deploy needs a gate" in (refusal(cluster, production, ungated) or "")
    assert refusal(cluster, production, template(without_gate(compiled(), "train"))) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"templates": [{"name": "main", "container": {"image": "python"}}], "entrypoint": "main"},
        {"workflowTemplateRef": {"name": "f", "clusterScope": True}},
        {"workflowTemplateRef": {"name": "f"}, "entrypoint": "deploy-task"},
    ],
    ids=["its own templates", "a template of the cluster", "beginning behind the gate"],
)
def test_a_workflow_brings_nothing_of_its_own(cluster: Cluster, production: str, spec: Json) -> None:
    """A workflow that is not simply started from a template of this namespace is refused."""
    assert "from its own WorkflowTemplates only" in (refusal(cluster, production, workflow(**spec)) or "")
