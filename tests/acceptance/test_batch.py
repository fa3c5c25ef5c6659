"""`run --with batch`: the question is asked where the run was launched, and nothing of AWS Batch before the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
import requests

from tests.cluster.proxy import Proxy, proxy_before
from tests.fixtures.s3 import ACCESS_KEY, REGION, SECRET_KEY

ROLE = "arn:aws:iam::123456789012:role/tasks"
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


@dataclass(frozen=True)
class Aws:
    """AWS Batch of an account."""

    proxy: Proxy
    batch: Any
    queue: str

    def submitted(self) -> list[dict[str, Any]]:
        """Return what was submitted, in whichever state it is by now."""
        states = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
        found = [self.batch.list_jobs(jobQueue=self.queue, jobStatus=state)["jobSummaryList"] for state in states]
        return self.batch.describe_jobs(jobs=[job["jobId"] for jobs in found for job in jobs])["jobs"]


@pytest.fixture
def aws(moto_endpoint):
    """An account with a job queue, whose jobs nobody runs, behind a proxy that sees every request to AWS Batch."""
    requests.post(f"{moto_endpoint}/moto-api/config", json={"batch": {"use_docker": False}}, timeout=30)
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=REGION)
    ec2, iam, batch = (session.client(name, endpoint_url=moto_endpoint) for name in ("ec2", "iam", "batch"))
    name = f"gpus-{uuid4().hex[:8]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    machines = {
        "type": "FARGATE",
        "maxvCpus": 4,
        "subnets": [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]],
        "securityGroupIds": [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]],
    }
    batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", serviceRole=role, computeResources=machines
    )
    order = [{"order": 1, "computeEnvironment": name}]
    batch.create_job_queue(jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=order)
    with proxy_before(moto_endpoint) as proxy:
        yield Aws(proxy, batch, name)


@pytest.fixture
def remote(flow, aws, s3_moto):
    return flow(
        GATED_START,
        **s3_moto.environment(),
        AWS_ENDPOINT_URL_BATCH=aws.proxy.url,
        METAFLOW_BATCH_JOB_QUEUE=aws.queue,
        METAFLOW_ECS_S3_ACCESS_IAM_ROLE=ROLE,
        METAFLOW_ECS_FARGATE_EXECUTION_ROLE=ROLE,
        METAFLOW_BATCH_CONTAINER_IMAGE="python:3.11",
        METAFLOW_HITL_SLACK_BOT_TOKEN="xoxb-1-secret",
        METAFLOW_HITL_NOTIFIER="terminal",
    )


def approval_id(run):
    return run.wait_for_line("hitl approve ").split("approve ")[1].split()[0]


def test_the_job_is_submitted_after_the_approval(remote, aws, s3_moto):
    """Before it no request has come to AWS Batch; the job's container knows where the records are, and no token."""
    run = remote.start("run", "--with", "batch")
    asked = approval_id(run)
    assert aws.proxy.seen == []
    approved = remote.hitl("approve", asked)
    assert approved.process.returncode == 0, approved.output
    run.wait_for_line("Task is starting (status ")
    assert "/v1/submitjob" in [path for _, path, _ in aws.proxy.seen]
    told = json.dumps(aws.submitted(), default=str)
    assert s3_moto.root in told
    assert "xoxb-1-secret" not in told
    run.stop()


def test_no_job_is_submitted_after_a_rejection(remote, aws):
    """The run fails with the reason, without another attempt, and AWS Batch has heard nothing."""
    run = remote.start("run", "--with", "batch")
    rejected = remote.hitl("reject", approval_id(run), "--reason", "not on a Friday")
    assert rejected.process.returncode == 0, rejected.output
    assert run.wait() != 0
    assert "not on a Friday" in run.output
    assert "Retrying" not in run.output
    assert aws.proxy.seen == []
