"""The switches: failing calls, lost sockets, double deliveries, rate limits."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from queue import Queue
from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver, NotAcknowledged

Json = dict[str, Any]
CHANNEL = "C0APPROVALS"


def outcomes(control: Control, method: str) -> list[str]:
    return [call["outcome"] for call in control.calls(method)]


def test_a_method_fails_as_often_as_told(slack: WebClient, control: Control) -> None:
    """fault(error, times=2) refuses two calls where it applies and lets the third pass; the log tells all."""
    control.fault("chat.postMessage", error="channel_not_found", times=2, where={"channel": CHANNEL})
    slack.chat_postMessage(channel="U0BOB", text="elsewhere")
    for _ in range(2):
        with pytest.raises(SlackApiError, match="channel_not_found"):
            slack.chat_postMessage(channel=CHANNEL, text="x")
    slack.chat_postMessage(channel=CHANNEL, text="x")
    assert outcomes(control, "chat.postMessage") == ["ok", "channel_not_found", "channel_not_found", "ok"]
    assert all("token" not in call["args"] for call in control.calls())


def test_a_server_error_is_no_json(slack: WebClient, control: Control) -> None:
    """fault(status=503) answers 503."""
    control.fault("chat.*", status=503)
    with pytest.raises(SlackApiError) as caught:
        slack.chat_postMessage(channel=CHANNEL, text="x")
    assert caught.value.response.status_code == 503


def test_a_lost_answer_has_done_its_work(slack: WebClient, control: Control, people: Driver) -> None:
    """lose_answer() posts the message and breaks the connection, so that a client that tries again posts it twice."""
    control.lose_answer("chat.postMessage")
    slack.chat_postMessage(channel=CHANNEL, text="x")  # slack_sdk tries once more after a connection error
    assert [one.text for one in people.as_("bob").messages("#ml-approvals")] == ["x", "x"]


def test_a_refused_connection_has_done_nothing(slack: WebClient, control: Control, people: Driver) -> None:
    """refuse() breaks the connection before the call is carried out."""
    control.refuse("chat.postMessage")
    slack.chat_postMessage(channel=CHANNEL, text="x")
    assert outcomes(control, "chat.postMessage") == ["refused", "ok"]
    assert len(people.as_("bob").messages("#ml-approvals")) == 1


def test_rates_are_counted_and_only_enforced_when_told(slack: WebClient, control: Control) -> None:
    """A burst over one message a second and channel is counted; enforced, it gets 429 with Retry-After."""
    control.set_clock(control.now())  # it stands still, however long the calls take
    for number in range(6):
        slack.chat_postMessage(channel=CHANNEL, text=str(number))
    [count] = control.exceeded_rates()
    assert (count["method"], count["channel"], count["calls"]) == ("chat.postMessage", CHANNEL, 6)
    assert count["peak_minute"] == 6
    control.enforce_rates()
    with pytest.raises(SlackApiError, match="ratelimited") as caught:
        slack.chat_postMessage(channel=CHANNEL, text="x")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"
    slack.chat_postMessage(channel="U0BOB", text="another channel has its own rate")
    control.advance(1)
    slack.chat_postMessage(channel=CHANNEL, text="a second later")


def test_a_dropped_socket_is_opened_again(bolt: App, connected: App, people: Driver, control: Control) -> None:
    """After an abrupt cut and after a polite refresh Bolt is back, and the next command arrives."""

    @bolt.command("/hitl")
    def hitl(ack: Ack) -> None:
        ack("yes?")

    assert control.drop_connections() == 1
    control.wait_for_connection()
    assert [one.plain for one in people.as_("bob").command("/hitl list")] == ["yes?"]
    assert control.refresh_connections() == 1
    control.wait_for_connection()
    assert [one.plain for one in people.as_("carol").command("/hitl list")] == ["yes?"]


def test_an_envelope_may_come_twice(bolt: App, connected: App, people: Driver, control: Control) -> None:
    """deliver_twice() sends the same envelope two times; redeliver() once more, marked as a retry."""
    seen: Queue[str] = Queue()

    @bolt.command("/hitl")
    def hitl(ack: Ack, command: Json) -> None:
        seen.put(command["trigger_id"])
        ack("yes?")

    control.deliver_twice()
    people.as_("bob").command("/hitl list")
    [envelope] = control.envelopes()
    control.redeliver(envelope["envelope_id"])
    assert len({seen.get(timeout=60) for _ in range(3)}) == 1


@pytest.mark.usefixtures("slacks_seconds")
def test_an_unheard_ack_is_told_to_the_person(bolt: App, connected: App, people: Driver, control: Control) -> None:
    """ignore_acks() lets the app do its work and the person see a failure."""
    seen: Queue[str] = Queue()

    @bolt.command("/hitl")
    def hitl(ack: Ack, command: Json) -> None:
        ack()
        seen.put(command["text"])
        control.advance(3)

    control.ignore_acks()
    with pytest.raises(NotAcknowledged, match="operation_timeout"):
        people.as_("bob").command("/hitl list")
    assert seen.get(timeout=60) == "list"


def test_no_app_is_told_to_the_person(people: Driver) -> None:
    """Without a connection a command fails with dispatch_failed."""
    with pytest.raises(NotAcknowledged, match="dispatch_failed"):
        people.as_("bob").command("/hitl list")


def test_a_forged_payload_is_delivered_as_it_is(bolt: App, connected: App, control: Control) -> None:
    """deliver() sends any payload: here a click on a button that no message has."""
    seen: Queue[Json] = Queue()

    @bolt.action("approve")
    def approve(ack: Ack, action: Json) -> None:
        ack()
        seen.put(action)

    action = {"type": "button", "block_id": "b", "action_id": "approve", "value": "forged"}
    payload = {"type": "block_actions", "user": {"id": "U0ERIN", "team_id": "T0OTHER"}, "actions": [action]}
    assert control.deliver("interactive", payload)["error"] == ""
    assert seen.get(timeout=60)["value"] == "forged"


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 403), ({}, 200)],
)
def test_the_sandbox_talks_to_this_machine_only(sandbox: Sandbox, headers: dict[str, str], status: int) -> None:
    """A page of another origin, and a name that merely resolves here, are refused."""
    connection = HTTPConnection(sandbox.url.removeprefix("http://"))
    with closing(connection):
        connection.request("GET", "/sandbox/state", headers=headers)
        assert connection.getresponse().status == status
