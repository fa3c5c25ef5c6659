"""The real bot at the sandbox: Bolt, Socket Mode over real sockets, and a clock that the test moves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import count
from threading import Event
from typing import Any, Protocol

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from tests.fixtures.approvals import NOW, REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.slack import connect, held_to_the_reference

CHANNEL = "#ml-approvals"
SCHEMA = normalise({"deploy_target": "str", "replicas": {"type": "int", "min": 1, "max": 9}})


class Ask(Protocol):
    """Asks a question; ``task`` tells approvals apart, the rest are parts of the question."""

    def __call__(self, task: str = "42", **parts: Any) -> Approval: ...


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A workspace in which the app has the scopes and the command of its own manifest, and no more."""
    with held_to_the_reference(Sandbox(manifest=app_manifest())) as running:
        yield running


@pytest.fixture
def clock(control: Control) -> HandClock:
    """The bot's clock; the sandbox's starts at the same instant."""
    control.set_clock(NOW.timestamp())
    return HandClock()


@pytest.fixture
def settings(sandbox: Sandbox) -> Settings:
    return Settings(
        root="memory",
        slack_bot_token=sandbox.bot_token,
        slack_app_token=sandbox.app_token,
        slack_api_url=sandbox.api_url,
        slack_channel=CHANNEL,
        port=0,
    )


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


@pytest.fixture
def bot(settings: Settings, store: Store, clock: HandClock) -> Iterator[Bot]:
    """A connected bot. Its sweeper stands still until the test lets it tick."""
    # By a clock on which calls are a minute apart: no test waits for Slack's pace unless it is about that.
    pace = Pace(count(step=60).__next__)
    running = bootstrap(settings, store=store, clock=clock, pace=pace, monotonic=count(step=60).__next__)
    connect(running)
    yield running
    assert running.stop(60), "something of the bot did not end"


def elsewhere(bot: Bot, **parts: Any) -> UseCases:
    """Return the use cases of a process beside the bot, without notifiers; ``parts`` of its posting are otherwise."""
    cases = copy.copy(bot.cases)
    cases.posting = copy.copy(cases.posting)
    for name, value in {"notifiers": {}, **parts}.items():
        setattr(cases.posting, name, value)
    return cases


@pytest.fixture
def ask(bot: Bot) -> Ask:
    def ask_by_slack(task: str = "42", **parts: Any) -> Approval:
        asked = question(**{"notifiers": ("slack",), **parts})
        return bot.cases.ask(pathspec(task=task), asked, gate(), REQUESTER).approval

    return ask_by_slack


@pytest.fixture
def noted(interventions: list[Callable[[str, str], None]]) -> Callable[[str], Event]:
    """Return an event that is set once a marker that begins so is written."""

    def until(beginning: str) -> Event:
        event = Event()

        def look(asked: str, key: str) -> None:
            if asked == "mark" and key.startswith(beginning):
                event.set()

        interventions.append(look)
        return event

    return until


@pytest.fixture
def alice(people: Driver) -> Person:
    return people.as_("alice")


@pytest.fixture
def bob(people: Driver) -> Person:
    return people.as_("bob")


@pytest.fixture
def carol(people: Driver) -> Person:
    return people.as_("carol")
