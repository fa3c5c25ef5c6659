"""The form for a choice among many shards, and what it keeps of the choice."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import PolicyRule
from metaflow_extensions.hitl.messages import batch_views, controls
from metaflow_extensions.hitl.messages.batch import Batch
from metaflow_extensions.hitl.messages.batch_views import TooManyShards, _packed, _unpacked, metadata
from tests.unit.messages.examples import decided, pending

KNOWN = [f"gate-{number:010d}" for number in range(12_000)]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_any_choice_is_read_again(share: float) -> None:
    """Whatever is ticked, the bits say the same when they come back."""
    ids = {one for one in KNOWN if random.Random(one).random() < share}
    assert _unpacked(KNOWN, _packed(KNOWN, ids)) == ids


@pytest.mark.slow
def test_12_000_shards_fit_in_a_view() -> None:
    """All are offered, and half of them are unticked without any order: the worst there is."""
    off = {one for one in KNOWN if random.Random(one).random() < 0.5}
    kept = {"batch": "b" * 60, "offered": _packed(KNOWN, KNOWN), "off": _packed(KNOWN, off), "look": 99}
    assert len(metadata(kept)) <= 3_000


def test_more_is_refused_in_words() -> None:
    """What does not fit is said before Slack would refuse the view."""
    with pytest.raises(TooManyShards, match="Approve all or reject all"):
        metadata({"off": "x" * 3_000})


@pytest.mark.parametrize("waiting", [["mild", "strict"], ["strict", "mild"], ["strict"], ["mild"]])
def test_the_form_asks_for_a_reason_once(waiting: list[str]) -> None:
    """Whatever the rules of single shards want, also of one that is decided: one input, required if one of them is."""
    kinds = {
        "mild": replace(pending(), id="deploy-a"),
        "strict": replace(
            transitions.govern(pending(), PolicyRule(name="audited", reason_required=True)), id="deploy-b"
        ),
    }
    members = [one if name in waiting else decided(one, reason="fine") for name, one in kinds.items()]
    batch = Batch(id="deploy-abc-1", pathspec="F/1/deploy", members=members)
    view = batch_views.approve_except_view(batch, batch_views.offer(batch))
    (reason,) = [block for block in view["blocks"] if block.get("block_id") == controls.REASON_BLOCK]
    assert reason.get("optional", False) is ("strict" not in waiting)
