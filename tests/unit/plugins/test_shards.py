"""What a task of a foreach says of itself: its place, how many there are, and whether they share a message."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

from metaflow_extensions.hitl.approvals.question import Shard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Metaflow's own copy of yaml warns where another one is installed
    from metaflow_extensions.hitl.plugins.gate import count_shards, shares_message
    from metaflow_extensions.hitl.plugins.message import shard_of


def flow(*frames, value="x"):
    """A flow in a task, with the stack that Metaflow 2.19 gives it: (index, num_splits) of each foreach."""
    stack = [SimpleNamespace(index=index, num_splits=splits) for index, splits in frames]
    return SimpleNamespace(_foreach_stack=stack, input=value)


@pytest.mark.parametrize(
    ("task", "shard", "shards"),
    [
        (flow(), None, 0),
        (flow((3, 60)), Shard(place=(3,), value="x", counts=(60,)), 60),
        (flow((1, 2), (0, 3)), Shard(place=(1, 0), value="x", counts=(2, 3)), 6),
        (flow((0, None)), Shard(place=(0,), value="x"), 0),  # an unbounded foreach does not know
    ],
)
def test_place_and_number(task, shard, shards):
    """The stack of foreachs tells the place and the numbers; a foreach inside another counts with the outer one."""
    assert shard_of(task) == shard
    assert count_shards(task) == shards


@pytest.mark.parametrize(
    ("shards", "stated", "shares"),
    [(3, None, False), (4, None, True), (2, True, True), (4, False, False)],
)
def test_from_four_shards_on_gates_share_a_message(shards, stated, shares):
    """Four or more do, fewer do not; the author's own word comes first."""
    assert shares_message(flow((0, shards)), stated=stated) is shares
