"""What a view keeps of a choice among many shards."""

from __future__ import annotations

import random

import pytest

from metaflow_extensions.hitl.messages.batch_views import TooManyShards, _packed, _unpacked, metadata

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
