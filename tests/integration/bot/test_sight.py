"""What people see of a question in a private channel: everything for its members, nothing for anybody else."""

from __future__ import annotations

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver, Person
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Approval, State
from tests.fixtures.approvals import HandClock
from tests.integration.bot.conftest import Ask

SECRET = "Deploy the unannounced model?"


@pytest.fixture
def secret(ask: Ask, control: Control, bot: Bot) -> Approval:
    """A question without approvers in a private channel of alice's."""
    control.put_channel(id="C0SECRET", name="secret", kind="private", members=["U0ALICE", "U0BOT"])
    return ask("7", message=SECRET, channel="C0SECRET")


OUTSIDE = {"a member of the workspace": "bob", "a guest": "dave", "somebody of another workspace": "erin"}


@pytest.mark.parametrize("who", OUTSIDE.values(), ids=list(OUTSIDE))
def test_who_is_not_in_the_channel_finds_nothing(secret: Approval, people: Driver, ledger: Ledger, who: str) -> None:
    """No command shows it, reminds of it or answers it, and each says what it says about what is not there."""
    person = people.as_(who)
    for typed in ("show", "approve", "reject", "remind"):
        (said,) = person.command(f"/hitl {typed} {secret.id} because")
        assert f"No approval {secret.id}" in said.plain, typed
    for typed in ("list", "list mine", "history", "stats"):
        said = "\n".join(one.plain for one in person.command(f"/hitl {typed}"))
        assert SECRET not in said
        assert secret.id not in said
    assert SECRET not in person.home().plain
    approval = ledger.read(secret.id).approval
    assert (approval.state, approval.reminders) == (State.PENDING, ())


def test_who_is_in_the_channel_answers_it(secret: Approval, people: Driver, ledger: Ledger) -> None:
    """A member of the channel sees it on Home, in the list and by its id, and decides."""
    alice = people.as_("alice")
    assert SECRET in "\n".join(one.plain for one in alice.command("/hitl list"))
    assert SECRET in alice.home().plain
    alice.command(f"/hitl approve {secret.id}")
    assert ledger.read(secret.id).approval.state is State.APPROVED


def test_what_was_decided_stays_in_the_channel(secret: Approval, people: Driver, bot: Bot, clock: HandClock) -> None:
    """Reason and outcome are in the history of its members, and of nobody else."""
    alice, bob = people.as_("alice"), people.as_("bob")
    alice.command(f"/hitl reject {secret.id} not before the launch")
    assert "not before the launch" in "\n".join(one.plain for one in alice.command("/hitl history"))
    for said in (*bob.command("/hitl history"), bob.home(), *bob.command("/hitl list")):
        assert "not before the launch" not in said.plain
        assert SECRET not in said.plain
    (figures,) = bob.command("/hitl stats")
    assert "1 rejected" not in figures.plain


def test_who_is_named_sees_it_from_outside_and_a_delegate_too(ask: Ask, control: Control, people: Driver) -> None:
    """People that it names see and answer it, and who decides for them; a guest who is named does not."""
    control.put_channel(id="C0SECRET", name="secret", kind="private", members=["U0ALICE", "U0BOT"])
    asked = ask("7", message=SECRET, channel="C0SECRET", approvers=("@risk", "U0DAVE"))
    people.as_("carol").command("/hitl delegate @bob until 2026-12-24")
    for who, sees in (("carol", True), ("bob", True), ("grace", False), ("dave", False)):
        said = "\n".join(one.plain for one in people.as_(who).command(f"/hitl show {asked.id}"))
        assert (SECRET in said) is sees, who


def test_who_left_the_channel_decides_nothing_at_once(
    secret: Approval, people: Driver, control: Control, ledger: Ledger
) -> None:
    """The answer of somebody who was removed a moment ago does not count, whatever was shown to them before."""
    alice = people.as_("alice")
    assert SECRET in "\n".join(one.plain for one in alice.command("/hitl list"))
    control.put_channel(id="C0SECRET", members=["U0CAROL", "U0BOT"])
    (said,) = alice.command(f"/hitl approve {secret.id}")
    assert "only people in the channel of the question can answer it" in said.plain
    assert ledger.read(secret.id).approval.state is State.PENDING


@pytest.mark.parametrize("change", ["guest", "group"])
def test_a_change_in_slack_counts_with_the_next_click(
    ask: Ask, bot: Bot, bob: Person, control: Control, ledger: Ledger, change: str
) -> None:
    """Turned guest, or removed from the group: the very next answer is refused."""
    first, second = ask("1", approvers=("@ml-leads",)), ask("2", approvers=("@ml-leads",))
    bob.command(f"/hitl approve {first.id}")
    assert ledger.read(first.id).approval.state is State.APPROVED
    if change == "group":
        control.put_group(id="S0MLLEADS", members=["U0CAROL"])
    else:
        control.put_person(id="U0BOB", kind="guest")
    message = bob.wait_for_message("#ml-approvals", lambda one: second.id in one.plain)
    bob.click(message, "Approve", confirm="Approve")
    assert ledger.read(second.id).approval.state is State.PENDING


def test_on_a_plan_without_groups_nobody_waits_for_one(ask: Ask, bot: Bot, bob: Person, control: Control) -> None:
    """The message says that nobody is in the group, and whoever tries to answer hears whom to name instead."""
    control.fault("usergroups.list", error="plan_upgrade_required", times=20)
    asked = ask(approvers=("@ml-leads",))
    assert asked.posts[0].nobody == ("@ml-leads",)
    (said,) = bob.command(f"/hitl approve {asked.id}")
    assert "No approval" in said.plain or "no user groups" in said.plain
    message = bob.wait_for_message("#ml-approvals", lambda one: asked.id in one.plain)
    bob.click(message, "Approve", confirm="Approve")
    assert any("no user groups" in one.plain for one in bob.ephemerals("#ml-approvals"))


def test_while_slack_will_not_say_who_is_in_the_channel_nobody_decides(
    secret: Approval, people: Driver, control: Control, ledger: Ledger
) -> None:
    """It fails closed: neither shown nor decided, and both come back with Slack's answer."""
    alice = people.as_("alice")
    control.fault("conversations.members", error="fetch_members_failed", times=9)
    message = alice.wait_for_message("#secret", lambda one: secret.id in one.plain)
    alice.click(message, "Approve", confirm="Approve")
    assert SECRET not in alice.home().plain
    assert ledger.read(secret.id).approval.state is State.PENDING
    control.clear_faults()
    alice.click(message, "Approve", confirm="Approve")
    assert ledger.read(secret.id).approval.state is State.APPROVED


@pytest.mark.parametrize("method", ["users.info", "conversations.members", "usergroups.list"])
def test_what_slack_does_not_say_is_not_denied(ask: Ask, people: Driver, control: Control, method: str) -> None:
    """While Slack can't say who somebody is, or where, no list and no tab says that there is nothing for them."""
    ask("7", approvers=() if method == "conversations.members" else ("@ml-leads",))
    bob = people.as_("bob")
    control.fault(method, error="fatal_error", times=99)
    for shown in (bob.command("/hitl list mine")[0].plain, bob.home().plain):
        assert "Slack" in shown
        assert "Nothing is waiting" not in shown
        assert "Nothing that matches /hitl list mine is waiting" not in shown
