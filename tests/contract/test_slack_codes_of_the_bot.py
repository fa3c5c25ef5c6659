"""Every error that Slack documents for what the bot alone calls, given once to the part of it that calls."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from slack_bolt import App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.doctor.checks import Health, check_slack
from hitl_bot.doctor.prove.command import check_blocks
from hitl_bot.listeners.forms import Opening, TriggerExpired
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from hitl_bot.settings import Settings
from hitl_bot.slack.client import replace_view
from hitl_bot.slack.connection import CantConnect, Connection
from hitl_bot.slack.people import SlackPeople
from hitl_bot.surfaces.home import HomeTabs
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import Answer, Verdict, Where
from metaflow_extensions.hitl.messages import views
from metaflow_extensions.hitl.notifiers.slack.codes import METHODS, Meaning, meaning
from tests.contract.test_slack_codes import codes_of
from tests.fixtures.approvals import BOB, NOW, Bench, HandClock, pathspec

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


def test_each_documented_error_of_publishing_a_home_tab(
    slack: WebClient, control: Control, people: Driver, clock: HandClock
) -> None:
    """None of them is final: the tab shows what the records say a little later."""
    bench = Bench(clock=clock)
    with ThreadPoolExecutor(1) as workers:
        tabs = HomeTabs(bench.cases, Queries(bench.ledger, clock), SlackPeople(slack, clock), slack, workers)
        for number, code in enumerate(codes_of("views.publish")):
            asked = bench.ask(pathspec(task=str(number)), approvers=("U0BOB",))
            control.fault("views.publish", error=code)
            tabs.open("U0BOB")
            clock.forward(60)
            tabs.tick()
            workers.submit(lambda: None).result()  # what the tick began has ended
            control.clear_faults()
            home = people.as_("bob").home_now()
            assert home is not None, code
            assert asked.id in home.plain, code
            bench.cases.decide(asked.id, Answer(verdict=Verdict.APPROVE), who=BOB, where=Where.BUTTON)


def test_each_documented_error_of_checking_the_channel(sandbox: Sandbox, control: Control) -> None:
    """The doctor says that there is no such channel where Slack says so, and otherwise what Slack answered."""
    settings = Settings(slack_bot_token=sandbox.bot_token, slack_api_url=sandbox.api_url, slack_channel="C0APPROVALS")
    for code in codes_of("conversations.info"):
        control.fault("conversations.info", error=code)
        (found,) = [one for one in check_slack(settings) if one.check == "channel"]
        control.clear_faults()
        assert found.health is Health.BAD
        absent = meaning("conversations.info", code) is Meaning.ABSENT
        assert ("the bot can't see a channel" if absent else code) in found.detail


def test_each_documented_error_of_checking_blocks(slack: WebClient, control: Control) -> None:
    """Only what says that the blocks are wrong is a defect; with the rest nothing was checked, and that is said."""
    for code in codes_of("blocks.validate"):
        control.fault("blocks.validate", error=code)
        found = next(check_blocks(slack, NOW))
        control.clear_faults()
        defect = meaning("blocks.validate", code) is Meaning.DEFECT
        assert found.health is (Health.BAD if defect else Health.UNKNOWN), code


def test_every_method_in_use_is_given_its_errors() -> None:
    """These files name each method that the project calls: one that is new has to be given its errors, too."""
    folder = Path(__file__).parent
    text = "".join((folder / name).read_text() for name in ("test_slack_codes.py", "test_slack_people_codes.py"))
    text += Path(__file__).read_text()
    assert [method for method in sorted(METHODS) if f'"{method}"' not in text] == []
