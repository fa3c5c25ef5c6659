"""The container that asks: the step's own, which reads the same artifacts, without what only the step needs."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from metaflow_extensions.hitl.approvals.errors import HitlError

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?")  # Kubernetes' resource quantities, as people write them
_BARE_NUMBER = re.compile(r"[0-9]+")
_DEADLINE = 3_600  # seconds; the step's own @timeout says nothing about how long asking may take
# Keys and values of node selectors and tolerations that lead to expensive machines.
_ACCELERATOR = re.compile(
    r"gpu|nvidia|amd\.com|accelerator|neuron|inferentia|trainium|habana|gaudi|tpu|fpga|instance-type", re.IGNORECASE
)


class BadNotifySetting(HitlError, ValueError):
    """A setting of the notify container can't be used."""


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """Where in the cluster a secret value is; the value itself never leaves it."""

    name: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "SecretKey":
        """Read ``name`` or ``name/key``; the key is ``slack-bot-token`` if none is named."""
        name, slash, key = text.strip().partition("/")
        if not name or (slash and not key) or "/" in key:
            raise BadNotifySetting(
                "METAFLOW_HITL_SLACK_SECRET must be the name of a Kubernetes secret, as name or name/key, not "
                f"{text!r}."
            )
        return cls(name=name, key=key or "slack-bot-token")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that the container writes: where it is, and the variable that tells the container so."""

    path: str
    variable: str


@dataclass(frozen=True, kw_only=True)
class Small:
    """How the notify container is made from the step's.

    Attributes
    ----------
    cpu, memory : str
        Kubernetes quantities: ``0.25``, ``512Mi``. A bare number of memory means MiB, as in ``@resources``.
    environment : Mapping[str, str]
        Variables besides the step's own.
    slack_secret : SecretKey, optional
        Becomes METAFLOW_HITL_SLACK_BOT_TOKEN.
    """

    environment: Mapping[str, str]
    cpu: str = "0.25"
    memory: str = "512Mi"
    slack_secret: SecretKey | None = None

    @property
    def requests(self) -> dict[str, str]:
        for name, value in (("CPU", self.cpu), ("MEMORY", self.memory)):
            if not _QUANTITY.fullmatch(value):
                raise BadNotifySetting(
                    f"METAFLOW_HITL_NOTIFY_{name} must be a Kubernetes quantity such as 0.25 or 512Mi, not {value!r}."
                )
        memory = f"{self.memory}Mi" if _BARE_NUMBER.fullmatch(self.memory) else self.memory
        return {"cpu": self.cpu, "memory": memory}


def notify_template(
    original: dict[str, Any],
    *,
    name: str,
    command: tuple[str, str],
    outputs: Mapping[str, File],
    retry: str,
    small: Small,
) -> dict[str, Any]:
    """Make the template that asks out of the step's.

    Parameters
    ----------
    original : dict
        The step's container template; it is not changed.
    name : str
        Of the new template.
    command : tuple of str
        The one text in the shell's command to replace, and what by.
    outputs : Mapping[str, File]
        The output parameters, and the files that they are read from.
    retry : str
        When another attempt makes sense, as Argo's ``retryStrategy.expression``.
    small : Small
        Settings.
    """
    template = {**original, "name": name}
    template["outputs"] = {
        "parameters": [{"name": parameter, "valueFrom": {"path": file.path}} for parameter, file in outputs.items()]
    }
    template["activeDeadlineSeconds"] = _DEADLINE
    template["retryStrategy"] = {
        "retryPolicy": "Always",
        "limit": 3,
        "backoff": {"duration": "10s", "factor": 3},
        "expression": retry,
    }
    if "volumes" in original:
        template["volumes"] = [volume for volume in original["volumes"] if not _only_for_work(volume)]
    volumes = {volume["name"] for volume in template.get("volumes") or []}
    gone = [volume["name"] for volume in original.get("volumes") or [] if volume["name"] not in volumes]
    if original.get("nodeSelector"):
        template["nodeSelector"] = {
            key: value for key, value in original["nodeSelector"].items() if not _ACCELERATOR.search(f"{key}={value}")
        }
    if original.get("tolerations"):
        template["tolerations"] = [one for one in original["tolerations"] if not _ACCELERATOR.search(json.dumps(one))]
    template["container"] = _container(original["container"], command, outputs.values(), gone, small)
    return template


def _container(
    original: dict[str, Any], command: tuple[str, str], files: Collection[File], gone: list[str], small: Small
) -> dict[str, Any]:
    container = {key: value for key, value in original.items() if key not in {"name", "ports"}}
    *shell, text = original["command"]
    container["command"] = [*shell, text.replace(*command)]
    requests = small.requests
    limits = (original.get("resources") or {}).get("limits") or {}
    # Limits only where the step has them: a namespace's quota may ask for them.
    container["resources"] = {"requests": requests, "limits": {key: requests[key] for key in limits if key in requests}}
    mounts = original.get("volumeMounts") or []
    container["volumeMounts"] = [mount for mount in mounts if mount["name"] not in gone]
    lost = {mount["mountPath"] for mount in mounts if mount["name"] in gone}
    # METAFLOW_TEMPDIR on a tmpfs that no longer exists.
    own = {**small.environment, **{file.variable: file.path for file in files}}
    kept = [entry for entry in original.get("env") or [] if entry["name"] not in own and entry.get("value") not in lost]
    container["env"] = kept + [{"name": name, "value": value} for name, value in own.items()]
    if secret := small.slack_secret:
        reference = {"secretKeyRef": {"name": secret.name, "key": secret.key}}
        container["env"].append({"name": "METAFLOW_HITL_SLACK_BOT_TOKEN", "valueFrom": reference})
    return container


def _only_for_work(volume: dict[str, Any]) -> bool:
    """Whether a volume is tmpfs, shared memory or a claim: asking reads artifacts, and needs none of them."""
    return "persistentVolumeClaim" in volume or (volume.get("emptyDir") or {}).get("medium") == "Memory"
