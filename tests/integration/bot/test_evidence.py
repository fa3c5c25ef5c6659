"""Evidence and rules, with the real bot and Slack at the other end."""

from __future__ import annotations

from typing import Any

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.driver import Person as Somebody
from metaflow_extensions.hitl.approvals.evidence.collected import Better, Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Approval, State
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.integration.bot.conftest import CHANNEL, elsewhere


def ask_in(bot: Bot, run: str, **parts: Any) -> Approval:
    """Ask as a run of this name does, which leaves to the bot what only the bot can know."""
    cases = elsewhere(bot, notifiers=bot.cases.posting.notifiers, batched=frozenset({"slack"}))
    asked = question(notifiers=("slack",), **parts)
    return cases.ask(pathspec(run=run), asked, gate(), REQUESTER).approval


def measured(accuracy: float) -> Evidence:
    metric = Metric(name="accuracy", value=accuracy, format=".1%", better=Better.HIGHER)
    return Evidence(metrics=(metric,), parameters={"rate": str(accuracy)})


def test_the_second_question_has_a_table_and_details_have_all_of_it(bot: Bot, bob: Somebody) -> None:
    """Slack's own table: the metric now, its change, and the value of the run that bob approved before."""
    ask_in(bot, "1", evidence=measured(0.9))
    first = bob.wait_for_message(CHANNEL)
    assert "No earlier approval of this step was found" in first.plain
    bob.click(first, "Approve", confirm="Approve")
    bob.wait_for_update(first)
    asked = ask_in(bot, "2", evidence=measured(0.95))
    second = bob.wait_for_message(CHANNEL, lambda one: asked.id in one.plain)
    (table,) = [block for block in second.blocks if block["type"] == "table"]
    assert [cell["text"] for cell in table["rows"][1]] == ["accuracy", "95.0%", "+5.0 points, better", "90.0%"]
    assert "rate 0.9 → 0.95" in second.plain


def test_the_menu_shows_how_it_was_decided_before(bot: Bot, bob: Somebody) -> None:
    """Values, verdict, who and why of what was decided in this step, the newest first, below this question's values."""
    ask_in(bot, "1", evidence=measured(0.9))
    first = bob.wait_for_message(CHANNEL)
    assert "Nothing was decided in this step before" in bob.open(first, "Like before").plain
    bob.open(first, "Reject…").fill({"Reason": "drift too high"}).submit()
    bob.wait_for_update(first, lambda one: "Rejected" in one.plain)
    asked = ask_in(bot, "2", evidence=measured(0.95))
    second = bob.wait_for_message(CHANNEL, lambda one: asked.id in one.plain)
    bob.click(second, "Approve", confirm="Approve")
    bob.wait_for_update(second, lambda one: "Approved" in one.plain)
    third = ask_in(bot, "3", evidence=measured(0.93))
    view = bob.open(bob.wait_for_message(CHANNEL, lambda one: third.id in one.plain), "Like before")
    assert "accuracy 93.0%" in view.plain
    approved, rejected = view.plain.index("accuracy 95.0%"), view.plain.index("accuracy 90.0%")
    assert approved < rejected
    assert "drift too high" in view.plain
    assert view.plain.index("Approved") < view.plain.index("Rejected")


def test_the_bot_lets_a_rule_approve_and_says_so_on_the_message(bot: Bot, bob: Somebody, ledger: Ledger) -> None:
    """The run leaves it to the bot, which knows the policy; the buttons go, and the message names the rule."""
    asked = ask_in(bot, "1", evidence=measured(0.95), auto_approve="accuracy > 0.9")
    message = bob.wait_for_message(CHANNEL)
    assert ledger.read(asked.id).approval.state is State.PENDING
    bot.sweeper.tick()
    message = bob.wait_for_update(message)
    assert "*Approved* by the rule accuracy &gt; 0.9, without a person" in message.plain
    assert not [block for block in message.blocks if block["type"] == "actions"]
    assert ledger.read(asked.id).approval.state is State.APPROVED


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("accuracy > 0.9", "it does not hold"),
        ("1 / (accuracy - accuracy) > 1", "it divides by zero"),
        ("accuracy > 'good'", "it compares"),
    ],
)
def test_a_rule_that_does_not_hold_leaves_the_question_with_a_reason(
    bot: Bot, bob: Somebody, rule: str, why: str
) -> None:
    """People see what the rule said, or why it has no answer, and still have their buttons."""
    ask_in(bot, "1", evidence=measured(0.85), auto_approve=rule, quorum_if={"accuracy < 0.9": 2})
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    message = bob.wait_for_update(message)
    assert "2 people must agree, because accuracy &lt; 0.9" in message.plain
    assert f"leaves this to people: {why}" in message.plain
    assert [block for block in message.blocks if block["type"] == "actions"]


def test_a_newer_question_takes_the_buttons_of_the_older(bot: Bot, bob: Somebody, clock: HandClock) -> None:
    """Whoever looks at the older message sees which run took its place."""
    ask_in(bot, "1", supersede=True)
    older = bob.wait_for_message(CHANNEL)
    clock.forward(1)
    newer = ask_in(bot, "2", supersede=True)
    older = bob.wait_for_update(older)
    assert f"*Superseded* by run 2, which asks the same in {newer.id}" in older.plain
    assert not [block for block in older.blocks if block["type"] == "actions"]


def test_what_only_the_bot_posts_is_posted_as_it_was_decided(bot: Bot, bob: Somebody, ledger: Ledger) -> None:
    """A pod without a token posts nothing before the rule approves: people still see what went through without them."""
    pod = elsewhere(bot, batched=frozenset({"slack"}))
    asked = question(notifiers=("slack",), evidence=measured(0.95), auto_approve="accuracy > 0.9")
    approval = pod.ask(pathspec(), asked, gate(), REQUESTER).approval
    bot.sweeper.tick()
    message = bob.wait_for_message(CHANNEL, lambda one: approval.id in one.plain)
    assert ledger.read(approval.id).approval.state is State.APPROVED
    assert "*Approved* by the rule accuracy &gt; 0.9, without a person" in message.plain
