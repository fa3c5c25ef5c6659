"""The flow's own command ends the gate with the rights of whoever types it."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores import open_store
from tests.cluster.argo_server import argo_server
from tests.cluster.gated import gated

FLOW = """
@hitl(message="Go?")
@step
def start(self):
    self.next(self.end)

@step
def end(self):
    pass
"""


@pytest.fixture
def waiting(cluster, namespace):
    """A workflow with three gates."""
    return gated(cluster, namespace)


@pytest.fixture
def person(flow, cluster, namespace, waiting, tmp_path):
    """A machine of somebody who may read and change workflows; the records of three gates are within its reach."""
    records = str(tmp_path / "records")
    ledger = Ledger(open_store(records))
    for asked in waiting.approvals:
        ledger.begin(asked)
    account = cluster.service_account(namespace, "person")
    cluster.allow(account, "workflows", ["get", "patch", "update"])

    def sits_at(**settings):
        return flow(FLOW, METAFLOW_HITL_ROOT=records, METAFLOW_HITL_ARGO_NAMESPACE=namespace, **settings), account

    return sits_at


def test_by_the_kubeconfig(person, cluster, namespace, waiting):
    """One gate of three opens, one fails, one waits; nobody has to type anything of Argo's."""
    flow, account = person()
    flow.environment["KUBECONFIG"] = str(cluster.kubeconfig(account, namespace=namespace))
    first, second, _ = waiting.approvals
    assert "argo resume" not in flow.hitl("approve", first.id).output
    assert "argo node set" not in flow.hitl("reject", second.id, "--reason", "no").output
    assert waiting.phases() == ["Succeeded", "Failed", "Running"]
    assert waiting.node(second)["message"] == "rejected by alice via command line: no"


def test_by_argo_server(person, cluster, waiting):
    """A certificate of one's own authority is trusted when its file is named, and only then; the answer counts."""
    first, second, _ = waiting.approvals
    with argo_server(cluster, scheme="https") as url:
        flow, account = person(METAFLOW_HITL_ARGO_SERVER_URL=url)
        flow.environment["METAFLOW_HITL_ARGO_SERVER_TOKEN"] = cluster.token(account)
        distrusted = flow.hitl("approve", first.id).output
        assert "Set METAFLOW_HITL_ARGO_SERVER_CA_FILE" in distrusted
        assert "argo resume" in distrusted
        assert waiting.phases() == ["Running"] * 3
        flow.environment["METAFLOW_HITL_ARGO_SERVER_CA_FILE"] = "/nowhere/ca.pem"
        assert "/nowhere/ca.pem" in flow.hitl("approve", first.id).output
        flow.environment["METAFLOW_HITL_ARGO_SERVER_CA_FILE"] = str(cluster.certificate)
        assert "argo resume" not in flow.hitl("approve", first.id).output  # again is fine, and carries it out
        flow.hitl("reject", second.id, "--reason", "no")
    assert waiting.phases() == ["Succeeded", "Failed", "Running"]
