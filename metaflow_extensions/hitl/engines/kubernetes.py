"""Argo Workflows through the Kubernetes API: the bot needs ``get`` and ``patch`` on workflows and nothing more.

Of the Kubernetes client this takes the configuration, the credentials and the connections, and makes the two requests
itself: the client's own methods differ between its releases, send a JSON Patch as a merge patch unless told (37.0), and
repeat a request by their own rules.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, HitlError
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval

from . import nodes
from .argo import (
    CONNECT_TIMEOUT,
    NOBODY,
    PASSING,
    READ_TIMEOUT,
    ArgoEngine,
    Changed,
    MayNotCreate,
    Passing,
    seconds_to_wait,
)
from .gates import Waiting
from .nodes import Ending, Operation, Workflow

JSON_PATCH = "application/json-patch+json"
_CONTROLLER = re.compile(r"(?:^|/)workflow-controller:(?P<tag>[\w.-]+)")  # the image's name in Argo's own manifests
_UNAUTHENTICATED = 401
_FORBIDDEN, _MISSING, _CONFLICT, _UNPROCESSABLE = 403, 404, 409, 422
_OK, _CREATED = 200, 201
_WORDS_LENGTH = 300  # of what the API server says


class NoCluster(HitlError):
    """No Kubernetes cluster is configured here, or its configuration can't be used. The message says which."""


def load_api_client(kubeconfig: str | None = None, *, connections: int = 10) -> Any:
    """Return a ``kubernetes.client.ApiClient`` as the pod that this runs in, or else by a kubeconfig file.

    Parameters
    ----------
    kubeconfig : str, optional
        A path in place of both. Without, the pod's service account, then KUBECONFIG, then ``~/.kube/config``.
    connections : int
        How many are kept open: one for each thread that uses it.

    Raises
    ------
    NoCluster
        There is none of them, or it can't be used, or the package ``kubernetes`` is not installed.
    """
    if not _may_be_one(kubeconfig):
        raise NoCluster("No Kubernetes cluster is configured here: there is no kubeconfig file, and this is not a pod.")
    try:
        import yaml  # noqa: PLC0415 - the client's own way to read a kubeconfig

        kubernetes = _kubernetes()
    except ImportError as error:
        raise NoCluster("The Python package kubernetes is not installed.") from error
    configuration = kubernetes.client.Configuration()
    try:
        if kubeconfig is not None or not _is_pod(kubernetes, configuration):
            kubernetes.config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    except (kubernetes.config.ConfigException, OSError, TypeError, KeyError, ValueError, yaml.YAMLError) as error:
        # Half a file raises what the dictionaries that it is read into raise.
        raise NoCluster(f"No Kubernetes cluster is configured here: {error}") from error
    configuration.connection_pool_maxsize = connections
    configuration.retries = False  # who calls has a time limit, and the client none
    return kubernetes.client.ApiClient(configuration)


def _may_be_one(kubeconfig: str | None) -> bool:
    """Whether there is something to read: otherwise the client's 300 ms and 9 MB would be for nothing."""
    paths = (kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(Path(path).expanduser().is_file() for path in paths)


def _kubernetes() -> Any:
    import kubernetes  # noqa: PLC0415 - 300 ms, and not where there is no cluster

    return kubernetes


def _is_pod(kubernetes: Any, configuration: Any) -> bool:
    try:
        kubernetes.config.load_incluster_config(client_configuration=configuration)
    except kubernetes.config.ConfigException:
        return False
    return True


class KubernetesEngine(ArgoEngine):
    """Reads the Workflow object and patches one node of it. Threads may share it.

    Parameters
    ----------
    api : kubernetes.client.ApiClient
        As ``load_api_client`` returns it.
    namespace, clock, sleep
        As for ArgoEngine.
    """

    def __init__(self, api: Any, *, namespace: str, clock: Clock, sleep: Callable[[float], None]) -> None:
        super().__init__(namespace=namespace, clock=clock, sleep=sleep)
        self._api = api

    def __str__(self) -> str:
        return f"the Kubernetes API at {self._api.configuration.host}"

    def version(self) -> str:
        status, answer = self._request("GET", "/version")
        if status != _OK:
            raise EngineUnavailable(f"The Kubernetes API does not give its version: {_said(answer, status)}")
        return f"Kubernetes {answer.get('gitVersion') or 'of an unknown version'}"

    def argo_version(self) -> str | None:
        """Look at the controller's image. Who may not list deployments does not see it, and the bot need not."""
        status, answer = self._request("GET", f"/apis/apps/v1/namespaces/{self.namespace}/deployments")
        if status != _OK:
            return None
        containers = (
            container
            for deployment in answer.get("items") or ()
            for container in deployment["spec"]["template"]["spec"]["containers"]
        )
        found = (_CONTROLLER.search(str(container.get("image"))) for container in containers)
        return next((image["tag"] for image in found if image), None)

    def check_access(self) -> str:
        super().check_access()
        attributes = {"namespace": self.namespace, "group": "argoproj.io", "resource": "workflows", "verb": "patch"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        status, answer = self._request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        if not (answer.get("status") or {}).get("allowed"):
            raise _refusal("patch", self.namespace, _FORBIDDEN if status == _CREATED else status, answer)
        return f"they can be read and patched in namespace {self.namespace}"

    def may(self, method: str, group: str, kind: str) -> bool:
        """Try something on an object that there is not, as a dry run; whether it is allowed here.

        Parameters
        ----------
        method : str
            GET, PATCH or DELETE.
        group, kind : str
            As in paths of the API: ``apis/argoproj.io/v1alpha1`` and ``workflows``.
        """
        path = f"/{group}/namespaces/{self.namespace}/{kind}/{NOBODY}"
        if method == "GET":
            status, answer = self._request(method, path)
        else:
            status, answer = self._request(method, f"{path}?dryRun=All", [] if method == "PATCH" else None)
        if status == _UNAUTHENTICATED:
            raise EngineUnavailable(f"The Kubernetes API does not accept these credentials: {_said(answer, status)}")
        return status != _FORBIDDEN

    def _read(self, namespace: str, name: str) -> Workflow | None:
        status, answer = self._request("GET", _path(namespace, name))
        if status == _OK:
            return answer
        # Where Argo is not installed, 404 comes without the name of anything missing.
        if status == _MISSING and (answer.get("details") or {}).get("name") == name:
            return None
        raise _refusal("get", namespace, status, answer)

    def _end(self, workflow: Workflow, waiting: Waiting, ending: Ending, approval: Approval) -> None:  # noqa: ARG002 - the base's signature
        namespace, name = str(workflow["metadata"]["namespace"]), nodes.name_of(workflow)
        operations = nodes.patch(workflow, waiting.node_ids, ending, self._clock())
        status, answer = self._request("PATCH", _path(namespace, name), operations)
        if status in {_MISSING, _CONFLICT, _UNPROCESSABLE}:
            # 422: a `test` of the patch failed, so the gate does not wait as it did. 409: many writers at once.
            raise Changed(f"Others kept changing workflow {name}: {_said(answer, status)}")
        if status != _OK:
            raise _refusal("patch", namespace, status, answer)

    def _create(self, manifest: dict[str, Any]) -> bool:
        namespace = str(manifest["metadata"]["namespace"])
        status, answer = self._request("POST", _path(namespace), manifest)
        if status == _CONFLICT:
            return False
        if status == _FORBIDDEN:
            raise MayNotCreate(namespace, f"Kubernetes says: {_said(answer, status)}")
        if status != _CREATED:
            raise _refusal("create", namespace, status, answer)
        return True

    def _request(
        self, method: str, path: str, content: list[Operation] | dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send JSON, a list as a JSON Patch; return the HTTP status and the answer's JSON, empty if it is none."""
        import urllib3  # noqa: PLC0415 - as the Kubernetes client does

        host, headers = self._api.configuration.host, self._headers()
        if content is not None:
            headers["Content-Type"] = JSON_PATCH if isinstance(content, list) else "application/json"
        try:
            answer = self._api.rest_client.pool_manager.request(
                method,
                host + path,
                body=None if content is None else json.dumps(content),
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Passing(f"The Kubernetes API at {host} does not answer: {error}") from error
        said = _content(answer.data)
        if answer.status in PASSING:
            raise Passing(
                f"The Kubernetes API is temporarily unavailable: {_said(said, answer.status)}",
                wait=seconds_to_wait(answer.headers),
            )
        return answer.status, said

    def _headers(self) -> dict[str, str]:
        headers = {**self._api.default_headers, "Accept": "application/json"}
        try:
            # Asked for at every request: the client renews a token that expires.
            settings = self._api.configuration.auth_settings().values()
        except (_kubernetes().config.ConfigException, OSError) as error:
            raise Passing(f"There is no token for the Kubernetes API: {error}") from error
        return headers | {setting["key"]: setting["value"] for setting in settings if setting["value"]}


def _path(namespace: str, name: str = "") -> str:
    # Such names need no quoting.
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/{name}".removesuffix("/")


def _content(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _said(answer: dict[str, Any], status: int) -> str:
    return f"{str(answer.get('message') or '')[:_WORDS_LENGTH]} (HTTP {status})".strip()


def _refusal(verb: str, namespace: str, status: int, answer: dict[str, Any]) -> EngineUnavailable:
    """Say what an operator has to fix; the sweeper tries again until it is."""
    said = _said(answer, status)
    if status == _FORBIDDEN:
        return EngineUnavailable(
            f"The bot may not {verb} workflows in namespace {namespace}: give it the role with get, list, watch and "
            f"patch on workflows.argoproj.io there. Kubernetes says: {said}"
        )
    if status == _MISSING:
        return EngineUnavailable(f"Argo Workflows is not installed in this cluster: it has no workflows. {said}")
    return EngineUnavailable(f"The Kubernetes API refuses to {verb} a workflow in namespace {namespace}: {said}")
