"""What people without write access can try: a name that is typed, and clicks and commands in Slack."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Answer, Approval, Origin, Person, Verdict
from tests.attacks.conftest import Bucket
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


def test_every_way_of_the_page_is_tried():
    """docs/security.md lists what the tests try, and nothing else."""
    tried = set[str]()
    for file in Path(__file__).parents[1].rglob("test_*.py"):
        if "mark.way" not in (text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.mark.way", "way"}:
                tried.add(eval(ast.unparse(node.args[0]), {"BEFORE": BEFORE}))  # noqa: S307 - our own text
    assert tried == set(promised())
