"""Every error that Slack documents for views and for connecting, given once to the bot's own parts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from slack_bolt import App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.listeners.forms import Opening, TriggerExpired
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.slack.client import replace_view
from hitl_bot.slack.connection import CantConnect, Connection
from metaflow_extensions.hitl.messages import views
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, meaning
from tests.contract.test_slack_codes import codes_of

VIEW = views.loading_view("Approve")


@pytest.fixture
def connection(sandbox: Sandbox, slack: WebClient) -> Iterator[Connection]:
    app = App(token=sandbox.bot_token, token_verification_enabled=False)
    made = Connection(app, slack, sandbox.app_token, sandbox.api_url)
    yield made
    made.drain()


def test_each_documented_error_of_opening_a_view(slack: WebClient, control: Control) -> None:
    """A click that is too old is asked for again; with every other error the defect is logged with a reference."""
    with ThreadPoolExecutor(1) as workers:
        for code in codes_of("views.open"):
            control.fault("views.open", error=code)
            opening = Opening(slack, {"trigger_id": "1.2.3"}, "Approve", workers)
            outdated = meaning("views.open", code) is Meaning.OUTDATED
            with pytest.raises(TriggerExpired if outdated else SlackApiError):
                opening.show(VIEW)
            control.clear_faults()


def test_each_documented_error_of_replacing_a_view(slack: WebClient, control: Control) -> None:
    """A view that the person closed is nothing to tell; every other error is raised."""
    for code in codes_of("views.update"):
        control.fault("views.update", error=code)
        if meaning("views.update", code) is Meaning.OUTDATED:
            replace_view(slack, "V1", VIEW)
        else:
            with pytest.raises(SlackApiError):
                replace_view(slack, "V1", VIEW)
        control.clear_faults()


def test_each_documented_error_of_connecting(connection: Connection, control: Control) -> None:
    """What an operator has to fix ends the bot with what to do; everything else is tried again."""
    for code in codes_of("apps.connections.open"):
        control.fault("apps.connections.open", error=code)
        client = connection._new_client()
        if meaning("apps.connections.open", code) is Meaning.OPERATOR:
            with pytest.raises(CantConnect):
                connection._connects(client)
        else:
            assert not connection._connects(client), code
            client.end()
        control.clear_faults()
