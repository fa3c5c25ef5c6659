"""A gang of nodes: many tasks that start together, and one question."""

from __future__ import annotations

import os
import sys
from pathlib import Path

GANG = """
    @step
    def start(self):
        self.next(self.train, num_parallel=3)

    @hitl(message="Train on three nodes?")
    @parallel
    @step
    def train(self):
        print(f"node {current.parallel.node_index}: {current.hitl.verdict}")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def test_a_gang_is_one_question(flow):
    """The nodes of @parallel on one machine have one gate: its control task asks, and one answer starts all of them."""
    # Metaflow starts the other nodes with the `python` of the PATH.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    gated = flow(GANG, above="from metaflow import parallel\n\n\n", PATH=path)
    run = gated.start("run")
    (asked,) = gated.wait_for_approvals(1)
    gated.approvals.approve(asked.id)
    assert run.wait() == 0, run.output
    assert sorted(line[-16:] for line in run.lines if ": approved" in line) == [
        f"node {node}: approved" for node in range(3)
    ]
    assert sum("Waiting for approval" in line for line in run.lines) == 1
