"""`hitl` as an own process, on S3: no flow's file, no bot, and nothing but the base package."""

from __future__ import annotations

import json
import subprocess
import sys

from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.slack import FORM
from tests.fixtures.approvals import Bench
from tests.fixtures.flows import clean_environment


def test_a_bucket_is_all_that_it_needs(s3_moto, tmp_path):
    """It lists, refuses, approves and waits, with exit codes; Metaflow's own setting for the endpoint of S3 counts."""
    world = Bench(store=s3_moto.store())
    asked = world.ask(schema=normalise({"share": {"type": "int", "max": 100}}, FORM))
    # Without boto3's own variable for it, the endpoint is Metaflow's setting.
    s3 = {name: value for name, value in s3_moto.environment().items() if name != "AWS_ENDPOINT_URL_S3"}
    environment = clean_environment(**s3, METAFLOW_HOME=str(tmp_path))

    def hitl(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "metaflow_hitl", "--root", s3_moto.root, *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    (listed,) = json.loads(hitl("list", "--json").stdout)
    assert (listed["id"], listed["fields"][0]["max"]) == (asked.id, 100)
    refused = hitl("approve", asked.id, "--set", "share=101")
    assert (refused.returncode, "at most 100" in refused.stderr) == (8, True)
    assert hitl("wait", asked.id, "--timeout", "0").returncode == 3
    assert hitl("approve", asked.id, "--set", "share=7").returncode == 0
    assert hitl("wait", asked.id).stdout.startswith(f"{asked.id}  Approved by alice (command line)")
    assert list(tmp_path.iterdir()) == []
