"""Envelopes between the sandbox and a real Bolt app over Socket Mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest
from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Driver, Errors, NotAcknowledged, NotConfirmed, Updated
from tests.fixtures.slack import listening

CHANNEL = "C0APPROVALS"
Json = dict[str, Any]


def button(label: str, action_id: str, **more: Any) -> Json:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": label},
        "action_id": action_id,
        "value": "7",
        **more,
    }


def question(*buttons: Json) -> Json:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "*Deploy fraud v7?*"}}
    return {
        "text": "Approval needed",
        "blocks": [section, {"type": "actions", "block_id": "answer", "elements": buttons}],
    }


FORM = {
    "type": "modal",
    "callback_id": "form",
    "title": {"type": "plain_text", "text": "Approve gate"},
    "submit": {"type": "plain_text", "text": "Approve"},
    "private_metadata": "gate-7",
    "blocks": [
        {
            "type": "input",
            "block_id": "target",
            "label": {"type": "plain_text", "text": "Deploy target"},
            "element": {"type": "plain_text_input", "action_id": "entry"},
        }
    ],
}


def test_a_click_reaches_its_listener_with_slacks_payload(
    bolt: App, connected: App, slack: WebClient, people: Driver
) -> None:
    """A clicked button arrives as block_actions with who, where, what, and a response_url that rewrites the message."""
    seen: list[Json] = []

    @bolt.action("approve")
    def approve(ack: Ack, body: Json, respond: Respond) -> None:
        ack()
        seen.append(body)
        respond(text="Approved", replace_original=True)

    slack.chat_postMessage(channel=CHANNEL, **question(button("Approve", "approve")))
    bob = people.as_("bob")
    message = bob.wait_for_message("#ml-approvals")
    assert message.buttons == ["Approve"]
    assert bob.click(message, "Approve") is None
    assert message.refresh().plain == "Approved"
    [body] = seen
    assert body["user"] == {"id": "U0BOB", "username": "bob", "name": "bob", "team_id": "T0SANDBOX"}
    assert body["container"] == {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": CHANNEL,
        "is_ephemeral": False,
    }
    assert (body["actions"][0]["block_id"], body["actions"][0]["value"]) == ("answer", "7")
    assert body["message"]["blocks"][1]["elements"][0]["text"]["text"] == "Approve"


def test_a_form_is_opened_filled_refused_and_taken(bolt: App, connected: App, slack: WebClient, people: Driver) -> None:
    """A view opens with the click's trigger, shows the app's error under its field, then closes."""
    submitted: list[Json] = []

    @bolt.action("approve")
    def approve(ack: Ack, body: Json, client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @bolt.view("form")
    def form(ack: Ack, view: Json) -> None:
        submitted.append(view)
        entry = view["state"]["values"]["target"]["entry"]["value"]
        if entry == "moon":
            ack(response_action="errors", errors={"target": "Staging or production."})
        else:
            ack()

    slack.chat_postMessage(channel=CHANNEL, **question(button("Approve…", "approve")))
    bob = people.as_("bob")
    view = bob.open(bob.wait_for_message("#ml-approvals"), "Approve…")
    assert (view.title, view.submit_label) == ("Approve gate", "Approve")
    assert view.submit() == Errors({"Deploy target": "Please complete this required field."}, from_app=False)
    assert submitted == []
    assert view.fill({"Deploy target": "moon"}).submit() == Errors(
        {"Deploy target": "Staging or production."}, from_app=True
    )
    assert view.fill({"target": "staging"}).submit() == Closed()
    assert bob.view() is None
    assert submitted[1]["state"]["values"] == {"target": {"entry": {"type": "plain_text_input", "value": "staging"}}}
    assert submitted[1]["private_metadata"] == "gate-7"


def test_a_submission_may_turn_the_form_into_something_else(bolt: App, connected: App, people: Driver) -> None:
    """response_action update shows another view in its place."""

    @bolt.command("/hitl")
    def hitl(ack: Ack, body: Json, client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @bolt.view("form")
    def form(ack: Ack) -> None:
        note = {"type": "section", "text": {"type": "mrkdwn", "text": "Rejected by <@U0CAROL>"}}
        ack(
            response_action="update",
            view={"type": "modal", "title": {"type": "plain_text", "text": "Too late"}, "blocks": [note]},
        )

    bob = people.as_("bob")
    assert bob.command("/hitl approve 7") == []
    view = bob.wait_for_view()
    result = view.fill({"target": "staging"}).submit()
    assert isinstance(result, Updated)
    assert result.view.plain == "Too late\nRejected by <@U0CAROL>"


def test_a_button_that_asks_first_needs_an_answer(bolt: App, connected: App, slack: WebClient, people: Driver) -> None:
    """A confirm dialog must be answered by its own labels; its deny sends nothing."""
    clicks: list[Json] = []

    @bolt.action("approve")
    def approve(ack: Ack, body: Json) -> None:
        clicks.append(body)
        ack()

    plain = {"type": "plain_text"}
    confirm = {
        "title": {**plain, "text": "Approve?"},
        "text": {**plain, "text": "The run continues."},
        "confirm": {**plain, "text": "Approve"},
        "deny": {**plain, "text": "Cancel"},
    }
    slack.chat_postMessage(channel=CHANNEL, **question(button("Approve", "approve", confirm=confirm)))
    bob = people.as_("bob")
    message = bob.wait_for_message("#ml-approvals")
    with pytest.raises(NotConfirmed, match="Approve"):
        bob.click(message, "Approve")
    assert bob.click(message, "Approve", confirm="Cancel") is None
    assert clicks == []
    bob.click(message, "Approve", confirm="Approve", timeout=0)
    assert len(clicks) == 1


def test_a_command_is_answered_to_its_asker_alone(bolt: App, connected: App, people: Driver) -> None:
    """Text of an ack and of respond() are both visible to the asker and to nobody else."""

    @bolt.command("/hitl")
    def hitl(ack: Ack, command: Json) -> None:
        ack(f"{command['user_name']} asked for {command['text']}")

    bob = people.as_("bob")
    [answer] = bob.command("/hitl list")
    assert (answer.plain, answer.is_ephemeral) == ("bob asked for list", True)
    assert people.as_("carol").messages("#ml-approvals") == []


@pytest.mark.usefixtures("slacks_seconds")
def test_a_person_is_told_when_nobody_acknowledges(
    connected: App, slack: WebClient, people: Driver, control: Control
) -> None:
    """A button without a listener is never acknowledged: after three seconds of the clock the person is told."""
    slack.chat_postMessage(channel=CHANNEL, **question(button("Approve", "approve")))
    bob = people.as_("bob")
    message = bob.wait_for_message("#ml-approvals")
    control.set_clock(control.now())  # it stands still, but for the test
    with ThreadPoolExecutor(1) as pool:
        clicking = pool.submit(bob.click, message, "Approve")
        control.wait_until(control.envelopes)
        control.advance(2.9)
        assert not clicking.done()
        control.advance(0.2)
        with pytest.raises(NotAcknowledged, match="operation_timeout"):
            clicking.result()


@pytest.mark.usefixtures("slacks_seconds")
def test_an_event_that_nobody_acknowledges_comes_three_times_more(
    bolt: App, connected: App, people: Driver, control: Control
) -> None:
    """It comes at once, after a minute and after five, with the same envelope_id and the retry's number and reason."""
    retries: Queue[Any] = Queue()

    @bolt.event("app_home_opened")
    def opened(request: Any) -> None:
        headers = request.headers
        retries.put((headers.get("x-slack-retry-num", [None])[0], headers.get("x-slack-retry-reason", [None])[0]))

    control.ignore_acks(times=4)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(control.post, "acts/home", {"user": "bob"})
        heard = []
        for attempt, delay in enumerate((0, 0, 60, 300), start=1):
            control.advance(delay)
            heard.append(retries.get(timeout=60))
            control.advance(3)
            control.wait_until(lambda n=attempt: _unheard(control) == n)
    assert opening.result()["error"] == "operation_timeout"
    assert heard == [("0", ""), ("1", "timeout"), ("2", "timeout"), ("3", "timeout")]
    assert [envelope["attempts"] for envelope in control.envelopes()] == [4]


def _unheard(control: Control) -> int:
    return sum(change["kind"] == "not_acknowledged" for change in control.get("changes", after=0)["changes"])


def test_connections_take_turns(bolt: App, connected: App, slack: WebClient, people: Driver, control: Control) -> None:
    """With two apps connected, each envelope goes to exactly one of them."""
    heard: list[str] = []
    other = App(client=slack, signing_secret="x")

    @bolt.command("/hitl")
    def first(ack: Ack) -> None:
        heard.append("first")
        ack("yes?")

    @other.command("/hitl")
    def second(ack: Ack) -> None:
        heard.append("second")
        ack("yes?")

    with listening(other, control, connections=2):
        for _ in range(4):
            people.as_("bob").command("/hitl list")
    assert sorted(heard) == ["first", "first", "second", "second"]
