"""A double of argo-server, which is not this project's, on the Workflow objects of the real API server.

It does what argo-server does for the requests that the engine makes, as read in argo-workflows 4.1.2
(``server/workflow/workflow_server.go``; ``SetWorkflow``, ``updateSuspendedNode`` and ``SelectorMatchesNode`` in
``workflow/util/util.go``) and seen on 3.7.3 and 4.1.2: it speaks to the API server with the caller's token, sets every
waiting suspend node that the selector matches, all of them without a selector, and updates the object as a whole. It
keeps the nodes of a workflow that is offloaded in `OFFLOADED`, as argo-server does in its database.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import kubernetes
from kubernetes.client.exceptions import ApiException

from metaflow_extensions.hitl.engines import nodes
from tests.cluster import recorded

if TYPE_CHECKING:
    from tests.cluster.control_plane import Cluster

RESOURCE = ("argoproj.io", "v1alpha1")
OFFLOADED: dict[str, dict[str, Any]] = {}  # nodes by the version that the workflow names
ATTEMPTS = 5
MAX_WORKFLOW_SIZE = 2**20  # bytes of JSON; ``workflow/packer/packer.go``


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def argo_server(cluster: Cluster, *, scheme: str = "http") -> Iterator[str]:
    """Run it on loopback, and yield its address. With ``https`` it shows the API server's own certificate."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.cluster = cluster
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.certificate, cluster.certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    cluster: Cluster


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/api/v1/version":
            self.answer(200, {"version": "v4.1.2"})
            return
        self.do_with_workflow(lambda workflow: workflow)

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_with_workflow(lambda workflow: self.set(workflow, body))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        namespace = self.path.rsplit("/", 1)[1]
        try:
            with self.client() as client:
                objects = kubernetes.client.CustomObjectsApi(client)
                self.answer(
                    200,
                    objects.create_namespaced_custom_object(*RESOURCE, namespace, "workflows", body["workflow"]),
                )
        except ApiException as error:
            # ``ToStatusError`` in ``server/utils/errors.go`` keeps the API server's status: 409 and 403 come through.
            self.answer(error.status, {"code": error.status, "message": json.loads(error.body)["message"]})
        except _Refusal as refusal:
            self.answer(refusal.status, {"code": refusal.status, "message": str(refusal)})

    def do_with_workflow(self, act: Any) -> None:
        *_, namespace, name = self.path.removesuffix("/set").split("/")
        try:
            with self.client() as client:
                self.objects, self.place = (
                    kubernetes.client.CustomObjectsApi(client),
                    (*RESOURCE, namespace, "workflows"),
                )
                self.answer(200, act(self.hydrated(name)))
        except ApiException as error:
            message = json.loads(error.body)["message"]
            self.answer(error.status, {"code": error.status, "message": message})
        except _Refusal as refusal:
            self.answer(refusal.status, {"code": refusal.status, "message": str(refusal)})

    def client(self) -> Any:
        """Speak as the caller: --auth-mode=client."""
        token = self.headers.get("Authorization")
        if not token:
            raise _Refusal(401, "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/")
        configuration = kubernetes.client.Configuration()
        configuration.host = self.server.cluster.url
        configuration.ssl_ca_cert = str(self.server.cluster.certificate)
        configuration.api_key = {"authorization": token}
        return kubernetes.client.ApiClient(configuration)

    def hydrated(self, name: str) -> dict[str, Any]:
        workflow = self.objects.get_namespaced_custom_object(*self.place, name)
        status = workflow.setdefault("status", {"nodes": {}})  # the controller writes it a moment after the creation
        offloaded = OFFLOADED.get(status.get("offloadNodeStatusVersion", ""))
        status["nodes"] = recorded.nodes(workflow) if offloaded is None else offloaded
        for key in ("compressedNodes", "offloadNodeStatusVersion"):
            status.pop(key, None)
        return workflow

    def set(self, workflow: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        name = workflow["metadata"]["name"]
        for _ in range(ATTEMPTS):
            chosen = [node for node in workflow["status"]["nodes"].values() if matches(body["nodeFieldSelector"], node)]
            if not chosen:
                said = "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: "
                raise _Refusal(500, said + body["nodeFieldSelector"])
            finished_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            for node in chosen:
                node.update(phase=body["phase"], message=body["message"], finishedAt=finished_at)
            try:
                return self.objects.replace_namespaced_custom_object(*self.place, name, dehydrated(workflow))
            except ApiException as error:
                if error.status != 409:
                    raise
            workflow = self.hydrated(name)
        raise _Refusal(500, "timed out waiting for the condition")

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def dehydrated(workflow: dict[str, Any]) -> dict[str, Any]:
    """Pack the nodes if the workflow is too large otherwise."""
    if len(json.dumps(workflow)) <= MAX_WORKFLOW_SIZE:
        return workflow
    status = {key: value for key, value in workflow["status"].items() if key != "nodes"}
    return {**workflow, "status": {**status, "compressedNodes": nodes.pack(workflow["status"]["nodes"])}}


def matches(selector: str, node: dict[str, Any]) -> bool:
    """Whether a node waits and a selector chooses it; the empty one chooses all."""
    if node["type"] != "Suspend" or node["phase"] != "Running":
        return False
    parameters = node.get("inputs", {}).get("parameters", [])
    known = {f"inputs.parameters.{one['name']}.value": one.get("value") for one in parameters}
    wanted = [part.split("=", 1) for part in selector.split(",") if part]
    return all(known.get(key, node.get(key)) == value for key, value in wanted)
