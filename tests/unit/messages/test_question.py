"""The message in each state: what it says, and what can be done with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Origin, Person, Verdict, Where
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.messages import controls, single
from metaflow_extensions.hitl.messages.single import render
from metaflow_extensions.hitl.messages.voting import vouched
from tests.unit.messages.examples import BOB, LATER, NOW, SCHEMA, decided, every_state, expired, pending, settled
from tests.unit.messages.limits import visible

ENDINGS = {
    "approved": "*Approved* by <@U0BOB> after 3 min",
    "settled": "*Approved* by <@U0BOB> after 3 min",
    "troubled": "*Approved* by <@U0BOB> after 3 min",
    "rejected": "*Rejected* by <@U0BOB> after 3 min",
    "rejected, continues": "*Rejected* by <@U0BOB> after 3 min",
    "expired": "*Expired* and rejected: no one answered in 1 d",
    "approved by timeout": "*Approved by timeout*: no one answered in 1 d",
    "closed": "*Closed without an answer*: the run was stopped",
}
AFTERMATHS = {
    "approved": "the run is being resumed",
    "settled": "the run continues",
    "troubled": "The run could not be resumed: the workflow is gone. Start a new run.",
    "rejected": "the step does not run",
    "rejected, continues": "the run continues, rejected",
    "expired": "the step does not run",
    "approved by timeout": "the run continues",
}


def buttons(approval, now=LATER):
    """The elements of the message's actions, by action id."""
    blocks = render(approval, now=now).blocks
    return {one["action_id"]: one for block in blocks if block["type"] == "actions" for one in block["elements"]}


@pytest.mark.parametrize("state", ENDINGS)
def test_answered_message_tells_the_ending(state):
    """Once it is answered, expired or closed, the message says in words how, and has no buttons left."""
    approval = every_state()[state]
    message = render(approval, now=LATER)
    assert ENDINGS[state] in visible(message.blocks)
    assert AFTERMATHS.get(state, "") in visible(message.blocks)
    assert buttons(approval) == {}
    assert message.text.startswith(ENDINGS[state].replace("*", "").replace("<@U0BOB>", "bob"))


def test_pending_message_asks():
    """The question, where it comes from, who decides and until when; ids of approvers are mentioned, nobody else."""
    approval = pending(approvers=("@ml-leads", "U0BOB"), run_url="https://ui.example/1732")
    message = render(approval, now=LATER)
    assert message.text == "Approval needed: Deploy fraud v7? Accuracy 94.0% (TrainAndDeploy / gate)"
    assert message.blocks[0]["type"] == "header"
    text = visible(message.blocks)
    assert "TrainAndDeploy / gate · <https://ui.example/1732|run 1732> · started by alice, not confirmed" in text
    assert "*Who decides*\n@ml-leads, <@U0BOB>" in text
    assert "*Answer by*\n<!date^1795536000^" in text
    assert "else rejected" in text
    assert f"`{approval.id}`" in text


def test_handles_are_mentioned_once_their_ids_are_known():
    """With the ids of the handles at hand, the group is mentioned."""
    message = render(pending(approvers=("@ml-leads",)), now=LATER, ids={"@ml-leads": "S0MLLEADS"})
    assert "*Who decides*\n<!subteam^S0MLLEADS>" in visible(message.blocks)


def test_without_a_schema_the_button_asks_back():
    """Approve decides at once, so it carries Slack's confirm dialog; its value is the approval's id."""
    approval = pending()
    approve = buttons(approval)[controls.APPROVE]
    assert approve["text"]["text"] == "Approve"
    assert approve["confirm"]["text"]["text"] == "Deploy fraud v7? Accuracy 94.0%"
    assert approve["value"] == approval.id


def test_with_a_schema_the_button_opens_a_form():
    """Approve… promises a form, so there is no confirm dialog; the message says what will be asked."""
    approval = pending(schema=SCHEMA)
    approve = buttons(approval)[controls.APPROVE]
    assert approve["text"]["text"] == "Approve…"
    assert "confirm" not in approve
    assert "Deploy target and notes are requested when you approve." in visible(render(approval, now=LATER).blocks)


def test_overflow_names_choice_and_approval():
    """The menu offers Details, Like before and Copy command; each value is split into the choice and the id."""
    approval = pending()
    options = buttons(approval)[controls.DETAILS]["options"]
    assert [option["text"]["text"] for option in options] == ["Details", "Like before", "Copy command"]
    assert [controls.overflow_choice(option["value"]) for option in options] == [
        (controls.SHOW_DETAILS, approval.id),
        (controls.LIKE_BEFORE, approval.id),
        (controls.COPY_COMMAND, approval.id),
    ]


def test_question_posted_behind_its_deadline_has_no_buttons():
    """What is posted too late says so and offers nothing that would be refused."""
    approval = pending()
    assert buttons(approval, now=NOW + timedelta(days=2)) == {}
    assert "The deadline has passed" in visible(render(approval, now=NOW + timedelta(days=2)).blocks)


def test_notify_keeps_its_buttons_behind_the_deadline():
    """With on_timeout="notify" the deadline decides nothing, so the buttons stay."""
    approval = pending(on_timeout=OnTimeout.NOTIFY)
    assert controls.APPROVE in buttons(approval, now=NOW + timedelta(days=2))


def test_input_and_reason_are_shown():
    """After the answer the message shows what was entered, or why it was rejected."""
    text = visible(render(decided(pending(), input={"deploy_target": "staging", "dry": True}), now=LATER).blocks)
    assert "*deploy_target*\nstaging" in text
    assert "*dry*\nyes" in text
    assert "“drift too high”" in visible(render(decided(pending(), Verdict.REJECT), now=LATER).blocks)


def test_input_is_shown_as_the_form_showed_it():
    """Labels above the values, and choices by their titles, not by what the step gets."""
    regions = {"oneOf": [{"const": "eu", "title": "Europe"}, {"const": "us", "title": "America"}]}
    schema = {
        "type": "object",
        "properties": {"first_region": regions, "others": {"type": "array", "items": regions}},
        "required": ["first_region"],
    }
    approval = decided(pending(schema=normalise(schema)), input={"first_region": "eu", "others": ["us", "eu"]})
    text = visible(render(approval, now=LATER).blocks)
    assert "*First region*\nEurope" in text
    assert "*Others*\nAmerica, Europe" in text


def test_local_decision_names_its_way_in():
    """Somebody whom Slack does not vouch for is named in words, with the way in."""
    by = Person(id="U0BOB", name="<@U0BOB>", origin=Origin.CLAIM)
    text = visible(render(decided(pending(), by=by, where=Where.COMMAND_LINE), now=LATER).blocks)
    assert "*Approved* by &lt;@U0BOB&gt; (command line) after 3 min" in text


def test_long_message_is_a_section():
    """A first line over 150 characters can't be a header; several lines are a header and a section."""
    long = render(pending(message="x" * 151), now=LATER).blocks
    assert long[0]["type"] == "section"
    lines = render(pending(message="Deploy?\nAccuracy 94%\nDrift 2%"), now=LATER).blocks
    assert [block["type"] for block in lines[:2]] == ["header", "section"]
    assert lines[1]["text"]["text"] == "Accuracy 94%\nDrift 2%"


def test_metadata_finds_the_message():
    """The message carries the approval's id and task as metadata."""
    approval = pending()
    assert render(approval, now=LATER).metadata == {
        "event_type": "hitl_approval",
        "event_payload": {"approval_id": approval.id, "pathspec": "TrainAndDeploy/1732/gate/4"},
    }


def test_deadline_says_what_it_does():
    """Each on_timeout has its own words."""
    for on_timeout, words in {"approve": "else approved", "notify": "stays open after that"}.items():
        assert words in visible(render(pending(on_timeout=OnTimeout(on_timeout)), now=LATER).blocks)
    assert "no deadline" in visible(render(pending(timeout=None), now=LATER).blocks)


def test_settling_changes_only_the_last_words():
    """Between decided and settled the message differs in what becomes of the run alone."""
    before = visible(render(decided(pending()), now=LATER).blocks)
    after = visible(render(settled(decided(pending())), now=LATER).blocks)
    assert before.replace("the run is being resumed", "the run continues") == after


def test_expired_message_names_nobody():
    """The clock is no person: an expiry mentions nobody."""
    assert "<@" not in visible(render(expired(pending()), now=LATER).blocks)


def test_pending_message_says_what_each_button_leads_to():
    """What becomes of run and step, or what the author wrote, escaped."""
    said = visible(render(pending(), now=LATER).blocks)
    assert "*Approve:* starts gate.  *Reject:* the run fails, gate does not start." in said
    written = pending(allow_changes=True, what_happens={"reject": "<!here> v6 stays"})
    said = visible(render(written, now=LATER).blocks)
    assert "*Reject:* &lt;!here&gt; v6 stays.  *Request changes:* the run fails with what must change." in said


def test_a_requester_is_named_as_far_as_somebody_vouches_for_them():
    """A name from a command line is only claimed, until that person has confirmed in Slack that the run is theirs."""
    claimed = pending()
    assert "started by alice, not confirmed" in single.origin(claimed)
    assert single.origin(replace(claimed, confirmed_requester=BOB)).endswith("started by bob")
    assert single.origin(replace(claimed, requester=BOB)).endswith("started by bob")


def test_the_message_says_how_the_answer_came_and_who_vouches_for_it():
    """Each way in has its words, a typed name is called unconfirmed, and the bot's key or no one vouches."""
    answered = decided(pending())
    assert vouched(pending()) == ""
    assert vouched(answered) == "answered with a button in Slack; no one vouches for this"
    assert vouched(replace(answered, vouched_by="0123")) == "answered with a button in Slack; verified by the bot's key"
    typed = replace(answered, decision=replace(answered.decision, where=Where.COMMAND_LINE, by=pending().requester))
    assert vouched(typed) == "answered from a command line under an unconfirmed name; no one vouches for this"
    said = {vouched(replace(answered, decision=replace(answered.decision, where=where))) for where in Where}
    assert len(said) == len(Where)
    assert "answered from a command line, confirmed in Slack; no one vouches for this" in said
