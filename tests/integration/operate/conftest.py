"""The real bot behind its own web server, at the sandbox, with a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from http.client import HTTPConnection
from threading import Event
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.delivery import signed_headers
from hitl_bot.settings import Mode, Settings
from hitl_bot.web.server import SLACK_PATH
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import EngineKind
from metaflow_extensions.hitl.engines.local import LocalEngine
from tests.fixtures.approvals import HandClock

CHANNEL = "#ml-approvals"


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sign(Protocol):
    """Returns the headers that make a body Slack's, ``off`` seconds from the bot's present."""

    def __call__(self, body: bytes, off: int = 0) -> dict[str, str]: ...


def call(
    url: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, method: str = ""
) -> Answer:
    """Send one request: a POST if it has a body, else a GET."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})


def samples(url: str) -> dict[str, float]:
    """Return what /metrics shows: values by name and labels, as they are written there."""
    lines = call(url, "/metrics").body.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A workspace whose app has the scopes and the command of its own manifest for HTTP."""
    with Sandbox(manifest=app_manifest(f"https://hitl.example.com{SLACK_PATH}")) as running:
        yield running


@pytest.fixture
def clock() -> HandClock:
    """The bot's clock, which stands still at the present: the sandbox signs with the real time."""
    return HandClock(datetime.now(timezone.utc).replace(microsecond=0))


@pytest.fixture
def sign(sandbox: Sandbox, clock: HandClock) -> Sign:
    """Sign bodies as Slack does."""

    def sign_body(body: bytes, off: int = 0) -> dict[str, str]:
        headers = signed_headers(sandbox.signing_secret, clock.now.timestamp() + off, body.decode())
        return {"Content-Type": "application/x-www-form-urlencoded", **headers}

    return sign_body


@pytest.fixture
def settings(sandbox: Sandbox) -> Settings:
    return Settings(
        mode=Mode.HTTP,
        slack_bot_token=sandbox.bot_token,
        slack_signing_secret=sandbox.signing_secret,
        slack_api_url=sandbox.api_url,
        slack_channel=CHANNEL,
        port=0,
    )


def build(settings: Settings, **parts: Any) -> Bot:
    """Build a bot that looks for no cluster, whatever this machine has."""
    return bootstrap(settings, engines={EngineKind.LOCAL: LocalEngine()}, **parts)


@pytest.fixture
def bot(settings: Settings, store: Store, clock: HandClock, control: Control) -> Iterator[Bot]:
    """A bot in HTTP mode, to which the sandbox delivers. Its sweeper stands still until the test lets it tick."""
    running = build(settings, store=store, clock=clock)
    running.web.start()
    running.transport.open(Event())
    control.deliver_to(running.web.url + SLACK_PATH)
    yield running
    assert running.stop(60), "something of the bot did not end"
