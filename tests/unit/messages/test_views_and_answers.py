"""What one person alone sees: views and answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, GateNotReached
from metaflow_extensions.hitl.approvals.record import Post, Verdict
from metaflow_extensions.hitl.approvals.refusals import NotAllowed, TooLate
from metaflow_extensions.hitl.approvals.transitions import posted
from metaflow_extensions.hitl.approvals.use_cases import Outcome
from metaflow_extensions.hitl.messages import controls, lists, replies, views
from tests.unit.messages.examples import BOB, LATER, NOW, SCHEMA, decided, pending, settled
from tests.unit.messages.limits import visible


def test_form_repeats_the_question():
    """The form shows the question again, one input for each field, and carries the approval's id."""
    approval = pending(schema=SCHEMA)
    view = views.approve_view(approval, now=LATER)
    assert view["title"]["text"] == "Approve gate"
    assert "Deploy fraud v7?  Accuracy 94.0%" in visible(view["blocks"])
    labels = [block["label"]["text"] for block in view["blocks"] if block["type"] == "input"]
    assert labels == ["Deploy target", "Notes"]
    assert view["callback_id"] == controls.APPROVE_VIEW
    assert views.approval_of(view) == approval.id


@pytest.mark.parametrize("held", ["", "{", "[]", "null", '{"approval": 1}', "{}"])
def test_foreign_metadata_is_no_approval(held):
    """A view whose metadata is anything else yields no id, and no error."""
    assert views.approval_of({"private_metadata": held}) == ""


def test_reason_is_asked_and_read():
    """Rejecting asks for a reason that can't be left out, and the reader of it finds what was typed."""
    view = views.reject_view(pending(), now=LATER)
    asked = next(block for block in view["blocks"] if block["type"] == "input")
    assert asked.get("optional", False) is False
    assert asked["element"]["max_length"] == 1_000
    typed = {asked["block_id"]: {asked["element"]["action_id"]: {"type": "plain_text_input", "value": " drift \n"}}}
    assert views.reason_of(typed) == "drift"
    assert views.reason_of({}) == ""


def test_closed_view_names_who_was_faster():
    """Whose form was still open reads who decided, how long ago and why, and can only close it."""
    view = views.closed_view(decided(pending(), Verdict.REJECT), now=LATER + timedelta(minutes=1))
    assert "*Rejected* by <@U0BOB> after 3 min · 1 min ago" in visible(view["blocks"])
    assert "“drift too high”" in visible(view["blocks"])
    assert "submit" not in view
    assert view["close"]["text"] == "Close"


def test_details_give_the_commands():
    """The details of a pending approval hold the exact commands, with a gap for each input that is required."""
    approval = pending(schema=SCHEMA)
    text = visible(views.details_view(approval, now=LATER)["blocks"])
    assert f"python flow.py hitl approve {approval.id} --set deploy_target=...\n" in text
    assert f"python flow.py hitl reject {approval.id} --reason ..." in text


def test_list_groups_by_who_is_asked():
    """What waits for the reader comes first; within a group the nearest deadline does."""
    soon = replace(pending(message="Soon?", timeout=60), id="gate-1")
    later = replace(pending(message="Later?"), id="gate-2")
    other = replace(pending(message="Other?", timeout=30), id="gate-3")
    reply = lists.listing([other, later, soon], now=NOW, mine={soon.id: None, later.id: None})
    text = visible(reply["blocks"])
    assert reply["text"] == "3 approvals wait (2 for you)"
    order = [text.index(words) for words in ("Waiting for you", "Soon?", "Later?", "Waiting for others", "Other?")]
    assert order == sorted(order)


def test_list_links_to_the_message():
    """A row opens the message where it was posted; what waits for others has nothing else to press."""
    approval = posted(pending(), Post(notifier="slack", at=NOW, channel="C0A", ts="1.2", url="https://s.example/p1"))
    mine = lists.listing([approval], now=NOW, mine={approval.id: None})["blocks"][-1]["elements"]
    others = lists.listing([approval], now=NOW)["blocks"][-2]["accessory"]
    for button in (mine[0], others):
        assert (button["url"], button["action_id"]) == ("https://s.example/p1", controls.OPEN)
    assert len(mine) == 3


def test_nothing_waits_and_when_the_last_was_decided():
    """An empty list says so, and when something was decided last."""
    assert lists.listing([], now=LATER)["text"] == "Nothing is waiting for an answer."
    reply = replies.nothing_waits(decided(pending()), now=LATER + timedelta(hours=2))
    assert reply["text"].startswith("Nothing is waiting for an answer. The last one was approved 2 h ago")


def test_done_says_what_is_still_to_come():
    """After a decision the person reads what becomes of the run, and what will be tried again."""
    approval = settled(decided(pending()))
    assert "The run continues." in visible(replies.done(Outcome(approval=approval))["blocks"])
    late = Outcome(approval=decided(pending()), pending=(EngineUnavailable("The cluster did not answer."),))
    text = visible(replies.done(late)["blocks"])
    assert "The run is being resumed." in text
    assert "Not done when you answered; the bot will retry: The cluster did not answer." in text


def test_a_gate_that_is_not_reached_yet_is_said_in_words_that_stay_true():
    """Nobody corrects this answer later, so it neither says that something failed nor that it is still to be done."""
    late = Outcome(approval=decided(pending()), pending=(GateNotReached("The decision takes effect when it does."),))
    text = visible(replies.done(late)["blocks"])
    assert "The decision takes effect when it does." in text
    assert "Not done" not in text


def test_unknown_word_gets_help():
    """/hitl with a word that it does not know names the word and lists those that it knows."""
    text = visible(replies.help_text("aprove <!here>")["blocks"])
    assert "Unknown command `aprove &lt;!here&gt;`" in text
    assert "`/hitl approve ID`" in text


def test_answers_go_to_the_asker_alone():
    """Every answer is ephemeral and leaves the message with the buttons as it is."""
    reply = replies.refusal(TooLate(pending()))
    assert (reply["response_type"], reply["replace_original"]) == ("ephemeral", False)
    assert reply["text"] == str(TooLate(pending()))


def test_commands_are_ready_to_copy():
    """Copy command shows both commands letter by letter."""
    approval = pending()
    assert f"python flow.py hitl approve {approval.id}\n" in visible(replies.command_to_copy(approval)["blocks"])


def test_views_are_json():
    """A view is plain JSON: it survives the way to Slack and back."""
    view = views.approve_view(pending(schema=SCHEMA), now=LATER)
    assert json.loads(json.dumps(view)) == view


def test_a_refusal_names_people_not_ids():
    """Those whom the step names by id are shown as people and groups; what a person wrote stays inert."""
    asked = pending(approvers=("U0ALICE", "S0RISK", "@ml-leads"))
    mallory = replace(BOB, id="U0MALLORY", name="<!channel>")
    reply = replies.refusal(NotAllowed(asked, mallory, "U0ALICE, S0RISK or @ml-leads may."))
    (block,) = reply["blocks"]
    assert "<@U0ALICE>, <!subteam^S0RISK> or @ml-leads may." in block["text"]["text"]
    assert "&lt;!channel&gt; can't decide" in block["text"]["text"]
    (plain,) = replies.refusal(NotAllowed(pending(), mallory, "guests never decide."))["blocks"]
    assert plain["text"]["type"] == "plain_text"
