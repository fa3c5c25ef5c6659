"""What people, flows and Slack itself may send that nobody wants: it is shown and never executed, and loses nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Message, Person as User, Updated
from hitl_bot.sandbox.people import BOT_USER_ID
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import Shard
from metaflow_extensions.hitl.approvals.record import Answer, Origin, Person, State, Verdict, Where
from metaflow_extensions.hitl.messages.controls import APPROVE, WHY
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.integration.bot.conftest import CHANNEL, Ask
from tests.integration.bot.test_batches import shown, sweep

HOSTILE = "<!channel> <@U0CAROL> <https://evil.example|click> @everyone `rm` *b* \x1b[31m \u202egpj.exe & <!here>"
STRANGER = Person(id="rita", name=HOSTILE, origin=Origin.CLAIM)
HUGE = "<&`\n" * 750_000


def nothing_is_executed(control: Control) -> str:
    """Return what everybody sees, after a look at whether any of it rings somebody or links to a strange place."""
    messages = [one for channel in (CHANNEL, "@app") for one in control.messages(channel, user="U0BOB")]
    assert messages
    for message in messages:
        assert set(message["mentions"]) <= {"<@U0BOB>"}, message  # who decided, in what is rewritten and rings nobody
        sources = str([message["text"], message["blocks"]])
        marked = [block for block in _texts(message["blocks"]) if block["type"] == "mrkdwn"]
        assert not [
            one for one in marked if "<https://evil" in one["text"] or "<!" in one["text"].replace("<!date", "")
        ]
        assert "<!channel" not in message["text"]
        assert "\\x1b" not in sources
        assert "\\u202e" not in sources
    return "\n".join(message["plain"] for message in messages)


def _texts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for one in value for found in _texts(one)]
    if not isinstance(value, dict):
        return []
    own = [value] if value.get("type") in {"mrkdwn", "plain_text"} else []
    return own + [found for one in value.values() for found in _texts(one)]


def test_what_is_written_is_shown_and_never_executed(bot: Bot, bob: User, control: Control, clock: HandClock) -> None:
    """Artifact, name of the requester and reason: on the message, in its thread, in /hitl, in views and on Home."""
    asked = question(HOSTILE, notifiers=("slack",), remind_every=3_600)
    approval = bot.cases.ask(pathspec(), asked, gate(), STRANGER).approval
    message = bob.wait_for_message(CHANNEL)
    sweep(bot, clock, 3_600)
    bot.sweeper.tick()
    control.wait_until(lambda: message.thread, what="the reminder")
    for words in ("list", f"show {approval.id}"):
        bob.command(f"/hitl {words}")
    seen = [bob.open(message, "Details").plain, bob.home().plain]
    view = bob.open(message, "Reject…")
    seen.append(view.plain)
    assert isinstance(view.fill({"Reason": HOSTILE}).submit(), Closed)
    sweep(bot, clock)
    bot.sweeper.tick()
    control.wait_until(lambda: len(message.thread) > 1, what="the line about the answer")
    bob.command("/hitl history")
    why = bob.shortcut(message.refresh(), WHY)
    assert why is not None
    for text in (nothing_is_executed(control), *seen, why.plain):
        assert "channel" in text
        assert "\x1b" not in text


def test_what_shards_work_on_is_shown_and_never_executed(
    bot: Bot, bob: User, control: Control, clock: HandClock, ledger: Ledger
) -> None:
    """On a message that many gates share, in its form, in its thread, and in what one person alone is told."""
    ids = [
        bot.cases.ask(
            pathspec(task=str(number)),
            question(
                HOSTILE, notifiers=("slack",), batch=True, shard=Shard(place=(number,), value=f"{HOSTILE}{number}")
            ),
            gate(),
            STRANGER,
        ).approval.id
        for number in range(4)
    ]
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "4 shards wait" in one.plain)
    view = bob.open(message, "Approve all except…")
    assert all(text["type"] == "plain_text" for block in view.blocks[2:] for text in _texts(block))
    bob.command(f"/hitl reject {ids[0]} {HOSTILE}")
    view.fill(
        {"Shards that are not selected": "The others are rejected too", "Reason": HOSTILE, "Shards 1 to 4 of 4": []}
    )
    corrected = view.submit()  # its button did not say yet what is left to reject
    assert isinstance(corrected, Updated)
    assert isinstance(corrected.view.submit(), Closed)
    control.wait_until(lambda: {ledger.read(one).approval.state for one in ids} == {State.REJECTED}, what="rejections")
    for _ in range(3):
        sweep(bot, clock)
    control.wait_until(lambda: message.thread, what="the lines")
    assert "channel" in nothing_is_executed(control)


def test_three_megabytes(bot: Bot, bob: User, control: Control, clock: HandClock, ledger: Ledger) -> None:
    """A question and an input of 3 MB each are cut with an ellipsis wherever they are shown; the record has all."""
    approval = bot.cases.ask(pathspec(), question(HUGE, notifiers=("slack",)), gate(), REQUESTER).approval
    message = bob.wait_for_message(CHANNEL)
    assert "…" in message.plain
    assert "…" in bob.open(message, "Details").plain
    bob.command("/hitl list")
    who = Person(id="rita", name="rita", origin=Origin.CLAIM)
    answer = Answer(verdict=Verdict.APPROVE, input={"notes": HUGE}, reason=HUGE)
    bot.cases.decide(approval.id, answer, who=who, where=Where.COMMAND_LINE)
    sweep(bot, clock)
    control.wait_until(lambda: message.thread, what="the line about the answer")
    changed = message.refresh()
    assert "Approved" in changed.plain
    assert changed.buttons == []
    assert len(str(changed.blocks)) < 30_000
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert decision.input == {"notes": HUGE}
    assert {call["outcome"] for call in control.calls()} == {"ok"}


@pytest.mark.parametrize("code", ["msg_too_long", "invalid_blocks"])
def test_a_message_that_slack_finds_too_long(ask: Ask, bob: User, control: Control, ledger: Ledger, code: str) -> None:
    """A shorter one stands in its place, which is answered and brought up to date like any other."""
    control.fault("chat.postMessage", error=code)
    approval = ask(message="Deploy fraud v7?")
    message = bob.wait_for_message(CHANNEL)
    assert "The whole message doesn't fit in Slack" in message.plain
    assert "Deploy fraud v7?" in message.plain
    bob.click(message, "Approve", confirm="Approve")
    answered = bob.wait_for_update(message, lambda one: "Approved" in one.plain)
    assert answered.buttons == []
    assert ledger.read(approval.id).approval.state is State.APPROVED
    assert len(control.messages(CHANNEL)) == 1


def copied(control: Control, message: Message, channel: str, ts: str) -> dict[str, Any]:
    """Return the last click as it would come from a copy of its message somewhere else."""
    payload = copy.deepcopy([one for one in control.envelopes() if one["type"] == "interactive"][-1]["payload"])
    button = next(one for one in message.elements if one.action_id == APPROVE)
    payload["actions"] = [{"action_id": APPROVE, "block_id": button.block_id, "type": "button", **button.shape}]
    payload["container"] = {**payload["container"], "channel_id": channel, "message_ts": ts}
    return payload


def test_a_button_on_a_copy(ask: Ask, bob: User, control: Control, ledger: Ledger) -> None:
    """A message that somebody copied elsewhere decides nothing, and says where the real one is."""
    control.put_channel(id="C0ELSE", name="elsewhere", members=["U0BOB", BOT_USER_ID])
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Copy command")
    first = bob.wait_for_ephemeral(CHANNEL)
    control.deliver("interactive", copied(control, message, "C0ELSE", "1772443800.000100"))
    told = bob.wait_for_message(CHANNEL, lambda one: one.is_ephemeral and one.ts > first.ts)
    assert f"not on the message that asks about {approval.id}" in told.plain
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_a_button_that_is_months_old(
    ask: Ask, bob: User, carol: User, control: Control, clock: HandClock, ledger: Ledger
) -> None:
    """One that still waits is decided by it; one that was answered behind a message that is too old says by whom."""
    waiting, answered = ask("1", timeout=None), ask("2", timeout=None)
    [old] = [one for one in bob.messages(CHANNEL) if waiting.id in one.plain]
    [stale] = [one for one in bob.messages(CHANNEL) if answered.id in one.plain]
    clock.forward(60 * 86_400)
    control.fault("chat.update", error="edit_window_closed")
    carol.command(f"/hitl approve {answered.id}")
    clock.forward(60 * 86_400)
    bob.click(old, "Approve", confirm="Approve")
    assert ledger.read(waiting.id).approval.state is State.APPROVED
    view = bob.open(stale, "Reject…")
    assert "Approved* by <@U0CAROL>" in view.plain
    assert "60 d ago" in view.plain


def test_an_approver_whose_address_is_hidden(ask: Ask, bob: User, control: Control, ledger: Ledger) -> None:
    """Named by an address that Slack keeps to itself, a person is nobody: the message says so, and none decides."""
    control.put_person(id="U0BOB", email=None)
    approval = ask(approvers=("bob@example.com", "U0CAROL"))
    message = bob.wait_for_message(CHANNEL)
    assert "No one in Slack matches bob@example.com" in message.plain.replace("`", "").replace("*", "")
    (refused,) = bob.command(f"/hitl approve {approval.id}")
    assert "can't decide" in refused.plain
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_a_group_that_is_deleted_while_it_is_asked(
    ask: Ask, bob: User, control: Control, clock: HandClock, ledger: Ledger
) -> None:
    """Who was in a group that is gone decides nothing any more: the answer is refused, and the buttons stay."""
    approval = ask(approvers=("@ml-leads",))
    message = bob.wait_for_message(CHANNEL)
    control.put_group(id="S0MLLEADS", disabled=True)
    clock.forward(600)
    bob.click(message, "Approve", confirm="Approve")
    told = bob.wait_for_ephemeral(CHANNEL)
    assert "can't decide" in told.plain
    assert ledger.read(approval.id).approval.state is State.PENDING
    assert message.refresh().buttons[:2] == ["Approve", "Reject…"]


@pytest.mark.parametrize("quotes", ["“”", "„“", "«»", "‘’"])
def test_quotes_that_a_keyboard_made_smart(ask: Ask, bob: User, ledger: Ledger, quotes: str) -> None:
    """A reason and an id in them are read as they were meant."""
    approval = ask()
    opening, closing = quotes
    bob.command(f"/hitl reject {opening}{approval.id}{closing} {opening}too much drift{closing}")
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert "too much drift" in decision.reason
    assert decision.verdict is Verdict.REJECT
