"""Pods as processes of this machine, for a control plane that has no nodes.

Argo's controller creates pods and waits for somebody to run them. Where a cluster has no nodes, this does so for the
pods of workflows: the command of the main container, under bubblewrap with a /tmp and a /mnt/out of its own, then the
exit code and the output parameters back to the API server in the way of Argo's executor (argo-workflows,
docs/executors.md: a WorkflowTaskResult named by the node). What is asked and who resumes is none of its business.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import kubernetes

WORKFLOW = "workflows.argoproj.io/workflow"
NODE = "workflows.argoproj.io/node-id"
REPORTED = "workflows.argoproj.io/report-outputs-completed"
CONFLICT = 409
LOOK = 0.2  # seconds between two lists of the pods


class PodRunner:
    """Runs every pod of a namespace that belongs to a workflow, until it is stopped.

    Parameters
    ----------
    api : kubernetes.client.ApiClient
        May read pods and secrets, change the status of pods and create WorkflowTaskResults.
    namespace : str
        Of the workflows.
    folder : Path
        Where each pod has a folder by its uid, as `argo retry` gives names again: ``<uid>/log``, ``<uid>/out``.
    environment : Mapping[str, str]
        What a node of a real cluster would give its pods: PATH with the image's Python, credentials.
    """

    def __init__(self, api: Any, namespace: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._core = kubernetes.client.CoreV1Api(api)
        self._objects = kubernetes.client.CustomObjectsApi(api)
        self._namespace = namespace
        self._folder = folder
        self._environment = dict(environment)
        self._seen: set[str] = set()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = Lock()
        self._stopped = Event()
        self._threads: list[Thread] = []
        self.problems: list[str] = []

    def start(self) -> None:
        looking = Thread(target=self._look_for_pods, daemon=True)
        self._threads.append(looking)
        looking.start()

    def stop(self) -> None:
        """Start nothing more, and end what runs."""
        self._stopped.set()
        with self._lock:
            for process in self._processes.values():
                os.killpg(process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join(10)

    def log(self, uid: str) -> str:
        """Return what a pod has printed so far."""
        file = self._folder / uid / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _look_for_pods(self) -> None:
        while not self._stopped.wait(LOOK):
            for pod in self._core.list_namespaced_pod(self._namespace, label_selector=WORKFLOW).items:
                if pod.status.phase == "Pending" and pod.metadata.uid not in self._seen:
                    self._seen.add(pod.metadata.uid)
                    thread = Thread(target=self._run, args=(pod,), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _run(self, pod: Any) -> None:
        try:
            started = _now()
            self._set_status(pod, "Running", {"running": {"startedAt": started}})
            code, out = self._execute(pod)
            if self._stopped.is_set():
                return
            self._report(pod, code, out)
            ended = {"exitCode": code, "startedAt": started, "finishedAt": _now()}
            ended["reason"] = "Error" if code else "Completed"
            self._set_status(pod, "Failed" if code else "Succeeded", {"terminated": ended})
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                self.problems.append(f"{pod.metadata.name}: {error}")
        except OSError as error:
            self.problems.append(f"{pod.metadata.name}: {error}")

    def _execute(self, pod: Any) -> tuple[int, Path]:
        """Run the main container; return its exit code and what it left in /mnt/out."""
        (main,) = (container for container in pod.spec.containers if container.name == "main")
        command = [*(main.command or ()), *(main.args or ())]
        command = command[command.index("--") + 1 :]  # argoexec emissary … -- the step's own command
        home = self._folder / pod.metadata.uid
        for name in ("out", "work"):
            (home / name).mkdir(parents=True)
        sandbox = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", "/tmp", "--tmpfs", "/mnt"]
        for path in self._environment["PATH"].split(":"):
            if path.startswith("/tmp/"):
                image = str(Path(path).parent)
                sandbox += ["--ro-bind", image, image]
        sandbox += ["--bind", str(home / "out"), "/mnt/out", "--bind", str(home / "work"), "/tmp/work"]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [*sandbox, "--chdir", "/tmp/work", "--", *command],
                env=self._variables(pod, main),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            with self._lock:
                self._processes[pod.metadata.uid] = process
            code = process.wait()
            with self._lock:
                del self._processes[pod.metadata.uid]
        return (code if code >= 0 else 128 - code), home / "out"

    def _variables(self, pod: Any, main: Any) -> dict[str, str]:
        values = dict(self._environment)
        fields = {
            "metadata.name": pod.metadata.name,
            "metadata.namespace": pod.metadata.namespace,
            "metadata.uid": pod.metadata.uid,
            "spec.serviceAccountName": pod.spec.service_account_name or "default",
            "status.hostIP": "127.0.0.1",
        }
        for source in main.env_from or ():
            values |= self._secret(source.secret_ref.name)
        for entry in main.env or ():
            if entry.value_from is None:
                values[entry.name] = entry.value or ""
            elif entry.value_from.field_ref is not None:
                values[entry.name] = fields[entry.value_from.field_ref.field_path]
            elif entry.value_from.secret_key_ref is not None:
                reference = entry.value_from.secret_key_ref
                values[entry.name] = self._secret(reference.name)[reference.key]
        return values

    def _secret(self, name: str) -> dict[str, str]:
        data = self._core.read_namespaced_secret(name, self._namespace).data or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def _report(self, pod: Any, code: int, out: Path) -> None:
        parameters = []
        for wanted in _template(pod).get("outputs", {}).get("parameters", []):
            path = wanted.get("valueFrom", {}).get("path", "")
            file = out / Path(path).name
            if path and file.is_file():
                parameters.append({"name": wanted["name"], "value": file.read_text().strip()})
        result = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTaskResult",
            "metadata": {
                "name": pod.metadata.annotations[NODE],
                "labels": {WORKFLOW: pod.metadata.labels[WORKFLOW], REPORTED: "true"},
            },
            "outputs": {"parameters": parameters, "exitCode": str(code)},
        }
        place = ("argoproj.io", "v1alpha1", self._namespace, "workflowtaskresults")
        try:
            self._objects.create_namespaced_custom_object(*place, result)
        except kubernetes.client.ApiException as error:
            if error.status != CONFLICT:
                raise
            # The node has run before: the executor overwrites what it said then.
            merge = "application/merge-patch+json"
            self._objects.patch_namespaced_custom_object(
                *place, result["metadata"]["name"], result, _content_type=merge
            )

    def _set_status(self, pod: Any, phase: str, state: dict[str, Any]) -> None:
        containers = [
            {"name": container.name, "image": "-", "imageID": "-", "restartCount": 0, "state": state}
            | {"ready": phase == "Running"}
            for container in pod.spec.containers
        ]
        for container in containers:
            if container["name"] != "main" and "terminated" in state:
                container["state"] = {"terminated": {**state["terminated"], "exitCode": 0, "reason": "Completed"}}
        status = {"phase": phase, "startTime": _now(), "containerStatuses": containers}
        self._core.patch_namespaced_pod_status(pod.metadata.name, self._namespace, {"status": status})


def can_run_pods() -> bool:
    """Whether this machine has what keeps pods apart."""
    return shutil.which("bwrap") is not None


def _template(pod: Any) -> dict[str, Any]:
    """Return the Argo template of a pod, which its containers get as a variable."""
    containers = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    texts = [entry.value for one in containers for entry in one.env or () if entry.name == "ARGO_TEMPLATE"]
    return json.loads(texts[0]) if texts and texts[0] else {}


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
