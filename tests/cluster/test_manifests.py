"""The manifests, as kubectl renders them and as a real API server takes them."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from hitl_bot.settings import PREFIX, Settings
from hitl_bot.web.server import SLACK_PATH, application
from tests.cluster.control_plane import ADMIN, Cluster

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
NAMESPACES = ("metaflow", "team-a", "team-b")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "escalate", "impersonate")
NAMESPACE = "METAFLOW_KUBERNETES_NAMESPACE"  # Metaflow's own, from which the bot's setting follows
RESOURCES = (
    ("argoproj.io", "workflows"),
    ("argoproj.io", "workflows/status"),
    ("argoproj.io", "workflowtaskresults"),
    ("argoproj.io", "workflowtemplates"),
    ("argoproj.io", "cronworkflows"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "pods"),
    ("", "pods/exec"),
    ("", "serviceaccounts/token"),
    ("apps", "deployments"),
    ("rbac.authorization.k8s.io", "roles"),
)
BOT = "system:serviceaccount:metaflow:hitl-bot"
BOT_MAY = {("workflows", verb) for verb in ("get", "list", "watch", "patch")}
FLOW_MAY = {("workflowtaskresults", verb) for verb in ("create", "patch")}


@pytest.fixture(scope="session")
def render(kubectl: Path) -> Callable[[Path], list[Json]]:
    """Render a folder as `kubectl apply --kustomize` would."""

    @cache
    def rendered(folder: Path) -> str:
        result = subprocess.run([str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return lambda folder: [document for document in yaml.safe_load_all(rendered(folder)) if document]


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, render: Callable[[Path], list[Json]]) -> list[Json]:
    """What each overlay renders."""
    return render(MANIFESTS / "overlays" / request.param)


def the(kind: str, documents: list[Json], name: str = "hitl-bot") -> Json:
    [found] = [one for one in documents if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    return found


def container(documents: list[Json]) -> Json:
    [found] = the("Deployment", documents)["spec"]["template"]["spec"]["containers"]
    return dict(found)


# What they say, held to the code and to each other.


def test_every_setting_is_one_that_the_bot_knows(overlay: list[Json]) -> None:
    """No variable is misspelt, and together with the secrets they are settings that the bot takes."""
    known = Settings.names()
    values = the("ConfigMap", overlay, "hitl-bot-settings")["data"]
    secrets = [entry["name"] for entry in container(overlay)["env"]]
    assert {name for name in (*values, *secrets) if name.startswith(PREFIX)} <= known
    tokens = {"BOT_TOKEN": "xoxb-1", "APP_TOKEN": "xapp-1", "SIGNING_SECRET": "8f742231b10e"}
    given = {f"{PREFIX}SLACK_{name}": token for name, token in tokens.items() if f"{PREFIX}SLACK_{name}" in secrets}
    settings = Settings(**values, **given)
    assert settings.mode is not None
    assert len(given) == 2
    assert (settings.slack_signing_secret is not None) is (settings.mode.value == "http")
    assert settings.port == container(overlay)["ports"][0]["containerPort"]


def test_no_secret_stands_in_them(overlay: list[Json]) -> None:
    """There is no Secret, and no variable with a token has a value: each is named by its secret and key."""
    assert not [one for one in overlay if one["kind"] == "Secret"]
    assert not re.search(r"xox[a-z]-|xapp-|AKIA", yaml.safe_dump(overlay))
    for entry in container(overlay)["env"]:
        if entry["name"] != NAMESPACE:
            assert {"name", "key"} <= set(entry["valueFrom"]["secretKeyRef"]) <= {"name", "key", "optional"}


def test_the_pod_can_do_little(overlay: list[Json]) -> None:
    """It is not root, can't become it, has no capability, writes to /tmp alone, and is bounded in what it takes."""
    pod = the("Deployment", overlay)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(overlay)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [one["mountPath"] for one in container(overlay)["volumeMounts"] if not one.get("readOnly")]
    assert writable == ["/tmp"]
    resources = container(overlay)["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


def test_there_are_two_and_one_stays(overlay: list[Json]) -> None:
    """Two replicas, a budget that lets one go at a time, and a roll that takes none away before another is ready."""
    deployment = the("Deployment", overlay)["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert the("PodDisruptionBudget", overlay)["spec"]["maxUnavailable"] == 1


def test_everything_selects_the_bot(overlay: list[Json]) -> None:
    """Deployment, budget, policy and service select the labels that the pod has."""
    labels = the("Deployment", overlay)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Deployment", overlay)["spec"]["selector"]["matchLabels"],
        the("PodDisruptionBudget", overlay)["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", overlay)["spec"]["podSelector"]["matchLabels"],
        *(one["spec"]["selector"] for one in overlay if one["kind"] == "Service"),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()


def test_the_probes_ask_what_is_served(overlay: list[Json]) -> None:
    """Each probe's address is one that the bot serves, and waits for longer than the bot takes."""
    served = {route.path for route in application(None, None, None).routes}
    probes = {name: probe for name, probe in container(overlay).items() if name.endswith("Probe")}
    assert set(probes) == {"startupProbe", "livenessProbe", "readinessProbe"}
    for probe in probes.values():
        assert probe["httpGet"]["path"] in served
        assert probe["httpGet"]["port"] == container(overlay)["ports"][0]["name"]
    assert probes["readinessProbe"]["timeoutSeconds"] > 3


def test_the_pod_gets_the_time_to_finish(overlay: list[Json]) -> None:
    """What the bot needs to end, ten seconds after the hook before it, is less than Kubernetes waits."""
    pod = the("Deployment", overlay)["spec"]["template"]["spec"]
    before = container(overlay).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert before + 10 < pod["terminationGracePeriodSeconds"]


def test_slack_reaches_the_request_url_and_nothing_else(render: Callable[[Path], list[Json]]) -> None:
    """The ingress leads to one address, exactly, with TLS; health and metrics stay inside."""
    ingress = the("Ingress", render(MANIFESTS / "overlays" / "http"))["spec"]
    [rule] = ingress["rules"]
    assert [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] == [(SLACK_PATH, "Exact")]
    assert ingress["tls"][0]["hosts"] == [rule["host"]]


def test_with_irsa_there_are_no_keys(render: Callable[[Path], list[Json]]) -> None:
    """On EKS both accounts name a role, and the bot asks for no secret with keys."""
    documents = render(MANIFESTS / "overlays" / "aws-irsa")
    for name in ("hitl-bot", "hitl-flow"):
        annotations = the("ServiceAccount", documents, name)["metadata"]["annotations"]
        assert annotations["eks.amazonaws.com/role-arn"].endswith(f":role/{name}")
    assert "hitl-s3" not in yaml.safe_dump(documents)


def test_the_workflows_namespace_moves_with_the_bot(
    tmp_path: Path, render: Callable[[Path], list[Json]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's own `namespace:` moves where the bot looks for workflows, too: Kubernetes tells it."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "ml-platform",
        "resources": [f"{os.path.relpath(MANIFESTS, tmp_path)}/overlays/socket"],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    documents = render(tmp_path)
    assert {one["metadata"]["namespace"] for one in documents if "namespace" in one["metadata"]} == {"ml-platform"}
    [told] = [entry for entry in container(documents)["env"] if entry["name"] == NAMESPACE]
    assert told["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    monkeypatch.setenv(NAMESPACE, "ml-platform")
    settings = Settings(**the("ConfigMap", documents, "hitl-bot-settings")["data"])
    assert settings.argo_namespace == "ml-platform"


# What the API server says.


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> None:
    """The namespaces that the overlays name, where pods are held to the strictest of Kubernetes' own standards."""
    core = kubernetes.client.CoreV1Api(cluster.api_client(ADMIN))
    for name in NAMESPACES:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        core.create_namespace({"metadata": {"name": name, "labels": labels}})


def apply(cluster: Cluster, kubectl: Path, documents: list[Json], *flags: str) -> str:
    """Apply as an admin does, and return a line for each object."""
    command = [str(kubectl), f"--kubeconfig={cluster.kubeconfig(ADMIN)}", "apply", "--server-side", "--validate=strict"]
    result = subprocess.run(
        [*command, *flags, "--filename=-"],
        input=yaml.safe_dump_all(documents),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECACHEDIR": str(cluster.folder / "kubectl-cache")},
    )
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr.lower()
    return result.stdout


def test_the_server_takes_every_object(namespaces: None, cluster: Cluster, kubectl: Path, overlay: list[Json]) -> None:
    """A dry run on the server accepts everything that an overlay renders, without a warning."""
    said = apply(cluster, kubectl, overlay, "--dry-run=server")
    assert said.count("(server dry run)") == len(overlay)


def pod_of(documents: list[Json]) -> Json:
    template = copy.deepcopy(the("Deployment", documents)["spec"]["template"])
    return {**template, "metadata": {**template["metadata"], "name": "hitl-bot-0", "namespace": "metaflow"}}


def test_the_pod_is_admitted_under_the_strictest_standard(
    access: None, cluster: Cluster, render: Callable[[Path], list[Json]]
) -> None:
    """Kubernetes' own admission takes the bot's pod where "restricted" is enforced, and refuses it as root."""
    core = kubernetes.client.CoreV1Api(cluster.api_client(ADMIN))
    pod = pod_of(render(MANIFESTS / "overlays" / "http"))
    core.create_namespaced_pod("metaflow", pod, dry_run="All")
    pod["spec"]["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(ApiException, match="violates PodSecurity"):
        core.create_namespaced_pod("metaflow", pod, dry_run="All")


@pytest.fixture(scope="module")
def access(namespaces: None, cluster: Cluster, kubectl: Path, render: Callable[[Path], list[Json]]) -> None:
    """Accounts, roles and bindings of the overlay for several namespaces, applied for real."""
    documents = render(MANIFESTS / "overlays" / "several-namespaces")
    apply(cluster, kubectl, [one for one in documents if one["kind"] in {"ServiceAccount", "Role", "RoleBinding"}])
    for namespace in NAMESPACES:
        wait_until_allowed(cluster, BOT, "patch", "workflows", namespace)
        wait_until_allowed(cluster, flow(namespace), "patch", "workflowtaskresults", namespace)


def flow(namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:hitl-flow"


def wait_until_allowed(cluster: Cluster, user: str, verb: str, resource: str, namespace: str) -> None:
    last_moment = time.monotonic() + 240
    while (resource, verb) not in allowed(cluster, user, namespace, [("argoproj.io", resource)], [verb]):
        assert time.monotonic() < last_moment, f"{user} may not {verb} {resource} in {namespace}"
        time.sleep(0.01)  # the server tells nobody when its authorizer has seen a binding


def allowed(
    cluster: Cluster, user: str, namespace: str, resources: Any = RESOURCES, verbs: Any = VERBS
) -> set[tuple[str, str]]:
    """Ask the server, for each verb on each resource, whether it would let this user."""
    api = kubernetes.client.AuthorizationV1Api(cluster.api_client(ADMIN))
    of, _, _ = user.rpartition(":")
    groups = ["system:serviceaccounts", of.replace("serviceaccount", "serviceaccounts"), "system:authenticated"]

    def may(group: str, resource: str, verb: str) -> bool:
        name, _, sub = resource.partition("/")
        attributes = {"group": group, "resource": name, "subresource": sub, "verb": verb, "namespace": namespace}
        review = {"spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}
        return bool(api.create_subject_access_review(review).status.allowed)

    return {(resource, verb) for group, resource in resources for verb in verbs if may(group, resource, verb)}


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_the_bot_may_exactly_this(access: None, cluster: Cluster, namespace: str) -> None:
    """Get, list, watch and patch workflows: nothing more in its namespaces, and nothing in any other."""
    assert allowed(cluster, BOT, namespace) == BOT_MAY


def test_the_bot_may_nothing_elsewhere(access: None, cluster: Cluster, namespace: str) -> None:
    """In a namespace that gives it no role the bot may nothing, and nothing in the whole cluster."""
    assert allowed(cluster, BOT, namespace) == allowed(cluster, BOT, "") == set()


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_a_flow_may_exactly_this(access: None, cluster: Cluster, namespace: str) -> None:
    """A flow's pod creates and patches workflowtaskresults in its own namespace; it can't resume itself."""
    assert allowed(cluster, flow(namespace), namespace) == FLOW_MAY
    for other in set(NAMESPACES) - {namespace}:
        assert allowed(cluster, flow(namespace), other) == set()


def test_no_rule_is_hidden_behind_those(access: None, cluster: Cluster) -> None:
    """The server's own list of the bot's rules has workflows, and what everybody may ask about themselves."""
    api = kubernetes.client.AuthorizationV1Api(cluster.api_client(BOT))
    review = api.create_self_subject_rules_review({"spec": {"namespace": "metaflow"}})
    rules = [(rule.api_groups, rule.resources, sorted(rule.verbs)) for rule in review.status.resource_rules]
    assert [rule for rule in rules if not rule[1][0].startswith("self")] == [
        (["argoproj.io"], ["workflows"], ["get", "list", "patch", "watch"])
    ]


@pytest.fixture(params=[("argo-server", "update"), ("run-again", "create")], ids=lambda one: one[0])
def component(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A component, and the verb that it adds."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def with_component(
    tmp_path: Path, component: tuple[str, str], render: Callable[[Path], list[Json]]
) -> Iterator[list[Json]]:
    """The socket overlay with a component, as an operator's own kustomization adds it."""
    manifests = os.path.relpath(MANIFESTS, tmp_path)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "metaflow",
        "resources": [f"{manifests}/overlays/socket"],
        "components": [f"{manifests}/components/{component[0]}"],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(tmp_path)


def test_a_component_adds_one_verb_and_no_more(
    access: None, cluster: Cluster, kubectl: Path, component: tuple[str, str], with_component: list[Json]
) -> None:
    """The component is taken by the server, names settings that the bot knows, and adds one verb on workflows."""
    assert apply(cluster, kubectl, with_component, "--dry-run=server").count("dry run") == len(with_component)
    known = Settings.names()
    assert {entry["name"] for entry in container(with_component)["env"]} <= known | {NAMESPACE}
    verb, role = component[1], f"hitl-bot-{component[0]}"
    added = [one for one in with_component if one["metadata"]["name"] == role]
    apply(cluster, kubectl, added)
    wait_until_allowed(cluster, BOT, verb, "workflows", "metaflow")
    try:
        assert allowed(cluster, BOT, "metaflow") == BOT_MAY | {("workflows", verb)}
    finally:
        api = kubernetes.client.RbacAuthorizationV1Api(cluster.api_client(ADMIN))
        api.delete_namespaced_role_binding(role, "metaflow")
        last_moment = time.monotonic() + 240
        while ("workflows", verb) in allowed(cluster, BOT, "metaflow", [("argoproj.io", "workflows")], [verb]):
            assert time.monotonic() < last_moment
            time.sleep(0.01)
