"""An Argo Workflow object: its nodes, who started it, and the one that runs it again. No I/O."""

import base64
import binascii
import io
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from gzip import GzipFile, compress as gzip
from typing import Any

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, Origin, Person
from metaflow_extensions.hitl.approvals.running_again import BadParameter, CantRunAgain
from metaflow_extensions.hitl.slack import SLACK

Workflow = dict[str, Any]
Node = dict[str, Any]
Nodes = dict[str, Node]  # by node id
Operation = dict[str, Any]  # of a JSON Patch, RFC 6902

PARAMETER = "approval-id"
QUESTION = "question-sha256"  # of what the run asked, as `asked_digest` makes it
NODES_SIZE = 128 * 2**20  # bytes, unpacked; 100,000 nodes are 60 MB

# First bytes of what the controller may pack nodes with: ``util/file/fileutil.go``. Brotli has none of its own.
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Phase(str, Enum):
    """How a gate is ended: after Succeeded the task starts, after Failed it never does."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a decision makes of a gate."""

    phase: Phase
    message: str


class NodesElsewhere(EngineUnavailable):
    """The nodes can't be read from the object."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}. Only Argo's own server can read that: set METAFLOW_HITL_ARGO_SERVER_URL and "
            "METAFLOW_HITL_ARGO_SERVER_TOKEN for the bot."
        )


def name_of(workflow: Workflow) -> str:
    return str(workflow["metadata"]["name"])


def annotated(workflow: Workflow, name: str) -> tuple[str, ...]:
    """Return what an annotation says: the workflow's own first, then what Argo was to copy from the template.

    A workflow that waited for its turn never gets the metadata of its template (argo-workflows 3.7.3 and 4.0.5,
    ``workflow/controller/operator.go``: ``setExecWorkflow`` copies it in the phase "" alone, and one that a limit of
    parallelism held up begins in Pending), but it keeps a copy of the whole template.
    """
    stored = (workflow.get("status") or {}).get("storedWorkflowTemplateSpec") or {}
    places = (workflow["metadata"], stored.get("workflowMetadata") or {})
    said = (str((place.get("annotations") or {}).get(name) or "") for place in places)
    return tuple(dict.fromkeys(filter(None, said)))


def read_nodes(workflow: Workflow) -> Nodes:
    """Return the nodes of a workflow by id, unpacked if they are packed.

    Raises
    ------
    NodesElsewhere
        The controller keeps them in its database, or packs them with what the standard library can't unpack.
    """
    status = workflow.get("status") or {}
    # In this order: ``DecompressWorkflow`` in ``workflow/packer/packer.go``.
    if status.get("nodes"):
        return dict(status["nodes"])
    if status.get("compressedNodes"):
        return unpack(status["compressedNodes"])
    if status.get("offloadNodeStatusVersion"):
        raise NodesElsewhere(f"Argo keeps the nodes of workflow {name_of(workflow)} in its database")
    return {}


def are_packed(workflow: Workflow) -> bool:
    """Whether a workflow's nodes are one packed text, of which no part can be changed by itself."""
    status = workflow.get("status") or {}
    return not status.get("nodes") and bool(status.get("compressedNodes"))


def unpacked(workflow: Workflow) -> Workflow:
    """Return the workflow with its nodes in plain sight; as it is if they can't be read, or are already."""
    status = workflow.get("status") or {}
    if status.get("nodes") or not status.get("compressedNodes"):
        return workflow
    try:
        return {**workflow, "status": {**status, "nodes": read_nodes(workflow)}}
    except NodesElsewhere:
        return workflow


def suspend_nodes(nodes: Nodes, approval_id: str) -> Nodes:
    """Return the gates of one approval: one, or none yet."""
    return {node_id: node for node_id, node in nodes.items() if _asks(node, approval_id)}


def _asks(node: Node, approval_id: str) -> bool:
    return node.get("type") == "Suspend" and input_of(node, PARAMETER) == approval_id


def input_of(node: Node, name: str) -> str | None:
    """Return an input parameter of a node; None if it has none of this name."""
    parameters = (node.get("inputs") or {}).get("parameters") or ()
    return next((str(one.get("value")) for one in parameters if one.get("name") == name), None)


def unpack(packed: str) -> Nodes:
    """Unpack ``status.compressedNodes`` (``util/file/fileutil.go``).

    Parameters
    ----------
    packed : str
        Base64 of gzip of a JSON object, {node id: node}: what a workflow above 1 MiB has in place of its nodes.

    Raises
    ------
    NodesElsewhere
        It is anything else, such as zstd or Brotli, which Argo 4.1 can be told to use; or is larger than `NODES_SIZE`.
    """
    try:
        data = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise NodesElsewhere("The workflow's nodes are packed in an unknown way") from error
    if not data.startswith(_GZIP):
        name = "zstd" if data.startswith(_ZSTD) else "Brotli"
        raise NodesElsewhere(f"Argo packs the workflow's nodes with {name} (WORKFLOW_COMPRESSION_ALGORITHM)")
    try:
        text = GzipFile(fileobj=io.BytesIO(data)).read(NODES_SIZE + 1)
        if len(text) > NODES_SIZE:
            raise NodesElsewhere(f"The workflow's nodes are larger than {NODES_SIZE // 2**20} MiB")
        nodes = json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise NodesElsewhere("The workflow's packed nodes are damaged") from error
    if not isinstance(nodes, dict):
        raise NodesElsewhere("The workflow's packed nodes are not a JSON object")
    return nodes


def pack(nodes: Nodes) -> str:
    """Pack nodes as ``unpack`` reads them."""
    text = json.dumps(nodes, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip(text.encode("utf-8"), compresslevel=6, mtime=0)).decode("ascii")


# Ending a gate.


def patch(workflow: Workflow, node_ids: Collection[str], end: Ending, now: datetime) -> list[Operation]:
    """Build the JSON Patch that ends some gates, and only if they still wait as they did in this workflow.

    Parameters
    ----------
    workflow : Workflow
        As it was read.
    node_ids : Collection[str]
        What ``assess`` found waiting.
    end : Ending
        How to end them.
    now : datetime
        When, in UTC.
    """
    changes = {
        "phase": end.phase.value,
        "finishedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": end.message,
    }
    if (workflow.get("status") or {}).get("nodes"):
        return [operation for node_id in node_ids for operation in _end_in_place(workflow, node_id, changes)]
    nodes = read_nodes(workflow)
    for node_id in node_ids:
        nodes[node_id] = {**nodes[node_id], **changes}
    # Nothing in a packed text can be tested, so any change of the workflow since then makes this void.
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": workflow["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/status/compressedNodes", "value": pack(nodes)},
    ]


def _end_in_place(workflow: Workflow, node_id: str, changes: Mapping[str, str]) -> list[Operation]:
    path = f"/status/nodes/{node_id.replace('~', '~0').replace('/', '~1')}"
    node = workflow["status"]["nodes"][node_id]
    # startedAt: `argo retry` starts a node anew under the id that it had.
    tests = [{"op": "test", "path": f"{path}/{key}", "value": node[key]} for key in ("type", "phase", "startedAt")]
    return tests + [{"op": "add", "path": f"{path}/{key}", "value": value} for key, value in changes.items()]


# Who deployed and who started an Argo Workflow, as the object itself has it. No I/O.
#
# Metaflow notes the deployer on the template's workflows, and who triggers one (metaflow 2.19,
# ``plugins/argo/argo_workflows.py`` and ``argo_client.py``). Argo's server notes its own logged-in user in labels,
# which hold ``[-_.0-9a-zA-Z]`` alone, so ``@`` becomes ``.at.`` (argo-workflows 4.1.2,
# ``workflow/creator/creator.go``).

_OWNER = "metaflow/owner"
_CREATOR = "workflows.argoproj.io/creator"


def started_by(workflow: Workflow) -> tuple[Person, ...]:
    """Return everybody whose workflow it is, the deployer first, once each."""
    metadata = workflow["metadata"]
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    owners = annotated(workflow, _OWNER)
    found = [Person(id=name, name=name, origin=Origin.CLAIM) for name in (*owners, *_starters(annotations, labels))]
    if again_by := str(annotations.get(BY) or ""):
        found.append(Person(id=again_by, name=again_by, origin=SLACK))
    return tuple(dict.fromkeys(found))


def _starters(annotations: Mapping[str, Any], labels: Mapping[str, Any]) -> Iterator[str]:
    if email := str(labels.get(f"{_CREATOR}-email") or ""):
        yield email.replace(".at.", "@", 1)
    elif creator := str(labels.get(f"{_CREATOR}-preferred-username") or labels.get(_CREATOR) or ""):
        yield creator
    # Of a run that somebody started again in Slack the name is the same person's, and the id says who.
    if not annotations.get(BY) and (name := _triggered_by(annotations)):
        yield name


def _triggered_by(annotations: Mapping[str, Any]) -> str:
    try:
        triggered = json.loads(annotations.get(TRIGGERED_BY) or "{}")
    except (TypeError, ValueError):
        return str(annotations[TRIGGERED_BY])  # unreadable, and not nobody
    return str(triggered.get("name") or "") if isinstance(triggered, dict) else ""


# The workflow that runs another one again, with other parameters. No I/O.
#
# It is what ``argo-workflows trigger`` of Metaflow creates (metaflow 2.19, ``plugins/argo/argo_client.py``,
# ``trigger_workflow_template``): a reference to the WorkflowTemplate, and the parameters as JSON.

# Annotations: the approval of which changes were requested, and who ran it again.
AFTER, BY = "metaflow-hitl/after", "metaflow-hitl/by"
TRIGGERED_BY = "metaflow/triggered_by_user"
_LONGEST_NAME = 63  # characters of a workflow's name (argo-workflows 4.1.2, ``workflow/validate/validate.go``)
_ID = 10  # characters of an approval's id that no other approval has
_WORDS = {bool: "true or false", int: "a number", float: "a number", list: "a JSON list", dict: "a JSON object"}


def parameters(workflow: Workflow) -> dict[str, str]:
    """Return what a workflow was started with, as people write it: by name, texts without quotes.

    Raises
    ------
    CantRunAgain
        It was not started from a WorkflowTemplate.
    """
    _template(workflow)
    return {name: _as_text(value) for name, value in _raw(workflow).items()}


def manifest(workflow: Workflow, approval: Approval, entered: Mapping[str, str], by: Person) -> dict[str, Any]:
    """Build the workflow that runs another one again. Its name follows from the approval, so there is one of it.

    Raises
    ------
    CantRunAgain
        As for ``parameters``.
    BadParameter
        A value is of another kind than the one before.
    """
    template, raw = _template(workflow), _raw(workflow)
    values = [{"name": name, "value": _as_value(name, entered.get(name), former)} for name, former in raw.items()]
    stem = str(template["name"])[: _LONGEST_NAME - _ID - 1].rstrip("-.")
    return {
        "apiVersion": workflow["apiVersion"],
        "kind": "Workflow",
        "metadata": {
            "name": f"{stem}-{approval.id[-_ID:]}",
            "namespace": workflow["metadata"]["namespace"],
            "annotations": {
                AFTER: approval.id,
                BY: by.id,
                TRIGGERED_BY: json.dumps({"type": "user", "name": by.email or by.name}),
            },
        },
        "spec": {
            "workflowTemplateRef": dict(template),
            # What has no value is left to the template, which may have a default for it.
            "arguments": {"parameters": [one for one in values if one["value"] is not None]},
        },
    }


def is_the_same(workflow: Workflow, wanted: Mapping[str, Any]) -> bool:
    """Whether a workflow is what the same person started before with the same parameters."""
    annotations = workflow["metadata"].get("annotations") or {}
    arguments = (workflow["spec"].get("arguments") or {}).get("parameters") or []
    return (
        all(annotations.get(key) == wanted["metadata"]["annotations"][key] for key in (AFTER, BY))
        and arguments == wanted["spec"]["arguments"]["parameters"]
    )


def _template(workflow: Workflow) -> dict[str, Any]:
    template = workflow["spec"].get("workflowTemplateRef")
    if not isinstance(template, dict) or not template.get("name"):
        raise CantRunAgain(f"Workflow {name_of(workflow)} was not started from a WorkflowTemplate.")
    return template


def _raw(workflow: Workflow) -> dict[str, str | None]:
    """Return the parameters as the workflow has them: the template's as it was then, and its own above them."""
    stored = (workflow.get("status") or {}).get("storedWorkflowTemplateSpec") or {}
    found: dict[str, str | None] = {}
    for spec in (stored, workflow["spec"]):
        for one in (spec.get("arguments") or {}).get("parameters") or ():
            value = one.get("value")
            found[str(one["name"])] = None if value is None else str(value)
    return found


def _as_text(raw: str | None) -> str:
    decoded = _decoded(raw)
    if decoded is None:
        return ""
    return decoded if isinstance(decoded, str) else str(raw)


def _as_value(name: str, text: str | None, former: str | None) -> str | None:
    if text is None or text == _as_text(former):
        return former
    decoded = _decoded(former)
    if isinstance(decoded, str):
        return json.dumps(text)
    value = _decoded(text)
    if decoded is None:
        return json.dumps(value)
    kinds = (int, float) if type(decoded) in (int, float) else (type(decoded),)
    if type(value) not in kinds:
        raise BadParameter(name, f"It must be {_WORDS[type(decoded)]}, such as {str(former)[:100]}.")
    return json.dumps(value)


def _decoded(raw: str | None) -> Any:
    """Read JSON; what is none is text, as somebody with ``argo submit -p`` writes it."""
    if raw is None or raw == "":
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw
