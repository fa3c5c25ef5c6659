"""The nodes of an Argo Workflow object: read them, and build the patch that ends some. No I/O.

Read in argo-workflows 4.1.2 and tried on controllers 3.7.3 and 4.1.2:

- The Workflow resource has no status subresource: the nodes are changed by patching the object.
- The controller never overwrites a node that has ended (``reapplyUpdate`` in ``workflow/controller/operator.go``).
- Above 1 MiB it packs the nodes (``workflow/packer/packer.go``), and above that again it may put them into a database.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from gzip import GzipFile, compress as gzip
from typing import Any

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable

Workflow = dict[str, Any]
Node = dict[str, Any]
Nodes = dict[str, Node]  # by node id
Operation = dict[str, Any]  # of a JSON Patch, RFC 6902

PARAMETER = "approval-id"
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
    return node.get("type") == "Suspend" and any(
        parameter.get("name") == PARAMETER and parameter.get("value") == approval_id
        for parameter in (node.get("inputs") or {}).get("parameters") or ()
    )


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
