"""What a row of a list, or of the Home tab, says and offers of one question."""

from __future__ import annotations

from dataclasses import replace

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import Shard
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.messages import batch, lists
from tests.fixtures.approvals import NOW, approval, pathspec


def test_a_row_offers_the_choice_buttons():
    """A list and the Home tab offer a gate's choices as its message does: a button each, and no form."""
    asked = approval(schema=normalise({"target": {"type": "choice", "choices": ["eu", "us"], "buttons": True}}))
    shown = lists.listing([asked], now=NOW, mine={asked.id: None})["blocks"]
    (buttons,) = [block for block in shown if block["type"] == "actions"]
    assert [one["action_id"] for one in buttons["elements"]][:3] == ["hitl_choose_0", "hitl_choose_1", "hitl_reject"]


def test_a_row_says_that_nobody_waits():
    """A list tells apart what starts something and what a run has been missing for."""
    asked = transitions.attend(approval(), NOW)
    shown = str(lists.listing([asked], now=NOW, mine={asked.id: None})["blocks"])
    assert "*nobody has been waiting since* <!date^1772443800^" in shown


def test_a_shared_message_says_that_nobody_waits():
    """Where no shard of a foreach is waited for, its message says so; one that is keeps the sentence away."""
    shards = [
        transitions.attend(approval(pathspec(task=str(number)), shard=Shard(place=(number,))), NOW)
        for number in range(4)
    ]
    shared = batch.Batch(id="deploy-abcdefghij-1", pathspec="TrainFlow/17/deploy", members=shards)
    assert "*Nobody has been waiting since <!date^1772443800^" in str(batch.render(shared, now=NOW).blocks)
    one_waits = replace(shared, members=[*shards[:3], transitions.attend(shards[3], None)])
    assert "Nobody has been waiting" not in str(batch.render(one_waits, now=NOW).blocks)
