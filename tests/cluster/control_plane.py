"""A real etcd and a real kube-apiserver with RBAC on, for tests: on loopback, in seconds, gone without a trace.

There are no controllers, no scheduler and no nodes: what a test creates stays as it is until the test changes it.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.tools.build import binary

ADMIN = "admin"
CRDS = Path(__file__).parent / "crds"
START_SECONDS = 240  # it takes about three; a machine that also compiles needs more
STOP_SECONDS = 10
TOKEN_SECONDS = 24 * 3600


class DidNotStartError(Exception):
    """A server ended or did not become ready; the message holds the end of its log."""


class PortTakenError(DidNotStartError):
    """Somebody else took the port between our looking for it and the server's listening on it."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running control plane.

    A user is ``"admin"`` (group system:masters) or a service account by Kubernetes' own name for it,
    ``system:serviceaccount:NAMESPACE:NAME``, as `service_account` gives it.
    """

    url: str
    folder: Path
    _tokens: dict[str, str]
    _open: ExitStack
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def certificate(self) -> Path:
        """The PEM file against which the server's certificate is checked."""
        return self.folder / "certificates" / "apiserver.crt"

    def namespace(self) -> str:
        """Create a namespace that no other test has seen. It has no service account, not even `default`."""
        body = {"metadata": {"generateName": "test-"}}
        created = kubernetes.client.CoreV1Api(self.api_client(ADMIN)).create_namespace(body)
        return str(created.metadata.name)

    def service_account(self, namespace: str, name: str) -> str:
        """Create a service account, which may do nothing until a role is bound to it; the answer is its user name."""
        core = kubernetes.client.CoreV1Api(self.api_client(ADMIN))
        core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
        return f"system:serviceaccount:{namespace}:{name}"

    def allow(self, user: str, resource: str, verbs: list[str]) -> None:
        """Bind a role to a service account in its own namespace: ``verbs`` on one of Argo's resources.

        Returns when the server has taken notice: a role binding works some milliseconds after its creation.
        """
        _, _, namespace, name = user.split(":")
        api = kubernetes.client.RbacAuthorizationV1Api(self.api_client(ADMIN))
        rule = {"apiGroups": ["argoproj.io"], "resources": [resource], "verbs": verbs}
        metadata = {"name": f"{name}-{resource}-{verbs[0]}"}
        api.create_namespaced_role(namespace, {"metadata": metadata, "rules": [rule]})
        binding = {
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        api.create_namespaced_role_binding(namespace, binding)
        last_moment = time.monotonic() + START_SECONDS
        while not self.may(user, verbs[0], resource, namespace):
            if time.monotonic() > last_moment:
                raise TimeoutError(f"{user} may still not {verbs[0]} {resource}")
            time.sleep(0.01)  # the server tells nobody when its authorizer has seen a binding

    def may(self, user: str, verb: str, resource: str, namespace: str) -> bool:
        """Ask the server whether it would let a user do this to one of Argo's resources."""
        api = kubernetes.client.AuthorizationV1Api(self.api_client(user))
        asked = {"group": "argoproj.io", "verb": verb, "resource": resource, "namespace": namespace}
        review = api.create_self_subject_access_review({"spec": {"resourceAttributes": asked}})
        return bool(review.status.allowed)

    def token(self, user: str) -> str:
        """The bearer token of a user, the same at every call. A service account's is asked for and signed for real."""
        if user not in self._tokens:
            _, _, namespace, name = user.split(":")
            core = kubernetes.client.CoreV1Api(self.api_client(ADMIN))
            request = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
            self._tokens[user] = core.create_namespaced_service_account_token(name, namespace, request).status.token
        return self._tokens[user]

    def kubeconfig(self, user: str, *, namespace: str = "default") -> Path:
        """Write a kubeconfig file for a user, with the namespace that commands use when none is named."""
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}-{namespace}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.certificate)}}
            ],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": namespace}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def api_client(self, user: str) -> Any:
        """A ``kubernetes.client.ApiClient`` that speaks as a user; closed when the cluster stops."""
        if user not in self._clients:
            configuration = kubernetes.client.Configuration()
            configuration.host = self.url
            configuration.ssl_ca_cert = str(self.certificate)
            configuration.api_key = {"authorization": f"Bearer {self.token(user)}"}
            self._clients[user] = self._open.enter_context(kubernetes.client.ApiClient(configuration))
        return self._clients[user]


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start both servers and create the resource definitions of `CRDS`; end the servers whatever happens meanwhile.

    Raises
    ------
    NotBuiltError
        The binaries are missing.
    DidNotStartError
        A server did not become ready within `START_SECONDS`.
    """
    with ExitStack() as stack:
        # Not pytest's own folder: the path of a Unix socket may have about a hundred characters only.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hitl-cluster-")))
        etcd = _start_etcd(stack, folder)
        tokens = {ADMIN: secrets.token_urlsafe(32)}
        (folder / "tokens.csv").write_text(f'{tokens[ADMIN]},{ADMIN},{ADMIN},"system:masters"\n')
        _write_signing_key(folder / "service-accounts.pem")
        url = _start_api_server(stack, folder, etcd, tokens[ADMIN])
        cluster = Cluster(url=url, folder=folder, _tokens=tokens, _open=stack.enter_context(ExitStack()))
        _create_definitions(cluster)
        yield cluster


def _start_etcd(stack: ExitStack, folder: Path) -> str:
    clients = folder / "etcd.sock"
    flags = [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=unix://{clients}",
        f"--listen-peer-urls=unix://{folder / 'peer.sock'}",
        # Addresses must be given and may not be sockets; with no second member, nobody ever calls them.
        "--advertise-client-urls=http://127.0.0.1:1",
        "--initial-advertise-peer-urls=http://127.0.0.1:1",
        "--initial-cluster=default=http://127.0.0.1:1",
        "--unsafe-no-fsync",  # nothing in it outlives the test
        "--log-level=warn",
    ]
    server = _Server("etcd", [str(binary("etcd", "etcd")), *flags], folder / "etcd.log")
    stack.enter_context(server.running())
    server.wait_until(lambda: _accepts_connections(clients))
    return f"unix://{clients}"


def _start_api_server(stack: ExitStack, folder: Path, etcd: str, token: str) -> str:
    attempts = 5
    for attempt in range(1, attempts + 1):
        port = _free_port()
        url = f"https://127.0.0.1:{port}"
        flags = [
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={folder / 'certificates'}",  # it makes its own certificate there
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'service-accounts.pem'}",
            f"--service-account-signing-key-file={folder / 'service-accounts.pem'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",  # nobody looks for the server under the kubernetes service
        ]
        server = _Server(
            "kube-apiserver", [str(binary("kubernetes", "kube-apiserver")), *flags], folder / "apiserver.log"
        )
        with ExitStack() as this_attempt:
            this_attempt.enter_context(server.running())
            try:
                server.wait_until(lambda url=url: _is_ready(url, folder / "certificates" / "apiserver.crt", token))
            except PortTakenError:
                if attempt == attempts:
                    raise
                continue
            stack.push(this_attempt.pop_all())
            return url
    raise AssertionError  # the last attempt has returned or raised


@dataclass(frozen=True)
class _Server:
    name: str
    command: list[str]
    log: Path
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        # With setpriv the kernel ends the server even when this process is killed and can't do it itself.
        setpriv = shutil.which("setpriv")
        command = [setpriv, "--pdeathsig", "KILL", "--", *self.command] if setpriv else self.command
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._started.append(process)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Ask again and again: neither server tells the process that started it when it is ready."""
        last_moment = time.monotonic() + START_SECONDS
        while not ready():
            log = self.log.read_text(errors="replace")
            if self._started[-1].poll() is not None:
                error = PortTakenError if "address already in use" in log else DidNotStartError
                raise error(f"{self.name} ended:\n{log[-2000:]}")
            if time.monotonic() > last_moment:
                raise DidNotStartError(f"{self.name} was not ready after {START_SECONDS} s:\n{log[-2000:]}")
            time.sleep(0.02)


def _accepts_connections(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _is_ready(url: str, certificate: Path, token: str) -> bool:
    try:
        request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - https on loopback
        trust = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(request, timeout=60, context=trust) as answer:  # noqa: S310 - as above
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):  # no certificate yet, nobody listens yet, or 500 while hooks still run
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_signing_key(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(pem)  # into a folder that only we can read


def _create_definitions(cluster: Cluster) -> None:
    """Create the definitions, and return when the server serves them."""
    api = kubernetes.client.ApiextensionsV1Api(cluster.api_client(ADMIN))
    waiting = set()
    for file in sorted(CRDS.glob("*.yaml")):
        definition = yaml.safe_load(file.read_text())
        api.create_custom_resource_definition(definition)
        waiting.add(definition["metadata"]["name"])
    watch = kubernetes.watch.Watch()
    for event in watch.stream(api.list_custom_resource_definition, timeout_seconds=START_SECONDS):
        conditions = event["object"].status.conditions or []
        if any(condition.type == "Established" and condition.status == "True" for condition in conditions):
            waiting.discard(event["object"].metadata.name)
        if not waiting:
            watch.stop()
    if waiting:
        raise DidNotStartError(f"the API server does not serve {', '.join(sorted(waiting))}")
