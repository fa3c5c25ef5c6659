"""Who can decide: every kind of person, by every way in, under every kind of policy. One table, no cell left out."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.manifest import app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Driver
from hitl_bot.settings import Settings
from hitl_bot.surfaces.sight import asked_of
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    Origin,
    Person as Somebody,
    State,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.slack import ClaimedPeople
from metaflow_extensions.hitl.stores import MemoryStore
from tests.fixtures.approvals import NOW, HandClock, any_input, gate, pathspec, question
from tests.fixtures.slack import connect
from tests.integration.bot.conftest import CHANNEL, SCHEMA

# Everybody is named by the step, so that what keeps them from deciding is never that they are not; except who is not.
APPROVERS = (
    "@ml-leads",
    "alice@example.com",
    "U0DAVE",
    "U0ERIN",
    "U0FRANK",
    "U0BOT",
    "grace@example.com",
)
KNOWN = "people: {rita: alice@example.com}\n"

POLICIES = {
    "none": "rules: []",
    "deciders": "rules: [{name: r, deciders: '@ml-leads'}]",
    "four eyes": KNOWN + "rules: [{name: r, self_approval: refused}]",
    "four eyes, the run's word counts": KNOWN
    + "rules: [{name: r, self_approval: refused, claimed_requester: allowed}]",
    "four eyes, requester unknown": "rules: [{name: r, self_approval: refused}]",
    "in Slack": "rules: [{name: r, command_line: refused}]",
    "in person": "rules: [{name: r, delegation: refused}]",
    "outsiders": "rules: [{name: r, outsiders: [dave@agency.example, U0ERIN, U0FRANK, U0BOT]}]",
    "two": "rules: [{name: r, quorum: 2}]",
}
# Slack's id, and what the same person is called on a machine.
KINDS = {
    "approver": ("U0BOB", "sam"),
    "requester": ("U0ALICE", "rita"),
    "delegate of an approver": ("U0HEIDI", "heidi"),
    "member whom nobody named": ("U0GRACE", "grace"),  # her address is named, and hidden
    "guest": ("U0DAVE", "dave"),
    "person of another workspace": ("U0ERIN", "erin"),
    "deactivated": ("U0FRANK", "frank"),
    "app": ("U0BOT", "hitl"),
}
IN_SLACK = ("button", "form", "slash command")
WAYS = (*IN_SLACK, "command line")

DECIDES, VOTES = "decides", "votes"
ASK = "can. Ask one of them"
ONLY_LEADS = "accepts answers only from @ml-leads"
OWN_RUN = "the person who started the run may not approve it"
UNKNOWN = "rita isn't linked to a Slack user"
CONFIRM = "alice has to confirm it first"
FOR_OTHERS = "does not allow anybody to decide for others"
GUEST, STRANGER = "guests of the workspace can't decide", "people from other workspaces can't decide"
GONE, APP = "the account is deactivated", "apps can't decide"
TYPED, IN_SLACK_ONLY = "a command line can't prove who you are", "accepts answers only in Slack"

# What becomes of an approval that one of them gives; a text is the refusal. The columns are the policies, in order.
TABLE = {
    "approver": (DECIDES, DECIDES, CONFIRM, DECIDES, UNKNOWN, DECIDES, DECIDES, DECIDES, VOTES),
    "requester": (DECIDES, ONLY_LEADS, OWN_RUN, OWN_RUN, UNKNOWN, DECIDES, DECIDES, DECIDES, VOTES),
    "delegate of an approver": (DECIDES, DECIDES, CONFIRM, DECIDES, UNKNOWN, DECIDES, FOR_OTHERS, DECIDES, VOTES),
    "member whom nobody named": (ASK,) * 9,
    "guest": (GUEST, GUEST, GUEST, GUEST, GUEST, GUEST, GUEST, DECIDES, GUEST),
    "person of another workspace": (
        STRANGER,
        STRANGER,
        STRANGER,
        STRANGER,
        STRANGER,
        STRANGER,
        STRANGER,
        DECIDES,
        STRANGER,
    ),
    "deactivated": (GONE,) * 9,
    "app": (APP,) * 9,
}
# The step names its approvers, so a typed name decides nothing, whoever types it.
ON_COMMAND_LINE = dict.fromkeys(KINDS, (*[TYPED] * 5, IN_SLACK_ONLY, *[TYPED] * 3))
CANT_ACT = ("deactivated", "app")  # Slack sends nothing of theirs; what claims to be is forged


@dataclass
class World:
    """A bot with a policy file, its Slack, and a machine where the file is not."""

    bot: Bot
    people: Driver
    file: Path
    machine: UseCases
    numbers: Iterator[int]

    @property
    def control(self) -> Control:
        return self.people.control

    def rule_by(self, policy: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(POLICIES[policy])
        os.replace(new, self.file)  # noqa: PTH105 - as Kubernetes does it

    def ask(self, **parts: Any) -> Approval:
        asked = question(approvers=APPROVERS, notifiers=("slack",), **parts)
        rita = Somebody(id="rita", name="rita", origin=Origin.CLAIM)
        return self.bot.cases.ask(pathspec(task=str(next(self.numbers))), asked, gate(), rita).approval

    def approve(self, kind: str, way: str) -> tuple[Approval, str]:
        """Let somebody approve a new question; return it as it stands then, and what they were told."""
        user, login = KINDS[kind]
        asked = self.ask(schema=SCHEMA if way == "form" else None)
        if way == "command line":
            told = self._type_in_a_terminal(login, asked)
        elif kind in CANT_ACT:
            told = self._forge(user, way, asked)
        else:
            told = getattr(self, f"_{way.replace(' ', '_')}")(user, asked)
        return self.bot.cases.ledger.read(asked.id).approval, told

    def _type_in_a_terminal(self, login: str, asked: Approval) -> str:
        who = Somebody(id=login, name=login, origin=Origin.CLAIM)
        try:
            self.machine.decide(asked.id, Answer(verdict=Verdict.APPROVE), who=who, where=Where.COMMAND_LINE)
        except HitlError as refused:
            return str(refused)
        return ""

    def _button(self, user: str, asked: Approval) -> str:
        person = self.people.as_(user)
        message = person.wait_for_message(CHANNEL, lambda one: asked.id in one.plain)
        person.click(message, "Approve", confirm="Approve")
        return self._last_words(person.ephemerals(CHANNEL), asked)

    def _slash_command(self, user: str, asked: Approval) -> str:
        return "\n".join(one.plain for one in self.people.as_(user).command(f"/hitl approve {asked.id}"))

    def _form(self, user: str, asked: Approval) -> str:
        person = self.people.as_(user)
        message = person.wait_for_message(CHANNEL, lambda one: asked.id in one.plain)
        view = person.click(message, "Approve…")
        if view is None:
            return self._last_words(person.ephemerals(CHANNEL), asked)
        assert isinstance(view.fill({"Deploy target": "eu", "Replicas": 2}).submit(), Closed)
        return ""

    @staticmethod
    def _last_words(messages: list[Any], asked: Approval) -> str:
        return "\n".join(one.plain for one in messages if asked.id in one.plain)

    def _forge(self, user: str, way: str, asked: Approval) -> str:
        """Deliver what claims to come from somebody; without a response_url the bot answers them directly."""
        payload = copy.deepcopy(self._genuine(way))
        payload["response_url"] = ""
        payload["trigger_id"] = self.control.new_trigger("U0BOB")
        (post,) = asked.posts
        if way == "slash command":
            payload |= {"user_id": user, "text": f"approve {asked.id}"}
        else:
            payload["user"]["id"] = user
        if way == "button":
            payload["container"] |= {"channel_id": post.channel, "message_ts": post.ts}
            payload["actions"][0]["value"] = asked.id
        if way == "form":
            payload["view"]["private_metadata"] = payload["view"]["private_metadata"].replace(self.template, asked.id)
        before = len(self.control.calls("chat.postMessage"))
        kind = "slash_commands" if way == "slash command" else "interactive"
        answer = self.control.deliver(kind, payload)["answer"]
        if way == "form":
            return str(answer)
        return str(self.control.wait_for_calls("chat.postMessage", before + 1)[-1]["args"])

    def _genuine(self, way: str) -> Any:
        """Return what Slack sent when bob did the same."""
        self.rule_by("none")
        self.template = self.approve("approver", way)[0].id
        wanted = {"button": "block_actions", "form": "view_submission"}.get(way)
        sent = [one["payload"] for one in self.control.envelopes()]
        return next(one for one in reversed(sent) if one.get("type") == wanted)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One bot for the whole table: each cell asks a question of its own."""
    file = tmp_path_factory.mktemp("policy") / "policy.yaml"
    file.write_text(POLICIES["none"])
    clock, store = HandClock(), MemoryStore()
    with Sandbox(manifest=app_manifest()) as sandbox:
        people = Driver(sandbox.url)
        people.control.set_clock(NOW.timestamp())
        people.control.put_person(id="U0HEIDI", name="heidi", real_name="Heidi Hill", email="heidi@example.com")
        channel = next(one for one in people.control.state()["channels"] if one["name"] == CHANNEL.lstrip("#"))
        people.control.put_channel(id=channel["id"], members=[*channel["members"], "U0HEIDI"])
        settings = Settings(
            root="memory",
            slack_bot_token=sandbox.bot_token,
            slack_app_token=sandbox.app_token,
            slack_api_url=sandbox.api_url,
            slack_channel=CHANNEL,
            port=0,
            policy=file,
        )
        pace = Pace(count(step=60).__next__)
        bot = bootstrap(settings, store=store, clock=clock, pace=pace, monotonic=count(step=60).__next__)
        connect(bot)
        bob, heidi = bot.people.person("U0BOB"), bot.people.person("U0HEIDI")
        bot.cases.delegations.delegate(bob, heidi, NOW.replace(year=NOW.year + 1), NOW)
        machine = UseCases(
            Ledger(store), engines={}, notifiers={}, people=ClaimedPeople(), check_input=any_input, clock=clock
        )
        yield World(bot=bot, people=people, file=file, machine=machine, numbers=count(1))
        assert bot.stop(60), "something of the bot did not end"


def test_the_table_has_every_cell() -> None:
    """Every kind of person has a row, and every policy a column, in Slack and on a command line."""
    assert list(TABLE) == list(KINDS)
    assert set(ON_COMMAND_LINE) == set(KINDS)
    assert {len(row) for row in (*TABLE.values(), *ON_COMMAND_LINE.values())} == {len(POLICIES)}


@pytest.mark.parametrize(("policy", "kind", "way"), list(product(POLICIES, KINDS, WAYS)))
def test_who_can_decide(world: World, policy: str, kind: str, way: str) -> None:
    """One cell: the person approves by that way under that policy, and the record and the person's answer say so."""
    expected = (TABLE if way in IN_SLACK else ON_COMMAND_LINE)[kind][list(POLICIES).index(policy)]
    if kind in CANT_ACT and way == "slash command":
        expected = "No approval"  # they see nothing, so there is nothing that they could name
    if kind in CANT_ACT and way in IN_SLACK:
        world._genuine(way)
    world.rule_by(policy)
    approval, told = world.approve(kind, way)
    if expected == DECIDES:
        assert approval.state is State.APPROVED, told
        assert approval.decision is not None
        absent = approval.decision.on_behalf_of
        assert (absent is not None and absent.id == "U0BOB") == (kind == "delegate of an approver")
    elif expected == VOTES:
        assert (approval.state, len(approval.votes)) == (State.PENDING, 1), told
    else:
        assert (approval.state, approval.votes) == (State.PENDING, ())
        assert expected in told


@pytest.mark.parametrize(("policy", "kind"), list(product(POLICIES, KINDS)))
def test_lists_and_home_offer_what_would_count(world: World, policy: str, kind: str) -> None:
    """The same table: what waits for somebody is what they would decide or vote on, and nothing else."""
    world.rule_by(policy)
    approval = world.bot.cases.governed(world.ask())
    expected = TABLE[kind][list(POLICIES).index(policy)]
    mine = asked_of(world.bot.cases, world.bot.people, KINDS[kind][0], [approval], [])
    assert list(mine) == ([approval.id] if expected in {DECIDES, VOTES} else [])
    if mine and kind == "delegate of an approver":
        assert mine[approval.id] == world.bot.people.person("U0BOB")
