"""What the API server of the tests does for real, so that other tests may rely on it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from tests.cluster import recorded
from tests.cluster.control_plane import ADMIN, Cluster

WORKFLOWS = ("argoproj.io", "v1alpha1", "workflows")


def create(cluster: Cluster, namespace: str, workflow: dict[str, Any]) -> dict[str, Any]:
    group, version, plural = WORKFLOWS
    api = kubernetes.client.CustomObjectsApi(cluster.api_client(ADMIN))
    return api.create_namespaced_custom_object(group, version, namespace, plural, workflow)


def read(cluster: Cluster, namespace: str, name: str, *, user: str = ADMIN) -> dict[str, Any]:
    group, version, plural = WORKFLOWS
    api = kubernetes.client.CustomObjectsApi(cluster.api_client(user))
    return api.get_namespaced_custom_object(group, version, namespace, plural, name)


def patch(
    cluster: Cluster, namespace: str, name: str, operations: list[dict[str, Any]], *, user: str = ADMIN
) -> dict[str, Any]:
    group, version, plural = WORKFLOWS
    api = kubernetes.client.CustomObjectsApi(cluster.api_client(user))
    # Unless told, the client declares a list of operations as a merge patch too, and the server answers 400.
    return api.patch_namespaced_custom_object(
        group, version, namespace, plural, name, operations, _content_type="application/json-patch+json"
    )


def resume(node_id: str) -> list[dict[str, Any]]:
    node = f"/status/nodes/{node_id}"
    return [
        {"op": "test", "path": f"{node}/type", "value": "Suspend"},
        {"op": "test", "path": f"{node}/phase", "value": "Running"},
        {"op": "add", "path": f"{node}/phase", "value": "Succeeded"},
        {"op": "add", "path": f"{node}/message", "value": "approved by bob"},
    ]


def test_it_reports_the_version_that_is_pinned(cluster: Cluster) -> None:
    """The server says that it is Kubernetes 1.34."""
    version = kubernetes.client.VersionApi(cluster.api_client(ADMIN)).get_code()
    assert (version.major, version.minor) == ("1", "34")


def test_each_namespace_is_a_fresh_one(cluster: Cluster) -> None:
    """Two namespaces asked for are two."""
    assert cluster.namespace() != cluster.namespace()


def test_a_request_without_a_token_is_refused(cluster: Cluster) -> None:
    """Nobody is anonymous: without a token the answer is 401."""
    configuration = kubernetes.client.Configuration()
    configuration.host = cluster.url
    configuration.ssl_ca_cert = str(cluster.certificate)
    with kubernetes.client.ApiClient(configuration) as nobody, pytest.raises(ApiException) as refusal:
        kubernetes.client.VersionApi(nobody).get_code()
    assert refusal.value.status == 401


def test_a_user_is_a_service_account_with_its_groups(cluster: Cluster, namespace: str) -> None:
    """The token that a user speaks with is one that the server issued for the service account."""
    user = cluster.service_account(namespace, "hitl-bot")
    api = kubernetes.client.AuthenticationV1Api(cluster.api_client(user))
    review = api.create_self_subject_review({}).status.user_info
    assert review.username == f"system:serviceaccount:{namespace}:hitl-bot"
    assert f"system:serviceaccounts:{namespace}" in review.groups


def test_a_service_account_may_do_what_its_role_says(cluster: Cluster, namespace: str) -> None:
    """Before a role is bound it may do nothing; after, the role's verbs in its own namespace and no others."""
    bot = cluster.service_account(namespace, "hitl-bot")
    assert not cluster.may(bot, "patch", "workflows", namespace)
    cluster.allow(bot, "workflows", ["patch"])
    assert cluster.may(bot, "patch", "workflows", namespace)
    assert not cluster.may(bot, "delete", "workflows", namespace)
    assert not cluster.may(bot, "patch", "workflows", cluster.namespace())


def test_a_pod_can_report_its_outputs_and_not_resume(cluster: Cluster, namespace: str) -> None:
    """A token with Argo's rights for pods creates a WorkflowTaskResult; reading or patching a Workflow is a 403."""
    pod = cluster.service_account(namespace, "flow")
    cluster.allow(pod, "workflowtaskresults", ["create", "patch"])
    workflow = create(cluster, namespace, recorded.workflow(recorded.FOREACH_4_1))
    name, (node_id, *_) = workflow["metadata"]["name"], recorded.gates(workflow).values()

    api = kubernetes.client.CustomObjectsApi(cluster.api_client(pod))
    result = {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskResult", "metadata": {"name": node_id}}
    api.create_namespaced_custom_object("argoproj.io", "v1alpha1", namespace, "workflowtaskresults", result)
    for attempt in (
        lambda: read(cluster, namespace, name, user=pod),
        lambda: patch(cluster, namespace, name, resume(node_id), user=pod),
    ):
        with pytest.raises(ApiException) as refusal:
            attempt()
        assert refusal.value.status == 403
    assert recorded.gates(read(cluster, namespace, name)) == recorded.gates(workflow)


@pytest.mark.parametrize("name", [recorded.FOREACH_3_7, recorded.FOREACH_4_1, recorded.RECURSION_3_7])
def test_a_recorded_workflow_keeps_every_node(cluster: Cluster, namespace: str, name: str) -> None:
    """A recording that is created and read back has the very status that Argo wrote."""
    workflow = recorded.workflow(name)
    create(cluster, namespace, workflow)
    assert read(cluster, namespace, workflow["metadata"]["name"])["status"] == workflow["status"]


@pytest.mark.parametrize("name", [recorded.FOREACH_3_7, recorded.FOREACH_4_1])
def test_a_patch_resumes_one_gate_of_three(cluster: Cluster, namespace: str, name: str) -> None:
    """JSON Patch with `test` operations ends the wait of one suspend node and leaves two waiting."""
    workflow = create(cluster, namespace, recorded.workflow(name))
    gates = recorded.gates(workflow)
    chosen, *others = gates
    patched = patch(cluster, namespace, workflow["metadata"]["name"], resume(gates[chosen]))
    assert recorded.nodes(patched)[gates[chosen]]["phase"] == "Succeeded"
    assert sorted(recorded.gates(patched)) == sorted(others)


def test_a_patch_whose_test_fails_changes_nothing(cluster: Cluster, namespace: str) -> None:
    """A second resume of the same node is refused with 422, and the workflow's version stays."""
    workflow = create(cluster, namespace, recorded.workflow(recorded.RECURSION_3_7))
    (node_id,) = recorded.gates(workflow).values()
    name = workflow["metadata"]["name"]
    first = patch(cluster, namespace, name, resume(node_id))
    with pytest.raises(ApiException) as refusal:
        patch(cluster, namespace, name, resume(node_id))
    assert refusal.value.status == 422
    assert read(cluster, namespace, name)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_three_thousand_gates_fit(cluster: Cluster, namespace: str) -> None:
    """The compressed recording is stored, and 3,000 gates with ids of their own are read from it."""
    workflow = create(cluster, namespace, recorded.workflow(recorded.COMPRESSED_4_1))
    stored = read(cluster, namespace, workflow["metadata"]["name"])
    assert "nodes" not in stored["status"]
    assert len(recorded.gates(stored)) == 3000


def test_an_outdated_version_is_refused(cluster: Cluster, namespace: str) -> None:
    """A patch that tests `resourceVersion` is refused after anybody else has changed the workflow."""
    workflow = create(cluster, namespace, recorded.workflow(recorded.COMPRESSED_4_1))
    name, version = workflow["metadata"]["name"], workflow["metadata"]["resourceVersion"]
    patch(cluster, namespace, name, [{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}])
    guard = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    with pytest.raises(ApiException) as refusal:
        patch(cluster, namespace, name, [guard, {"op": "add", "path": "/status/phase", "value": "Failed"}])
    assert refusal.value.status in {409, 422}
    assert read(cluster, namespace, name)["status"]["phase"] == "Running"


def test_kubectl_speaks_as_the_user_of_a_kubeconfig(cluster: Cluster, namespace: str, kubectl: Path) -> None:
    """The file of a bot that may list workflows lists those of its own namespace; it can't delete them."""
    bot = cluster.service_account(namespace, "hitl-bot")
    cluster.allow(bot, "workflows", ["get", "list", "watch", "patch"])
    workflow = create(cluster, namespace, recorded.workflow(recorded.RECURSION_3_7))
    command = [str(kubectl), f"--kubeconfig={cluster.kubeconfig(bot, namespace=namespace)}"]
    listed = subprocess.run([*command, "get", "wf", "-o", "json"], capture_output=True, text=True, check=True)
    assert [item["metadata"]["name"] for item in json.loads(listed.stdout)["items"]] == [workflow["metadata"]["name"]]
    refused = subprocess.run([*command, "delete", "wf", "--all"], capture_output=True, text=True, check=False)
    assert "forbidden" in refused.stderr
