"""Hundreds of gates in one workflow, as an Argo controller wrote it: what their decisions cost."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from threading import Lock
from typing import Any

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate
from metaflow_extensions.hitl.engines import nodes
from metaflow_extensions.hitl.engines.argo import ArgoEngine, Changed
from metaflow_extensions.hitl.engines.gates import Ending, Waiting
from tests.cluster import recorded
from tests.fixtures.approvals import approval, approving, pathspec


class InMemory(ArgoEngine):
    """An API server with one workflow: it counts what it is asked, and refuses what was changed in between."""

    def __init__(self, workflow: dict[str, Any]) -> None:
        super().__init__(namespace="flows", clock=lambda: datetime.now(timezone.utc), sleep=lambda _: None)
        self.requests: Counter[str] = Counter()
        self._workflow = workflow
        self._lock = Lock()

    def _read(self, namespace: str, name: str) -> dict[str, Any]:  # noqa: ARG002 - the base's signature
        with self._lock:
            self.requests["read"] += 1
            return deepcopy(self._workflow) if self._is_packed else self._copy()

    def _end(self, workflow: dict[str, Any], waiting: Waiting, ending: Ending, approval: Approval) -> None:  # noqa: ARG002 - the base's signature
        operations = nodes.patch(workflow, waiting.node_ids, ending, self._clock())
        with self._lock:
            self.requests["end"] += 1
            if self._is_packed:
                self._end_packed(*operations)
                return
            for one in operations:
                node_id, key = one["path"].removeprefix("/status/nodes/").split("/", 1)
                node = self._nodes[node_id]
                if one["op"] == "test" and node.get(key) != one["value"]:
                    raise Changed(one["path"])
                self._nodes[node_id] = {**node, key: one["value"]}

    def _end_packed(self, tested: dict[str, Any], replaced: dict[str, Any]) -> None:
        if tested["value"] != self._workflow["metadata"]["resourceVersion"]:
            raise Changed(tested["path"])
        self._workflow["status"]["compressedNodes"] = replaced["value"]
        self._workflow["metadata"]["resourceVersion"] = str(int(tested["value"]) + 1)

    def _copy(self) -> dict[str, Any]:
        return {**self._workflow, "status": {**self._workflow["status"], "nodes": {**self._nodes}}}

    @property
    def _is_packed(self) -> bool:
        return "compressedNodes" in self._workflow["status"]

    def _create(self, manifest: dict[str, Any]) -> bool:
        raise NotImplementedError

    def version(self) -> str:
        raise NotImplementedError

    def argo_version(self) -> str | None:
        raise NotImplementedError

    @property
    def _nodes(self) -> dict[str, dict[str, Any]]:
        return recorded.nodes(self._workflow)

    @property
    def waiting(self) -> int:
        return sum(one["type"] == "Suspend" and one["phase"] == "Running" for one in self._nodes.values())


def gated(count: int, *, packed: bool = False) -> tuple[InMemory, list[Approval]]:
    """Return so many of the recording's 3,000 gates in a workflow of their own, and their approved approvals."""
    workflow = recorded.workflow(recorded.COMPRESSED_4_1)
    name = workflow["metadata"]["name"]
    workflow["metadata"] |= {"namespace": "flows", "annotations": {"metaflow/flow_name": "ManyGates"}}
    found, asked = recorded.nodes(workflow), []
    chosen: dict[str, dict[str, Any]] = {}
    for number, (old, node_id) in enumerate(list(recorded.gates(workflow).items())[:count]):
        place = pathspec(flow="ManyGates", run=f"argo-{name}", task=f"t-{number}")
        gate = Gate(engine=EngineKind.ARGO, namespace="flows", workflow=name)
        one = replace(approval(place), gate=gate)
        asked.append(transitions.decide(one, approving(at=one.requested_at + timedelta(seconds=60))))
        node = found[node_id]
        parameters = [
            {**part, "value": one.id} if part["value"] == old else part for part in node["inputs"]["parameters"]
        ]
        chosen[node_id] = {**node, "inputs": {**node["inputs"], "parameters": parameters}}
    workflow["metadata"]["resourceVersion"] = "1"
    kept = {key: value for key, value in workflow["status"].items() if key != "compressedNodes"}
    workflow["status"] = {**kept, **({"compressedNodes": nodes.pack(chosen)} if packed else {"nodes": chosen})}
    return InMemory(workflow), asked


@pytest.mark.parametrize("count", [50, 500])
def test_the_requests_grow_with_the_gates_and_not_with_their_square(count: int) -> None:
    """Eight at a time, as the bot carries out one click for all: one read and one patch for each gate."""
    engine, decided = gated(count)
    random.Random(7).shuffle(decided)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(engine.carry_out, decided)) == {""}
    assert engine.waiting == 0
    assert engine.requests == {"read": count, "end": count}


def test_a_packed_workflow_is_changed_by_one_at_a_time() -> None:
    """Argo packs the nodes of a large workflow into one text, so each change voids all others: only the first meet."""
    engine, decided = gated(100, packed=True)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(engine.carry_out, decided)) == {""}
    assert engine.waiting == 0
    assert engine.requests["end"] <= 100 + 7 * 6, "attempts of the seven that had read before it was known"
