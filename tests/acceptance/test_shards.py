"""From four shards on, the gates of a foreach want to share a message."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

FLOW = """
    @step
    def start(self):
        self.items = list(range({count}))
        self.next(self.shard, foreach="items")

    @hitl(message="Shard {{self.input}}?"{more})
    @step
    def shard(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


@pytest.mark.parametrize(
    ("count", "more", "shares"), [(3, "", False), (4, "", True), (2, ", batch=True", True), (4, ", batch=False", False)]
)
def test_shards_share_a_message(flow, count, more, shares):
    """Four shards or more do, fewer do not; the author's own word comes first."""
    gated = flow(FLOW.format(count=count, more=more))
    run = gated.start("run")
    asked = gated.wait_for_approvals(count)
    assert [approval.question.batch for approval in asked] == [shares] * count
    for approval in asked:
        gated.hitl("approve", approval.id)
    assert run.wait() == 0, run.output


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
    gated.hitl("approve", asked.id)
    assert run.wait() == 0, run.output
    assert sorted(line[-16:] for line in run.lines if ": approved" in line) == [
        f"node {node}: approved" for node in range(3)
    ]
    assert sum("Waiting for approval" in line for line in run.lines) == 1
