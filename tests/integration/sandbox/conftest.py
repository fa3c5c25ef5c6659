"""A real Bolt app on the sandbox, over Socket Mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_bolt import App
from slack_sdk import WebClient

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from tests.fixtures.slack import listening


@pytest.fixture
def bolt(sandbox: Sandbox, slack: WebClient) -> App:
    """A Bolt app without listeners; it is connected by `connected`."""
    return App(client=slack, signing_secret=sandbox.signing_secret)


@pytest.fixture
def connected(bolt: App, control: Control) -> Iterator[App]:
    """The same app, listening over Socket Mode."""
    with listening(bolt, control):
        yield bolt
