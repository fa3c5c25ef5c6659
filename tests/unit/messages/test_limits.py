"""Whatever an approval holds, Slack takes what is made of it."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitl_bot.sandbox.blocks import (
    are_blocks_too_long,
    complaints_about_blocks,
    complaints_about_view,
    is_view_too_large,
)
from hitl_bot.sandbox.mentions import mentions
from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.approvals.refusals import ApprovalError
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from metaflow_extensions.hitl.messages import answers, lists, question, views
from tests.unit.messages.examples import LATER, NOW, TEXTS, approvals, decided, pending
from tests.unit.messages.limits import check_message, check_view

thorough = settings(
    max_examples=150,  # each holds dozens of texts
    derandomize=True,  # the same on every machine
    database=None,
    deadline=None,  # a busy machine pauses where it likes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@thorough
@given(approvals())
def test_message_is_within_every_limit(approval):
    """Any approval in any state renders to a message that Slack takes, and mentions approvers and decider only."""
    message = question.render(approval, now=LATER)
    check_message(message.text, message.blocks)
    assert message.metadata["event_payload"]["approval_id"] == approval.id
    known = {"<@U0BOB>", "<!subteam^S0RISK>"}
    assert set(mentions(message.text, message.blocks)) <= known | {f"<@{one}>" for one in approval.question.approvers}


@thorough
@given(approvals())
def test_sandbox_accepts_every_message(approval):
    """The sandbox's own reading of Slack's documentation finds nothing to complain about either."""
    blocks = copy.deepcopy(question.render(approval, now=LATER).blocks)
    assert complaints_about_blocks(blocks) == []
    assert not are_blocks_too_long(blocks)


@thorough
@given(approvals())
def test_views_are_within_every_limit(approval):
    """Form, reason, notice and details of any approval are views that Slack takes."""
    trail = [
        Version(number=number, previous=None, event="posted", at=NOW, approval=approval) for number in range(1, 40)
    ]
    shown = [
        views.approve_view(approval, now=LATER),
        views.reject_view(approval, now=LATER),
        views.closed_view(approval, now=LATER),
        views.details_view(approval, now=LATER, trail=trail),
        views.saving_view(approval.id),
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
    replies = [
        lists.listing(some * times, now=LATER, mine=[one.id for one in some[::2]], problems=[error] * 9),
        answers.help_text(text),
        answers.refusal(error),
        answers.broken("a1b2"),
        *[answers.shown(one, now=LATER) for one in some],
        *[answers.command(one) for one in some],
        *[answers.done(Outcome(approval=one, pending=(error,))) for one in some if one.state is not State.PENDING],
    ]
    for reply in replies:
        check_message(reply["text"], reply["blocks"])
        assert complaints_about_blocks(copy.deepcopy(reply["blocks"])) == []


def test_three_megabytes_are_cut():
    """A message of 3 MB, and an input of 3 MB, are cut with an ellipsis that says so."""
    huge = "<&`\n" * 750_000
    for approval in (pending(message=huge), decided(pending(), input={"notes": huge, huge: 1})):
        message = question.render(approval, now=LATER)
        check_message(message.text, message.blocks)
        assert "…" in str(message.blocks)


def test_long_values_share_the_room():
    """Many long inputs are each cut to what fits: all are there, none whole, and the message is accepted."""
    approval = decided(pending(), input={f"name_{number}": "long & " * 500 for number in range(20)})
    message = question.render(approval, now=LATER)
    check_message(message.text, message.blocks)
    assert not are_blocks_too_long(message.blocks)
    assert all(f"name_{number}*" in str(message.blocks) for number in range(20))


@pytest.mark.parametrize("count", [20, 21, 95])
def test_many_inputs_are_counted(count):
    """Up to 20 inputs are shown; of more the message says how many are left out."""
    approval = decided(pending(), input={f"name_{number}": number for number in range(count)})
    text = str(question.render(approval, now=LATER).blocks)
    assert "name_19" in text
    assert ("more under Details" in text) is (count > 20)
    assert (f"and {count - 20} more" in text) is (count > 20)


def test_list_is_turned_page_by_page():
    """Of 500 open approvals each page shows as many as one message carries, and says which of how many they are."""
    reply = lists.listing([pending()] * 500, now=NOW + timedelta(minutes=1), mine=[pending().id])
    rows = sum(block["type"] == "actions" for block in reply["blocks"]) - 1  # the last one turns the page
    assert rows >= 8
    assert reply["text"] == "500 approvals wait (500 for you)"
    assert f"1 to {rows} of 500" in str(reply["blocks"])
