"""The main job with nothing but real parts: a run, `hitl-bot serve`, an S3 server, a Slack."""

from __future__ import annotations

import signal
import sys

import pytest

from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import TrailEvent
from tests.fixtures.flows import PATIENCE, Process
from tests.fixtures.slack import form_behind

CHANNEL = "#ml-approvals"
STEPS = """
@step
def start(self):
    self.accuracy = 0.94
    self.next(self.deploy)

@hitl(message="Deploy? Accuracy {self.accuracy:.1%}", input_schema={"target": "str"})
@step
def deploy(self):
    print("RUNS", self.hitl_input, current.hitl.decided_by)
    self.next(self.end)

@step
def end(self):
    pass
"""


@pytest.fixture
def sandbox():
    with Sandbox(manifest=app_manifest()) as running:
        yield running


@pytest.fixture
def environment(sandbox, s3_versitygw):
    return {
        **s3_versitygw.environment(),
        "METAFLOW_HITL_SLACK_BOT_TOKEN": sandbox.bot_token,
        "METAFLOW_HITL_SLACK_API_URL": sandbox.api_url,
        "METAFLOW_HITL_SLACK_CHANNEL": CHANNEL,
        "METAFLOW_HITL_SLACK_APP_TOKEN": sandbox.app_token,
        "METAFLOW_HITL_PORT": "0",
    }


@pytest.fixture
def gated(flow, environment):
    return flow(STEPS, **environment)


@pytest.fixture
def bot(gated, sandbox):
    """`hitl-bot serve` as a process of its own, connected; ended with SIGTERM, after which it has 10 s."""
    process = Process([sys.executable, "-m", "hitl_bot", "serve"], gated.folder, gated.environment)
    gated.processes.append(process)  # ended with the others if it does not end by itself
    process.wait_for_line("connected")
    yield process
    process.process.send_signal(signal.SIGTERM)
    assert process.wait() == 0, process.output


def test_a_click_in_slack_lets_the_run_go_on(gated, bot, sandbox, s3_versitygw):
    """The run asks and says where, the answer comes through bot and S3, and the message loses its buttons."""
    bob = Driver(sandbox.url).as_("bob")
    run = gated.start("run")
    question = bob.wait_for_message(CHANNEL, lambda message: "Accuracy 94.0%" in message.plain, timeout=PATIENCE)
    assert CHANNEL in run.wait_for_line("in Slack")
    assert {"Approve…", "Reject…"} <= set(question.buttons)
    form_behind(bob, question, "Approve…").fill({"Target": "staging"}).submit()
    assert run.wait() == 0, run.output
    assert run.wait_for_line("RUNS").endswith("RUNS {'target': 'staging'} bob")
    answered = bob.wait_for_update(question, lambda message: "Approved" in message.plain and not message.buttons)
    assert "staging" in answered.plain
    ledger = Ledger(s3_versitygw.store())
    approval_id = next(iter(key.split("/")[1] for key in ledger.store.list("approvals/")))
    bob.control.wait_until(lambda: not list(ledger.open_ids()), what="the end of what the bot does after the message")
    events = [entry.version.event for entry in ledger.verify(approval_id)]
    assert events == [TrailEvent.REQUESTED, TrailEvent.POSTED, TrailEvent.DECIDED, TrailEvent.SETTLED]


def test_what_slack_missed_is_posted_later(gated, bot, sandbox):
    """While Slack is away the record stands and the run waits; the bot posts the question when Slack is back."""
    people = Driver(sandbox.url)
    people.control.fault("chat.postMessage", status=503, times=50)
    run = gated.start("run")
    run.wait_for_line("could not be posted")
    people.control.clear_faults()
    bob = people.as_("bob")
    question = bob.wait_for_message(CHANNEL, lambda message: "Accuracy" in message.plain, timeout=PATIENCE)
    form_behind(bob, question, "Reject…").fill({"Reason": "drift too high"}).submit()
    assert run.wait() != 0
    assert 'was rejected by bob: "drift too high"' in run.output
    assert "RUNS" not in run.output
    assert len([one for one in bob.messages(CHANNEL) if "Accuracy" in one.plain]) == 1
