"""A gang of nodes: many tasks that start together, and one question."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.fixtures.shapes import GANG


def test_a_gang_is_one_question_also_to_a_run_that_is_resumed(flow):
    """Its control task asks for all nodes of @parallel; the run leaves, and one answer starts all in `resume`."""
    # Metaflow starts the other nodes with the `python` of the PATH.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    gated = flow(GANG, above="from metaflow import parallel\n\n\n", PATH=path, METAFLOW_HITL_LOCAL="leave")
    left = gated.start("run")
    assert left.wait() == 75, left.output
    assert sum("Waiting for approval" in line for line in left.lines) == 1
    (asked,) = gated.open_approvals()
    gated.approvals.approve(asked.id)
    run = gated.start("resume")
    assert run.wait() == 0, run.output
    assert sorted(line[-16:] for line in run.lines if ": approved" in line) == [
        f"node {node}: approved" for node in range(3)
    ]
    assert list(gated.open_approvals()) == []
