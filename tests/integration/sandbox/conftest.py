"""A real Bolt app on the sandbox, over Socket Mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slack_sdk import WebClient

    from hitl_bot.sandbox import Sandbox
    from hitl_bot.sandbox.control import Control


@pytest.fixture
def bolt(sandbox: Sandbox, slack: WebClient) -> App:
    """A Bolt app without listeners; it is connected by `connected`."""
    return App(client=slack, token=sandbox.bot_token, signing_secret=sandbox.signing_secret)


@pytest.fixture
def connected(bolt: App, sandbox: Sandbox, control: Control) -> Iterator[App]:
    """The same app, listening over Socket Mode."""
    handler = SocketModeHandler(bolt, sandbox.app_token, ping_interval=1)
    handler.connect()
    control.wait_for_connection()
    yield bolt
    # Its receiving thread looks up every three seconds unless the connection breaks.
    handler.client.auto_reconnect_enabled = False
    control.drop_connections()
    handler.close()
