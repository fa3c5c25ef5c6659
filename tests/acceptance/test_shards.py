"""From four shards on, the gates of a foreach want to share a message."""

from __future__ import annotations

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
