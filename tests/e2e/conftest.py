"""A cluster with Argo that somebody names: HITL_E2E_KUBECONFIG. Without it nothing here runs, and pytest says so.

HITL_E2E_KUBECONFIG
    A kubeconfig file whose user may deploy and run workflows, read pods and delete both.
HITL_E2E_NAMESPACE
    Where Argo runs workflows. Default: argo.
HITL_E2E_ARGO_VERSION
    Such as 4.1: what Metaflow itself does not run there is left out. Default: 3.
HITL_E2E_ARGO_SERVER_URL, HITL_E2E_ARGO_SERVER_TOKEN, HITL_E2E_ARGO_SERVER_CA_FILE
    Argo's own server for that cluster, with a bearer token of somebody who may get and update workflows, and a PEM file
    to check its certificate against. Without the first, what is done through it is skipped.
HITL_E2E_S3_ROOT, with boto3's own AWS_* variables and METAFLOW_S3_ENDPOINT_URL
    ``s3://bucket/prefix`` that pods reach. Default on a cluster without nodes, whose pods run as processes of this
    machine: an S3 server of the tests.

A cluster without nodes is the control plane of tests/cluster with Argo's controller beside it. The controller builds
from its Go module (``github.com/argoproj/argo-workflows/v3/cmd/workflow-controller``, 3.7.3, twenty minutes on two
cores, which is why CI doesn't run these tests), and needs the definitions in ``manifests/base/crds/minimal`` there, a
namespace with a service account ``default`` and an empty config map ``workflow-controller-configmap``, and
``LEADER_ELECTION_DISABLE=true workflow-controller --namespaced --namespace argo --executor-image any``, with
``DEFAULT_REQUEUE_TIME=2s`` a minute faster for each test. Argo's server is ``cmd/argo`` of the same module, which
builds without its pages once ``ui/dist/app`` holds any file, and finds the cluster by ``KUBECONFIG``. Each test starts
Python a dozen times a pod: one to three minutes on a machine that does nothing else.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import kubernetes
import pytest
import requests

from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.engines.nodes import PARAMETER
from metaflow_extensions.hitl.stores import open_store
from tests.e2e.pods import NODE, WORKFLOW, PodRunner, can_run_pods
from tests.fixtures.flows import Flow, Process
from tests.fixtures.s3 import ACCESS_KEY, REGION, S3, SECRET_KEY, make_client

KUBECONFIG = "HITL_E2E_KUBECONFIG"
CHANNEL = "#ml-approvals"
PATIENCE = 300.0  # seconds for one event: a pod starts Python many times, Argo looks at a workflow every 10 s
QUIET = 5.0  # seconds
ARGO = ("argoproj.io", "v1alpha1")
ENDED = {"Succeeded", "Failed", "Error"}
SERVER_SETTINGS = ("URL", "TOKEN", "CA_FILE")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if "/e2e/" in item.path.as_posix()]
    for item in ours:
        item.add_marker(pytest.mark.timeout(1_200))
        item.add_marker(pytest.mark.xdist_group("e2e"))
    if ours and not os.environ.get(KUBECONFIG):
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get(KUBECONFIG):
        terminalreporter.write_line(f"tests/e2e: not run. Set {KUBECONFIG} to a cluster with Argo Workflows.")


@pytest.fixture(scope="session")
def api() -> Any:
    """Speak to the cluster."""
    return kubernetes.config.new_client_from_config(os.environ[KUBECONFIG])


@pytest.fixture(scope="session")
def namespace() -> str:
    return os.environ.get("HITL_E2E_NAMESPACE", "argo")


@pytest.fixture(scope="session")
def nodes(api: Any) -> list[Any]:
    """The machines that run pods; none where this machine has to."""
    return kubernetes.client.CoreV1Api(api).list_node(limit=1).items


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest, nodes: list[Any]) -> dict[str, str]:
    """The variables by which flows, pods and the bot find S3."""
    root = os.environ.get("HITL_E2E_S3_ROOT")
    if root is not None:
        named = ("AWS_", "METAFLOW_S3_ENDPOINT_URL")
        given = {name: value for name, value in os.environ.items() if name.startswith(named)}
        return {**given, "METAFLOW_DEFAULT_DATASTORE": "s3", "METAFLOW_DATASTORE_SYSROOT_S3": f"{root}/flows"}
    if nodes:
        pytest.fail("pods of a real cluster reach no S3 server of this machine: set HITL_E2E_S3_ROOT", pytrace=False)
    endpoint, _ = request.getfixturevalue("versitygw_server")
    bucket = f"e2e-{uuid4().hex[:12]}"
    make_client(endpoint).create_bucket(Bucket=bucket)
    return S3(endpoint=endpoint, bucket=bucket).environment()


@pytest.fixture(scope="session")
def pods(
    api: Any, namespace: str, nodes: list[Any], pod_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PodRunner | None]:
    """Run the pods of a cluster that has no nodes."""
    if nodes:
        yield None
        return
    if not can_run_pods():
        pytest.fail("pods run as processes under bubblewrap here, and bwrap is missing", pytrace=False)
    image = {
        "PATH": f"{pod_python}:/usr/bin:/bin",
        "HOME": "/tmp/work",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1",  # they are in the image
    }
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    runner = PodRunner(api, namespace, tmp_path_factory.mktemp("pods"), {**image, **given})
    runner.start()
    yield runner
    runner.stop()
    assert runner.problems == []


@dataclass
class Run:
    """One workflow, as seen from outside."""

    name: str
    namespace: str
    api: Any
    runner: PodRunner | None
    _pause: Event = field(default_factory=Event)

    @property
    def workflow(self) -> dict[str, Any]:
        objects = kubernetes.client.CustomObjectsApi(self.api)
        return objects.get_namespaced_custom_object(*ARGO, self.namespace, "workflows", self.name)

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return list((self.workflow.get("status") or {}).get("nodes", {}).values())

    def node(self, name: str, index: int = 0) -> dict[str, Any]:
        """Return a node by the name that people see."""
        return [node for node in self.nodes if node["displayName"] == name][index]

    def template(self, name: str) -> dict[str, Any]:
        """Return a template as the workflow has it."""
        templates = self.workflow["status"]["storedWorkflowTemplateSpec"]["templates"]
        return next(template for template in templates if template["name"] == name)

    def suspended(self) -> list[dict[str, Any]]:
        """Return the gates that wait."""
        return [node for node in self.nodes if node["type"] == "Suspend" and node.get("phase") == "Running"]

    def pods(self) -> list[Any]:
        core = kubernetes.client.CoreV1Api(self.api)
        return core.list_namespaced_pod(self.namespace, label_selector=f"{WORKFLOW}={self.name}").items

    def unfinished_pods(self) -> list[str]:
        return [pod.metadata.name for pod in self.pods() if pod.status.phase not in ENDED]

    def log(self, node: dict[str, Any]) -> str:
        """Return what the pod of a node printed."""
        (pod,) = (pod.metadata for pod in self.pods() if pod.metadata.annotations[NODE] == node["id"])
        if self.runner is not None:
            return self.runner.log(pod.uid)
        return kubernetes.client.CoreV1Api(self.api).read_namespaced_pod_log(pod.name, self.namespace, container="main")

    def logs(self) -> str:
        pods = [node for node in self.nodes if node["type"] == "Pod" and node["phase"] in ENDED]
        return "\n".join(self.log(node) for node in pods)

    def until(self, what: Callable[[Run], Any], patience: float = PATIENCE) -> Any:
        """Return the first thing that is true of the workflow."""
        end = time.monotonic() + patience
        while not (found := what(self)):
            assert time.monotonic() < end, self.story()
            self._pause.wait(0.3)  # others change it: the controller, the pods, the bot
        return found

    def wait_until_suspended(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the gates that wait as soon as there are so many, and nothing else happens."""

        def idle(run: Run) -> list[dict[str, Any]]:
            gates = run.suspended()
            assert (run.workflow.get("status") or {}).get("phase") not in ENDED, run.story()
            return gates if len(gates) == count and not run.unfinished_pods() else []

        return self.until(idle)

    def end(self) -> str:
        """Wait for the end; return how it came."""
        return self.until(lambda run: phase if (phase := run.workflow["status"].get("phase")) in ENDED else None)

    def rest(self) -> None:
        """Wait until the controller has let the workflow alone for some seconds."""
        version, since = "", time.monotonic()
        while time.monotonic() - since < QUIET:
            newest = self.workflow["metadata"]["resourceVersion"]
            version, since = newest, since if newest == version else time.monotonic()
            self._pause.wait(0.3)

    def end_by_hand(self, node: dict[str, Any], phase: str) -> None:
        """End a suspend node as somebody with rights on workflows can, past any record."""
        self._change(f"/status/nodes/{node['id']}", phase=phase, finishedAt=node["startedAt"])

    def make_older(self, node: dict[str, Any], seconds: float) -> None:
        """Let Argo believe that a node began to wait some time ago."""
        began = datetime.fromisoformat(node["startedAt"].replace("Z", "+00:00")) - timedelta(seconds=seconds)
        self._change(f"/status/nodes/{node['id']}", startedAt=began.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def shut_down(self, how: str) -> None:
        """Do what ``argo stop`` (Stop) and ``argo terminate`` (Terminate) do."""
        self._change("/spec", shutdown=how)

    def delete(self) -> None:
        objects = kubernetes.client.CustomObjectsApi(self.api)
        objects.delete_namespaced_custom_object(*ARGO, self.namespace, "workflows", self.name)

    def _change(self, path: str, **values: str) -> None:
        body = [{"op": "add", "path": f"{path}/{key}", "value": value} for key, value in values.items()]
        kubernetes.client.CustomObjectsApi(self.api).patch_namespaced_custom_object(
            *ARGO, self.namespace, "workflows", self.name, body, _content_type="application/json-patch+json"
        )

    def story(self) -> str:
        """Tell all that happened, for whoever reads of a failure."""
        lines = [
            f"{one['displayName']} {one['type']} {one.get('phase')} {one.get('message', '')}" for one in self.nodes
        ]
        return "\n".join([str(self.workflow["status"].get("phase")), *lines, self.logs()])


@dataclass
class Deployed:
    """A flow on Argo, and all around it."""

    flow: Flow
    flow_name: str
    sandbox: Sandbox
    namespace: str
    api: Any
    runner: PodRunner | None
    runs: list[Run] = field(default_factory=list)

    @property
    def people(self) -> Driver:
        return Driver(self.sandbox.url)

    @property
    def ledger(self) -> Ledger:
        environment = self.flow.environment
        client = make_client(environment["METAFLOW_S3_ENDPOINT_URL"]) if self.runner else None
        return Ledger(open_store(environment["METAFLOW_HITL_ROOT"], s3_client=lambda: client))

    def trigger(self, *options: str) -> Run:
        started = self.flow.call("--no-pylint", "argo-workflows", "trigger", *options)
        assert started.process.returncode == 0, started.output
        name = re.search(r"run-id argo-([a-z0-9.-]+)\)", started.output.replace("\n", ""))
        assert name, started.output
        self.runs.append(Run(name[1], self.namespace, self.api, self.runner))
        return self.runs[-1]

    def all_is_settled(self, _: Run) -> bool:
        """Whether nothing is left to do about any question; a message shows an answer a moment before."""
        return not list(self.ledger.open_ids())

    def approval(self, gate: dict[str, Any]) -> Approval:
        """Return the record of a gate that waits."""
        approval_id = next(one["value"] for one in gate["inputs"]["parameters"] if one["name"] == PARAMETER)
        return self.ledger.read(approval_id).approval


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manifest=app_manifest()) as running:
        yield running


@pytest.fixture
def deploy(
    flow: Callable[..., Flow],
    sandbox: Sandbox,
    storage: dict[str, str],
    api: Any,
    namespace: str,
    pods: PodRunner | None,
) -> Iterator[Callable[..., Deployed]]:
    """Create a flow's WorkflowTemplate; it and its workflows are removed after the test."""
    made: list[Deployed] = []
    records = f"{storage['METAFLOW_DATASTORE_SYSROOT_S3']}/records-{uuid4().hex[:8]}"

    def create(body: str, *, above: str = "", **settings: str) -> Deployed:
        written = flow(
            body,
            above=above,
            **{name: value for name, value in storage.items() if name != "METAFLOW_HITL_ROOT"},
            KUBECONFIG=os.environ[KUBECONFIG],
            METAFLOW_KUBERNETES_NAMESPACE=namespace,
            METAFLOW_KUBERNETES_CONTAINER_IMAGE=os.environ.get("HITL_E2E_IMAGE", "python:3.11"),
            METAFLOW_HITL_ROOT=records,
            METAFLOW_HITL_SLACK_BOT_TOKEN=sandbox.bot_token,
            METAFLOW_HITL_SLACK_APP_TOKEN=sandbox.app_token,
            METAFLOW_HITL_SLACK_API_URL=sandbox.api_url,
            METAFLOW_HITL_SLACK_CHANNEL=CHANNEL,
            METAFLOW_HITL_ARGO_NAMESPACE=namespace,
            METAFLOW_HITL_PORT="0",
            **settings,
        )
        text, name = written.file.read_text(), f"E2E{uuid4().hex[:8]}"
        written.file.write_text(text.replace(written.name, name))
        created = written.call("--no-pylint", "argo-workflows", "create")
        assert created.process.returncode == 0, created.output
        made.append(Deployed(written, name, sandbox, namespace, api, pods))
        return made[-1]

    yield create
    for one in made:
        one.flow.call("argo-workflows", "delete")
        for run in one.runs:
            with suppress(kubernetes.client.exceptions.ApiException):  # a test may have deleted it
                run.delete()


@dataclass(frozen=True)
class ArgoServer:
    """Argo's own server, for what people do with its commands and pages."""

    settings: dict[str, str]  # by which the flow's commands find it

    def put(self, run: Run, what: str, **body: object) -> dict[str, Any]:
        """Do to a workflow what ``argo <what>`` does."""
        if what == "retry":
            # Argo 4 may lose a workflow that starts anew while it still deals with its end, as no person is that fast
            # (4.0.5, controller.go: processNextItem takes from the throttler what the informer has just put there).
            run.rest()
        url, token = (self.settings[f"METAFLOW_HITL_ARGO_SERVER_{part}"] for part in ("URL", "TOKEN"))
        answer = requests.put(
            f"{url}/api/v1/workflows/{run.namespace}/{run.name}/{what}",
            json={"namespace": run.namespace, "name": run.name, **body},
            headers={"Authorization": f"Bearer {token}"},
            verify=self.settings.get("METAFLOW_HITL_ARGO_SERVER_CA_FILE", True),
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def argo_server() -> ArgoServer:
    given = {name: os.environ.get(f"HITL_E2E_{name}") for name in (f"ARGO_SERVER_{part}" for part in SERVER_SETTINGS)}
    if not given["ARGO_SERVER_URL"]:
        pytest.skip("set HITL_E2E_ARGO_SERVER_URL to Argo's own server")
    return ArgoServer({f"METAFLOW_HITL_{name}": value for name, value in given.items() if value})


@pytest.fixture
def bot() -> Iterator[Callable[..., Process]]:
    """Start `hitl-bot serve` for a deployed flow, with settings that are its own; ended after the test."""
    started: list[Process] = []

    def serve(deployed: Deployed, **settings: str) -> Process:
        environment = {**deployed.flow.environment, **settings}
        process = Process([sys.executable, "-m", "hitl_bot", "serve"], deployed.flow.folder, environment)
        started.append(process)
        process.wait_for_line("connected")
        return process

    yield serve
    for process in started:
        process.process.send_signal(signal.SIGTERM)
        process.wait(15)
        process.stop()
        print(process.output)  # noqa: T201 - shown with a failure
