"""What a row of a list, or of the Home tab, says and offers of one question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, HitlError, PeopleUnavailable
from metaflow_extensions.hitl.approvals.question import Shard
from metaflow_extensions.hitl.approvals.record import Approval, Verdict
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.approvals.statistics import statistics
from metaflow_extensions.hitl.messages import batch, lists, obligations, views
from tests.fixtures.approvals import NOW, approval, pathspec
from tests.unit.messages.examples import decided


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


def shared_by(*members: Approval) -> tuple[str, list[str]]:
    """Render a message of some of sixty shards; return its title, and what its buttons say."""
    shared = batch.Batch(id="deploy-abcdefghij-1", pathspec="TrainFlow/17/deploy", members=members)
    blocks = batch.render(shared, now=NOW).blocks
    buttons = [one["text"]["text"] for block in blocks if block["type"] == "actions" for one in block["elements"]]
    return batch.title_of(shared).split(":")[0] + f"; {batch.how_far(shared)}", buttons


def test_a_shared_message_offers_nothing_for_shards_that_will_not_ask():
    """Once the run has ended no further shard asks, and what was closed was not answered."""
    one, other = (approval(pathspec(task=str(task)), shard=Shard(place=(task,), counts=(60,))) for task in range(2))
    closed = [transitions.close(asked, "the run is gone", NOW) for asked in (one, other)]
    assert shared_by(*closed) == (
        "2 shards were closed without an answer; 2 of 60 had asked when the run ended · 2 closed",
        [],
    )
    said, buttons = shared_by(decided(one), closed[1])
    assert said == "1 of 60 shards is answered; 2 of 60 had asked when the run ended · 1 approved · 1 closed"
    assert buttons == []
    assert shared_by(decided(one), decided(other, Verdict.REJECT))[1] == []  # Metaflow starts no further task
    assert shared_by(decided(one), decided(other))[1] == ["Approve all 58"]
    assert "Approve all 59" in shared_by(one, closed[1])[1]  # a gate of a workflow can be closed alone


UNREAD = CorruptRecord("approvals/gate-0123456789/00002.json", "it is not JSON")
SILENT = PeopleUnavailable("Slack did not say who is in @ml-leads.")


def empty(problems: list[HitlError]) -> dict[str, str]:
    """Return every list of nothing, as text."""
    inbox = lists.Inbox(waiting=[], asked=[], decided=[], flows=[], problems=problems)
    counted = statistics([], [], since=NOW)
    shown = {
        "list": lists.listing([], now=NOW, problems=problems),
        "list mine": lists.listing([], now=NOW, problems=problems, words="list mine"),
        "history": lists.history([], now=NOW, span="in 7 d", problems=problems),
        "stats": lists.figures(counted, now=NOW, span="in 7 d", problems=problems),
        "stats rules": lists.rules([], now=NOW, span="in 7 d", problems=problems),
        "obligations": obligations.listing([], today=NOW.date(), problems=problems),
        "obligations all": obligations.listing([], today=NOW.date(), words="obligations all", problems=problems),
        "Home": lists.home_view(inbox, now=NOW),
        "like before": views.like_before_view(approval(), [], now=NOW, problems=problems),
    }
    return {name: str(one) for name, one in shown.items()}


@pytest.mark.parametrize(
    ("problem", "why"),
    [(UNREAD, "1 could not be read:"), (SILENT, "Slack could not say all that this depends on")],
    ids=["a record", "Slack"],
)
def test_no_list_denies_what_it_could_not_read(problem, why):
    """Where a record can't be read, or Slack asked, each list of nothing says that, and not that there is nothing."""
    whole, partly = empty([]), empty([problem])
    assert whole.keys() == partly.keys()
    for name, shown in partly.items():
        assert why in shown, name
        assert "known to" in shown or name == "stats", name
        assert "known to" not in whole[name], name
        assert why not in whole[name], name
