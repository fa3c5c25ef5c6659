"""Argo Workflows through argo-server: for workflows whose nodes are in its database, or where only it can be reached.

The requests and what they answer: argo-workflows 4.1.2, ``server/workflow/workflow_server.go`` and ``SetWorkflow`` in
``workflow/util/util.go``; tried on 3.7.3 and 4.1.2. The token's account needs ``get`` and ``update`` on workflows.
"""

from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, checked_id

from . import nodes
from .argo import CONNECT_TIMEOUT, PASSING, READ_TIMEOUT, ArgoEngine, Changed, MayNotCreate, Passing, seconds_to_wait
from .gates import Waiting
from .nodes import Ending, Workflow

_NO_MATCH = "no suspend nodes matching"  # in the message of a 500
_OK, _UNAUTHENTICATED, _FORBIDDEN, _MISSING, _CONFLICT = 200, 401, 403, 404, 409
_WORDS_LENGTH = 300  # of what the server says


class ArgoServerEngine(ArgoEngine):
    """Asks Argo's own server to set one suspend node. Threads may share it.

    Parameters
    ----------
    url : str
        Of the server, with its base path if it has one.
    token : str, optional
        As ``argo auth token`` prints it, with or without ``Bearer`` before it. None for a server that asks for none.
    ca_file : str, optional
        A PEM file to check the server's certificate against, in place of the ones that ``requests`` trusts.
    connections : int
        How many are kept open: one for each thread that uses it.
    namespace, clock, sleep
        As for ArgoEngine.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        ca_file: str | None = None,
        connections: int = 10,
        namespace: str,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(namespace=namespace, clock=clock, sleep=sleep)
        self.url = url.rstrip("/")
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=connections))
        self._session.auth = _Bearer(token)
        self._verify: bool | str = ca_file or True

    def __str__(self) -> str:
        return f"argo-server at {self.url}"

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    def version(self) -> str:
        return f"Argo Workflows {self._version()}"

    def argo_version(self) -> str | None:
        return self._version()

    def _version(self) -> str:
        """Ask for the version, which the server tells to whoever it knows."""
        status, answer = self._request("GET", "/api/v1/version")
        if status != _OK:
            raise self._refusal("give its version", status, answer)
        return str(answer.get("version") or "unknown")

    def check_access(self) -> str:
        # The right to update can't be asked for through argo-server, which looks for the workflow and the gate first.
        return f"{super().check_access()}; whether argo-server may update them is known only after the first answer"

    def _read(self, namespace: str, name: str) -> Workflow | None:
        status, answer = self._request("GET", self._path(namespace, name))
        if status == _OK:
            return answer
        if status == _MISSING:
            return None
        raise self._refusal("get", status, answer)

    def _end(self, workflow: Workflow, waiting: Waiting, ending: Ending, approval: Approval) -> None:  # noqa: ARG002 - the base's signature
        namespace, name = str(workflow["metadata"]["namespace"]), nodes.name_of(workflow)
        # Without a selector every gate of the workflow would be set. An id of an approval is never empty, nor does it
        # hold a character that means something in a selector.
        selector = f"inputs.parameters.{nodes.PARAMETER}.value={checked_id(approval.id)}"
        body = {
            "namespace": namespace,
            "name": name,
            "nodeFieldSelector": selector,
            "phase": ending.phase.value,
            "message": ending.message,
        }
        status, answer = self._request("PUT", f"{self._path(namespace, name)}/set", body)
        if status == _MISSING:
            raise Changed(f"Workflow {name} was deleted in the meantime.")
        if status != _OK:
            raise self._refusal("update", status, answer)

    def _create(self, manifest: dict[str, Any]) -> bool:
        namespace = str(manifest["metadata"]["namespace"])
        status, answer = self._request("POST", self._path(namespace), {"workflow": manifest})
        if status == _CONFLICT:
            return False
        if status == _FORBIDDEN:
            raise MayNotCreate(namespace, f"argo-server says: {_said(answer)}")
        if status != _OK:
            raise self._refusal("create", status, answer)
        return True

    def _path(self, namespace: str, name: str = "") -> str:
        # Names that Kubernetes would give need no quoting.
        return f"/api/v1/workflows/{namespace}/{name}".removesuffix("/")

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the answer as JSON."""
        try:
            answer = self._session.request(
                method,
                f"{self.url}{path}",
                json=body,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                verify=self._verify,
                allow_redirects=False,  # to a page to sign in at, or away from https
            )
            content = answer.json()
        except requests.exceptions.JSONDecodeError:
            content = {}
        except OSError as error:  # which every error of requests is, and one that names no CA file that it can read
            if _is_about_trust(error):
                raise EngineUnavailable(
                    f"{self} has a certificate that can't be verified. Set METAFLOW_HITL_ARGO_SERVER_CA_FILE to the "
                    f"PEM file of the authority that signed it. {error}"
                ) from error
            raise Passing(f"{self} does not answer: {error}") from error
        if not isinstance(content, dict):
            content = {}
        status = answer.status_code
        if _NO_MATCH in _said(content):
            raise Changed(f"argo-server found no waiting gate: {_said(content)}")
        if status in PASSING:
            raise Passing(
                f"{self} is temporarily unavailable: {_said(content)} (HTTP {status})",
                wait=seconds_to_wait(answer.headers),
            )
        if status == _OK and not content:
            raise EngineUnavailable(
                f"The server at {self.url} is not argo-server. Correct METAFLOW_HITL_ARGO_SERVER_URL."
            )
        return status, content

    def _refusal(self, verb: str, status: int, answer: dict[str, Any]) -> EngineUnavailable:
        said = f"{_said(answer)} (HTTP {status})".strip()
        if status == _UNAUTHENTICATED:
            return EngineUnavailable(f"{self} does not accept the token: set METAFLOW_HITL_ARGO_SERVER_TOKEN. {said}")
        if status == _FORBIDDEN:
            return EngineUnavailable(
                f"The account of METAFLOW_HITL_ARGO_SERVER_TOKEN may not {verb} workflows: it needs get and update on "
                f"workflows.argoproj.io. {said}"
            )
        return EngineUnavailable(f"{self} refuses to {verb}: {said}")


class _Bearer(AuthBase):
    """Sends the token, and keeps ``requests`` from sending what ``~/.netrc`` says instead."""

    def __init__(self, token: str | None) -> None:
        self._token = (token or "").removeprefix("Bearer ").strip()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _is_about_trust(error: OSError) -> bool:
    """Whether trying again can't help: nobody vouches for the certificate, or the CA file can't be read."""
    if isinstance(error, requests.exceptions.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in str(error)
    return not isinstance(error, requests.RequestException)


def _said(answer: dict[str, Any]) -> str:
    return str(answer.get("message") or "")[:_WORDS_LENGTH]
