"""`run --with kubernetes`: the question is asked where the run was launched, and no pod before the answer."""

from __future__ import annotations

import kubernetes
import pytest

from tests.cluster.control_plane import ADMIN

GATED_START = """
@retry(times=2, minutes_between_retries=0)
@hitl(message="Go?")
@step
def start(self):
    self.next(self.end)

@step
def end(self):
    pass
"""


@pytest.fixture
def jobs(cluster, namespace):
    """Look at the jobs of this test's namespace."""
    api = kubernetes.client.BatchV1Api(cluster.api_client(ADMIN))
    return lambda: api.list_namespaced_job(namespace).items


@pytest.fixture
def remote(flow, cluster, namespace, s3_moto):
    """A flow whose pods are asked for in a real API server, which nobody runs."""
    return flow(
        GATED_START,
        **s3_moto.environment(),
        KUBECONFIG=str(cluster.kubeconfig(ADMIN, namespace=namespace)),
        METAFLOW_KUBERNETES_NAMESPACE=namespace,
        METAFLOW_KUBERNETES_CONTAINER_IMAGE="python:3.11",
    )


def test_the_pod_is_asked_for_after_the_approval(remote, jobs, s3_moto):
    """Before it there is no job; the job's pod knows where the records are; the process is the same all the while."""
    run = remote.start("run", "--with", "kubernetes")
    asked = run.wait_for_line("Waiting for approval: Go?")
    approval_id = run.wait_for_line("hitl approve ").split("approve ")[1].split()[0]
    assert jobs() == []
    approved = remote.hitl("approve", approval_id)
    assert approved.process.returncode == 0, approved.output
    launched = run.wait_for_line("[job ")
    (job,) = jobs()
    (container,) = job.spec.template.spec.containers
    variables = {entry.name: entry.value for entry in container.env}
    assert variables["METAFLOW_HITL_ROOT"] == s3_moto.root
    assert variables["METAFLOW_FLOW_FILENAME"] == "flow.py"
    assert not [name for name in variables if "TOKEN" in name and name.startswith("METAFLOW_HITL")]
    pid = asked.split("(pid ")[1].split(")")[0]
    assert f"(pid {pid})" in launched
    run.interrupt()
    run.wait()


def test_no_pod_is_asked_for_after_a_rejection(remote, jobs):
    """The run fails with the reason, without another attempt."""
    run = remote.start("run", "--with", "kubernetes")
    approval_id = run.wait_for_line("hitl approve ").split("approve ")[1].split()[0]
    rejected = remote.hitl("reject", approval_id, "--reason", "not on a Friday")
    assert rejected.process.returncode == 0, rejected.output
    assert run.wait() != 0
    assert "not on a Friday" in run.output
    assert "Retrying" not in run.output
    assert jobs() == []
