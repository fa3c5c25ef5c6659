"""Signed HTTP from the sandbox to a real Bolt app behind a WSGI server."""

from __future__ import annotations

import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from slack_bolt import Ack, App
from slack_bolt.adapter.wsgi import SlackRequestHandler

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.delivery import signed_headers
from hitl_bot.sandbox.driver import Driver, NotAcknowledged

Json = dict[str, Any]


class Quiet(WSGIRequestHandler):
    """A server that writes no log."""

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def request_url(bolt: App, control: Control) -> Iterator[str]:
    """The address of the app, to which the sandbox delivers from now on."""
    with make_server("127.0.0.1", 0, SlackRequestHandler(bolt), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/slack/events"
        control.deliver_to(address)
        yield address
        server.shutdown()
        thread.join()


def test_a_command_arrives_as_a_signed_form(bolt: App, request_url: str, people: Driver) -> None:
    """Bolt's own check takes the signature, and the answer in the body of the 200 is shown to the asker."""

    @bolt.command("/hitl")
    def hitl(ack: Ack, command: Json) -> None:
        ack(f"{command['user_id']} asked for {command['text']}")

    [answer] = people.as_("bob").command("/hitl list")
    assert answer.plain == "U0BOB asked for list"


@pytest.mark.parametrize(("secret", "status"), [("sandbox-signing-secret", 200), ("another-secret", 401)])
def test_only_the_right_secret_is_taken(
    bolt: App, request_url: str, sandbox: Sandbox, secret: str, status: int
) -> None:
    """A request signed with the secret is Slack's; with another one it is refused."""

    @bolt.command("/hitl")
    def hitl(ack: Ack) -> None:
        ack()

    body = urllib.parse.urlencode({"command": "/hitl", "text": "list", "user_id": "U0BOB", "team_id": "T0SANDBOX"})
    headers = {"Content-Type": "application/x-www-form-urlencoded", **signed_headers(secret, time.time(), body)}
    where = urllib.parse.urlsplit(request_url)
    with closing(HTTPConnection(where.netloc)) as connection:
        connection.request("POST", where.path, body, headers)
        assert connection.getresponse().status == status


def test_an_event_is_posted_again_with_its_number(
    bolt: App, request_url: str, people: Driver, control: Control
) -> None:
    """A request URL that answers no 200 gets the event again, with X-Slack-Retry-Num and -Reason."""
    seen: list[tuple[Any, Any]] = []

    @bolt.middleware
    def count(request: Any, next: Any) -> Any:  # noqa: A002 - Bolt passes it by this name
        number, reason = (request.headers.get(f"x-slack-retry-{name}", [None])[0] for name in ("num", "reason"))
        seen.append((number, reason))
        if len(seen) < 2:
            raise RuntimeError("the first attempt fails")
        return next()

    @bolt.event("app_home_opened")
    def opened() -> None:
        """Nothing to do: Bolt acknowledges events."""

    assert control.post("acts/home", {"user": "bob"})["error"] == "http_error"
    control.wait_until(lambda: control.envelopes()[0]["acknowledged"])
    assert seen == [(None, None), ("1", "http_error")]


def test_nobody_there(people: Driver, control: Control) -> None:
    """A request URL that nobody serves is told to the person as a failure."""
    control.deliver_to("http://127.0.0.1:9/slack/events")
    with pytest.raises(NotAcknowledged, match="connection_failed"):
        people.as_("bob").command("/hitl list")
