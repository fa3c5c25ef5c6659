"""Workflow objects as real Argo controllers wrote them, while flows waited at their gates."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any, cast

RECORDINGS = Path(__file__).parent / "recordings"

FOREACH_3_7 = "argo-3.7.3-foreach-three-gates-waiting"
FOREACH_4_1 = "argo-4.1.2-foreach-three-gates-waiting"
RECURSION_3_7 = "argo-3.7.3-recursion-gate-waiting"
COMPRESSED_4_1 = "argo-4.1.2-compressed-3000-gates-waiting"


def workflow(name: str) -> dict[str, Any]:
    """Read one of the above, ready to be created in any namespace: without what the API server gives an object."""
    recorded = cast("dict[str, Any]", json.loads((RECORDINGS / f"{name}.json").read_text()))
    for given in ("namespace", "resourceVersion", "uid", "generation", "creationTimestamp"):
        recorded["metadata"].pop(given)
    return recorded


def nodes(recorded: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes of a workflow by id, unpacked where Argo has compressed them (base64 of gzip of JSON)."""
    status = recorded["status"]
    if "compressedNodes" in status:
        status = {"nodes": json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"])))}
    return cast("dict[str, dict[str, Any]]", status["nodes"])


def gates(recorded: dict[str, Any]) -> dict[str, str]:
    """{approval id: node id} of the suspend nodes that wait."""
    return {
        parameter["value"]: node_id
        for node_id, node in nodes(recorded).items()
        if node["type"] == "Suspend" and node["phase"] == "Running"
        for parameter in node["inputs"]["parameters"]
        if parameter["name"] == "approval-id"
    }
