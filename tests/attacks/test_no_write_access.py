"""What people without write access can try: a name that is typed, and clicks and commands in Slack."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Origin, Person, State, Verdict
from metaflow_extensions.hitl.messages import controls
from tests.attacks.conftest import CHANNEL, STRICT, Bucket
from tests.attacks.test_before_the_bot_looks import BEFORE
from tests.fixtures.approvals import REQUESTER, gate, pathspec, question
from tests.fixtures.attempts import promised

YES = Answer(verdict=Verdict.APPROVE)


def type_names(bucket: Bucket, asked: Approval, *names: str) -> None:
    """Approve on a command line, under one name after the other."""
    for number, name in enumerate(names):
        who = Person(origin=Origin.CLAIM, id=name, name=name)
        try:
            bucket.run.answer_from_command_line(asked.id, YES, who=who, nonce=f"{number:032x}")
        except HitlError:
            continue
    bucket.sweep()


@pytest.mark.way("types the name of a group or of a person")
@pytest.mark.parametrize("name", ["@ml-leads", "U0ALICE", "alice@example.com"])
def test_a_typed_name(bucket: Bucket, name: str):
    """A name that was typed equals no group, no Slack id and no address."""
    asked = bucket.ask(question(approvers=("@ml-leads", "U0ALICE", "alice@example.com")))
    type_names(bucket, asked, name)
    assert not bucket.opens()


@pytest.mark.way("types two names where two people must agree")
def test_two_typed_names(bucket: Bucket):
    """Two names from one keyboard are not two people."""
    asked = bucket.ask(question(quorum=2))
    type_names(bucket, asked, "alice", "bob", "@ml-leads")
    assert not bucket.opens()


@pytest.mark.way("answers a question of a channel that they are not in")
def test_a_member_of_another_channel(bucket: Bucket, sandbox: Sandbox):
    """Somebody who guesses the id of a question in a private channel can't answer it."""
    Control(sandbox.url).put_channel(id="C0SECRET", name="secret", kind="private", members=["U0ALICE", "U0BOT"])
    asked = replace(question("Deploy the unannounced model?"), notifiers=("slack",), channel="C0SECRET")
    approval = bucket.run.ask(pathspec(), asked, gate(), REQUESTER).approval
    bucket.sweep()
    Driver(sandbox.url).as_("bob").command(f"/hitl approve {approval.id}")
    bucket.sweep()
    assert not bucket.opens()


@pytest.mark.way("answers as a guest")
def test_a_guest(bucket: Bucket, sandbox: Sandbox):
    """A guest of the channel, who is even named, can't answer."""
    asked = bucket.ask(question(approvers=("U0DAVE",)))
    Driver(sandbox.url).as_("dave").command(f"/hitl approve {asked.id}")
    bucket.sweep()
    assert not bucket.opens()


@pytest.mark.way("answers after losing the group, the channel or the membership that counted")
@pytest.mark.parametrize("lost", ["group", "channel", "membership"])
def test_somebody_who_could_answer_a_moment_ago(bucket: Bucket, sandbox: Sandbox, lost: str):
    """What Slack said of somebody before the click counts for nothing: they had answered just now, and are refused."""
    control, approvers = Control(sandbox.url), () if lost == "channel" else ("@ml-leads",)
    before, asked = (bucket.ask(question(approvers=approvers), task=task) for task in ("1", "42"))
    bob = Driver(sandbox.url).as_("bob")
    bob.command(f"/hitl approve {before.id}")
    assert bucket.newest(before)[1].state is State.APPROVED
    if lost == "group":
        control.put_group(id="S0MLLEADS", members=["U0CAROL"])
    elif lost == "channel":
        control.put_channel(id="C0APPROVALS", members=["U0CAROL", "U0BOT"])
    else:
        control.put_person(id="U0BOB", kind="guest")
    bob.command(f"/hitl approve {asked.id}")
    bucket.sweep()
    assert not bucket.opens()


@pytest.mark.way("clicks in a copy of the message, or on a message that asks something else")
@pytest.mark.parametrize("where", ["an attachment", "another message"])
def test_a_click_somewhere_else(bucket: Bucket, sandbox: Sandbox, where: str):
    """A button decides on the bot's own message about its approval, wherever else somebody has it."""
    asked, other = bucket.ask(), bucket.ask(question("Deploy to the playground?"), task="1")
    bob, control = Driver(sandbox.url).as_("bob"), Control(sandbox.url)
    shown = asked if where == "an attachment" else other
    message = bob.wait_for_message(CHANNEL, lambda one: shown.id in one.plain)
    bob.click(message, "Copy command")
    bob.wait_for_ephemeral(CHANNEL)
    click = [one for one in control.envelopes() if one["type"] == "interactive"][-1]["payload"]
    click["actions"][0] |= {"action_id": controls.APPROVE, "type": "button", "value": asked.id}
    if where == "an attachment":
        click["container"] |= {"type": "message_attachment", "attachment_id": 1}
    control.deliver("interactive", click)
    bucket.sweep()
    assert not bucket.opens()


@pytest.mark.way("has an address or a name that only looks like an approver's")
@pytest.mark.parametrize(
    "profile", [{"email": "\u212aarl@example.com"}, {"name": "karl@example.com"}, {"name": "ml-leads"}]
)
def test_a_likeness(bucket: Bucket, sandbox: Sandbox, profile: dict[str, str]):
    """A letter that folds into another one, a name that is an address, or one that is a group's handle, is nobody's."""
    asked = bucket.ask(question(approvers=("karl@example.com", "@ml-leads")))
    Control(sandbox.url).put_person(**{"id": "U0KARL", "name": "charlotte", "real_name": "Charlotte", **profile})
    Control(sandbox.url).put_channel(id="C0APPROVALS", members=["U0ALICE", "U0BOB", "U0KARL", "U0BOT"])
    Driver(sandbox.url).as_(profile.get("name", "charlotte")).command(f"/hitl approve {asked.id}")
    bucket.sweep()
    assert not bucket.opens()


class TestOwnRun:
    """Nobody approves their own run, whoever they say they are."""

    @pytest.fixture
    def policy(self) -> str:
        return STRICT

    @pytest.mark.way("approves their own run, which they started under somebody else's name")
    @pytest.mark.parametrize("claimed", ["U0CAROL", "rita"])
    def test_a_run_under_another_name(self, bucket: Bucket, sandbox: Sandbox, claimed: str):
        """Bob's run says that it is carol's: until its person has confirmed it, the run bars everybody."""
        somebody = Person(origin=Origin.CLAIM, id=claimed, name=claimed)
        asked = replace(question(), notifiers=("slack",), channel=CHANNEL)
        approval = bucket.run.ask(pathspec(), asked, gate(), somebody).approval
        bucket.sweep()
        for who in ("bob", "carol"):
            Driver(sandbox.url).as_(who).command(f"/hitl approve {approval.id}")
        bucket.sweep()
        assert not bucket.opens()


# What is over before it matters where the gate waits, and what only one kind of gate has.
ON_ONE_ENGINE = {
    "Slack, and the bot's words there": {
        "adds somebody else's gate to a batch by a marker",
        "answers a question of a channel that they are not in",
        "answers as a guest",
        "answers after losing the group, the channel or the membership that counted",
        "clicks in a copy of the message, or on a message that asks something else",
        "has an address or a name that only looks like an approver's",
        "plants a picture of how the metrics developed",
    },
    "the bot alone": {
        "plants an answer to shards that have yet to ask",
        "copies an answer in advance to another foreach, or over one that was taken back",
        "plants what was decided on a day that is over",
        "plants an event about a decision that no bot wrote",
        "has an old event sent again",
        "closes somebody's obligation by a forged version",
        "writes objects that no release writes",
        "asks with a pattern that takes forever to match",
        "sends forged requests to the request URL",
        "keeps connections to the request URL busy",
    },
    "commands on one machine": {
        "runs the step by hand, or with `spin`",
        "deploys with `airflow` or `step-functions`",
    },
}
ON_ARGO = re.compile(r"^ *(pytestmark = |@)pytest\.mark\.on_argo", re.MULTILINE)
ONLY_ON_ARGO = {
    "names another namespace or workflow in the question",
    "resumes the gate in Argo before anyone has answered",
    "has a workflow started that a record merely names",
}


def test_every_way_of_the_page_is_tried():
    """docs/security.md lists what the tests try, and nothing else: in each mode, and on both engines if it matters."""
    tried: dict[str, set[str]] = {"local": set(), "Argo": set()}
    for file in Path(__file__).parents[1].rglob("test_*.py"):
        if "mark.way" not in (text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.mark.way", "way"}:
                way = eval(ast.unparse(node.args[0]), {"BEFORE": BEFORE})  # noqa: S307 - our own text
                tried["Argo" if ON_ARGO.search(text) else "local"].add(way)
    everything = set(promised())
    assert tried["local"] | tried["Argo"] == everything
    assert everything - tried["Argo"] == set().union(*ON_ONE_ENGINE.values())
    assert everything - tried["local"] == ONLY_ON_ARGO
