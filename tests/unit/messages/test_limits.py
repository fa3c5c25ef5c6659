"""Whatever an approval holds, Slack takes what is made of it."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hitl_bot.sandbox.blocks import (
    are_blocks_too_long,
    complaints_about_blocks,
    complaints_about_view,
    is_view_too_large,
)
from hitl_bot.sandbox.mentions import mentions
from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.record import State, TrailEvent
from metaflow_extensions.hitl.approvals.refusals import ApprovalError
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from metaflow_extensions.hitl.messages import batch_views, lists, replies, single, views
from metaflow_extensions.hitl.messages.batch import Batch, render
from metaflow_extensions.hitl.messages.batch_views import chosen
from metaflow_extensions.hitl.messages.views import like_before_view
from tests.sizes import soak
from tests.unit.messages.examples import BOB, LATER, NOW, TEXTS, approvals, decided, pending
from tests.unit.messages.limits import check_message, check_view

pytestmark = [pytest.mark.slow, pytest.mark.soak]

thorough = settings(
    max_examples=soak(40, 1_000),  # each holds dozens of texts
    derandomize=True,  # the same on every machine
    database=None,
    deadline=None,  # a busy machine pauses where it likes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@thorough
@given(approvals())
def test_message_is_within_every_limit(approval):
    """Any approval in any state renders to a message that Slack takes, and mentions approvers and decider only."""
    message = single.render(approval, now=LATER)
    check_message(message.text, message.blocks)
    assert message.metadata["event_payload"]["approval_id"] == approval.id
    known = {"<@U0BOB>", "<!subteam^S0RISK>"}
    assert set(mentions(message.text, message.blocks)) <= known | {f"<@{one}>" for one in approval.question.approvers}


@thorough
@given(approvals())
def test_sandbox_accepts_every_message(approval):
    """The sandbox's own reading of Slack's documentation finds nothing to complain about either."""
    blocks = copy.deepcopy(single.render(approval, now=LATER).blocks)
    assert complaints_about_blocks(blocks) == []
    assert not are_blocks_too_long(blocks)


@thorough
@given(approvals())
def test_views_are_within_every_limit(approval):
    """Form, reason, notice and details of any approval are views that Slack takes."""
    trail = [
        Version(number=number, previous=None, event=TrailEvent.POSTED, at=NOW, approval=approval)
        for number in range(1, 40)
    ]
    shown = [
        views.approve_view(approval, now=LATER),
        views.reject_view(approval, now=LATER),
        views.closed_view(approval, now=LATER),
        views.details_view(approval, now=LATER, trail=trail),
        views.saving_view(approval.id),
        like_before_view(approval, [approval] * 9, now=LATER),
    ]
    for view in shown:
        check_view(view)
        assert complaints_about_view(copy.deepcopy(view)) == []
        assert not is_view_too_large(view)


@thorough
@given(st.lists(approvals(), max_size=4), st.sampled_from([1, 12]), TEXTS)
def test_answers_are_within_every_limit(some, times, text):
    """/hitl answers within the limits however many approvals are open and whatever went wrong."""
    error = ApprovalError(pending(), text)
    said = [
        lists.listing(some * times, now=LATER, mine={one.id: BOB for one in some[::2]}, problems=[error] * 9),
        replies.help_text(text),
        replies.refusal(error),
        replies.broken("a1b2"),
        *[replies.shown(one, now=LATER) for one in some],
        *[replies.command_to_copy(one) for one in some],
        *[replies.done(Outcome(approval=one, pending=(error,))) for one in some if one.state is not State.PENDING],
    ]
    for reply in said:
        check_message(reply["text"], reply["blocks"])
        assert complaints_about_blocks(copy.deepcopy(reply["blocks"])) == []


@settings(thorough, max_examples=soak(6, 300))  # dozens of approvals each: a second and more
@given(st.lists(approvals(), min_size=1, max_size=3), st.sampled_from([1, 7]))
def test_batches_are_within_every_limit(some, times):
    """The message of any gates, and the views that answer all of them, are what Slack takes."""
    batch = Batch(id="deploy-abc-1", pathspec="F/1/deploy", members=some * times)
    message = render(batch, now=LATER, nobody=["@gone"])
    check_message(message.text, message.blocks)
    shown = [batch_views.answered_view(batch)]
    if batch.waiting:
        shown += [batch_views.approve_all_view(batch), batch_views.reject_all_view(batch)]
        shown.append(batch_views.approve_except_view(batch, batch_views.offer(batch)))
    for view in shown:
        check_view(view)
        assert complaints_about_view(copy.deepcopy(view)) == []
        assert not is_view_too_large(view)


@pytest.mark.parametrize(("shards", "fields"), [(2_000, 0), (60, 92)])
def test_any_number_of_shards_is_chosen_on_pages(shards, fields):
    """A page holds a hundred checkboxes at most beside the form, and its metadata what is ticked on all of them."""
    schema = normalise({f"field_{number}": "str" for number in range(fields)}) if fields else None
    members = [
        replace(
            pending(message=f"Region {number}? {'wide ' * 99}", schema=schema, obligations=True),
            id=f"gate-{number:010d}",
        )
        for number in range(shards)
    ]
    batch = Batch(id="gate-abc-1", pathspec="F/1/gate", members=members)
    choice = batch_views.offer(batch)
    seen: list[str] = []
    for page in range(choice.pages):
        choice = choice.turned_to(page)
        view = batch_views.approve_except_view(batch, choice)
        check_view(view)
        assert complaints_about_view(copy.deepcopy(view)) == []
        assert not is_view_too_large(view)
        groups = [block["element"] for block in view["blocks"] if block.get("block_id", "").startswith("hitl_shards_")]
        seen += [option["value"] for group in groups for option in group["options"]]
        unticked = {
            one["block_id"]: {"hitl_shards": {"selected_options": []}} for one in view["blocks"] if "element" in one
        }
        choice = chosen(batch, {**view, "state": {"values": unticked}})
    assert seen == [one.id for one in members]
    assert choice.ticked == frozenset()


def test_three_megabytes_are_cut():
    """A message of 3 MB, and an input of 3 MB, are cut with an ellipsis that says so."""
    huge = "<&`\n" * 750_000
    for approval in (pending(message=huge), decided(pending(), input={"notes": huge, huge: 1})):
        message = single.render(approval, now=LATER)
        check_message(message.text, message.blocks)
        assert "…" in str(message.blocks)


def test_long_values_share_the_room():
    """Many long inputs are each cut to what fits: all are there, none whole, and the message is accepted."""
    approval = decided(pending(), input={f"name_{number}": "long & " * 500 for number in range(20)})
    message = single.render(approval, now=LATER)
    check_message(message.text, message.blocks)
    assert not are_blocks_too_long(message.blocks)
    assert all(f"name_{number}*" in str(message.blocks) for number in range(20))


@pytest.mark.parametrize("count", [20, 21, 95])
def test_many_inputs_are_counted(count):
    """Up to 20 inputs are shown; of more the message says how many are left out."""
    approval = decided(pending(), input={f"name_{number}": number for number in range(count)})
    text = str(single.render(approval, now=LATER).blocks)
    assert "name_19" in text
    assert ("more under Details" in text) is (count > 20)
    assert (f"and {count - 20} more" in text) is (count > 20)


def test_list_is_turned_page_by_page():
    """Of 500 open approvals each page shows as many as one message carries, and says which of how many they are."""
    many = [replace(pending(), id=f"gate-{number}") for number in range(500)]
    reply = lists.listing(many, now=NOW + timedelta(minutes=1), mine={one.id: None for one in many})
    rows = sum(block["type"] == "actions" for block in reply["blocks"]) - 1  # the last one turns the page
    assert rows >= 8
    assert reply["text"] == "500 approvals wait (500 for you)"
    assert f"1 to {rows} of 500" in str(reply["blocks"])
