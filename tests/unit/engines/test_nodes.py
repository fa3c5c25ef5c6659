"""The nodes of a Workflow object: how they are read, packed and patched, whatever is in them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.engines import nodes
from metaflow_extensions.hitl.engines.nodes import Ending, NodesElsewhere, Phase, pack, patch, read_nodes, unpack
from tests.fixtures.approvals import NOW

WAITING = {"id": "w-1", "type": "Suspend", "phase": "Running", "startedAt": "2026-03-02T09:00:00Z"}
END = Ending(phase=Phase.FAILED, message="rejected by bob")


def workflow(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "w", "resourceVersion": "77"}, "status": status}


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), json_values, max_size=3), max_size=4))
def test_packed_nodes_come_back(some: dict[str, Any]) -> None:
    """Whatever JSON the nodes hold is the same after packing and unpacking, and packs to the same text again."""
    assert unpack(pack(some)) == some
    assert pack(unpack(pack(some))) == pack(some)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not base64!", "unknown way"),
        (packed(b"\x28\xb5\x2f\xfd\x20\x58\x01\x00"), "zstd"),
        (packed(b"\x0b\x02\x80{}\x03"), "Brotli"),
        (packed(gzip.compress(b"{}", mtime=0)[:-5]), "damaged"),
        (packed(gzip.compress(b"{", mtime=0)), "damaged"),
        (packed(gzip.compress(b"\xff", mtime=0)), "damaged"),
        (packed(gzip.compress(b"[]", mtime=0)), "not a JSON object"),
    ],
)
def test_other_packings_are_refused_by_name(text: str, words: str) -> None:
    """What can't be unpacked is refused with its name, and with what can read it."""
    with pytest.raises(NodesElsewhere, match=words) as refusal:
        unpack(text)
    assert "METAFLOW_HITL_ARGO_SERVER_URL" in str(refusal.value)


def test_unpacking_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small text that unpacks to very much is refused before all of it is in memory."""
    monkeypatch.setattr(nodes, "NODES_SIZE", 1000)
    with pytest.raises(NodesElsewhere, match="larger"):
        unpack(packed(gzip.compress(b'{"a":"' + b" " * 1000 + b'"}', mtime=0)))


def test_plain_nodes_come_first() -> None:
    """As in Argo, packed nodes count only where there are no plain ones; a workflow without a status has none."""
    assert read_nodes(workflow(nodes={"a": {}}, compressedNodes=pack({"b": {}}))) == {"a": {}}
    assert read_nodes(workflow(nodes={}, compressedNodes=pack({"b": {}}))) == {"b": {}}
    assert read_nodes({"metadata": {"name": "w"}}) == {}


def test_plain_patch_tests_before_it_writes() -> None:
    """A plain node is patched only if type, phase and start are what was read; only three of its fields change."""
    operations = patch(workflow(nodes={"w-1": WAITING, "w-2": WAITING}), ["w-1"], END, NOW)
    assert operations == [
        {"op": "test", "path": "/status/nodes/w-1/type", "value": "Suspend"},
        {"op": "test", "path": "/status/nodes/w-1/phase", "value": "Running"},
        {"op": "test", "path": "/status/nodes/w-1/startedAt", "value": "2026-03-02T09:00:00Z"},
        {"op": "add", "path": "/status/nodes/w-1/phase", "value": "Failed"},
        {"op": "add", "path": "/status/nodes/w-1/finishedAt", "value": "2026-03-02T09:30:00Z"},
        {"op": "add", "path": "/status/nodes/w-1/message", "value": "rejected by bob"},
    ]


def test_node_id_is_one_part_of_the_path() -> None:
    """A slash or a tilde in a node's id does not lead elsewhere (RFC 6901)."""
    operations = patch(workflow(nodes={"a/b~c": WAITING}), ["a/b~c"], END, NOW)
    assert {operation["path"].rpartition("/")[0] for operation in operations} == {"/status/nodes/a~1b~0c"}


def test_packed_patch_tests_the_version() -> None:
    """Packed nodes are written as a whole, only if the workflow is the very version that was read."""
    read = workflow(compressedNodes=pack({"w-1": WAITING, "w-2": WAITING}))
    test, write = patch(read, ["w-1"], END, NOW)
    assert test == {"op": "test", "path": "/metadata/resourceVersion", "value": "77"}
    assert (write["op"], write["path"]) == ("replace", "/status/compressedNodes")
    ended = {"phase": "Failed", "finishedAt": "2026-03-02T09:30:00Z", "message": "rejected by bob"}
    assert unpack(write["value"]) == {"w-1": {**WAITING, **ended}, "w-2": WAITING}


def test_workflow_that_was_read_stays_as_it_was() -> None:
    """Building a patch changes nothing of what it is built from."""
    for read in (workflow(nodes={"w-1": dict(WAITING)}), workflow(compressedNodes=pack({"w-1": WAITING}))):
        before = json.dumps(read)
        patch(read, ["w-1"], END, NOW)
        assert json.dumps(read) == before


def test_the_deployer_is_known_although_argo_copied_no_metadata() -> None:
    """A workflow that waited for its turn stores its template's owner; if two are named, both count."""
    held_up = workflow(storedWorkflowTemplateSpec={"workflowMetadata": {"annotations": {"metaflow/owner": "alice"}}})
    assert [one.id for one in nodes.started_by(held_up)] == ["alice"]
    held_up["metadata"]["annotations"] = {"metaflow/owner": "mallory"}
    assert [one.id for one in nodes.started_by(held_up)] == ["mallory", "alice"]
