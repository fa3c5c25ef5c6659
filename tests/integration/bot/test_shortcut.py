"""The entry "Why was this decided?" of a message's menu."""

from __future__ import annotations

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.driver import Person
from metaflow_extensions.hitl.messages.controls import WHY
from tests.fixtures.approvals import HandClock
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask


def test_it_shows_the_trail(ask: Ask, bob: Person, carol: Person, clock: HandClock) -> None:
    """Who asked, who decided what with which values, and what became of the run, in this order."""
    approval = ask(schema=SCHEMA)
    message = bob.wait_for_message(CHANNEL)
    clock.forward(120)
    bob.command(f"/hitl approve {approval.id} deploy_target=moon replicas=2")
    view = carol.shortcut(message, WHY)
    assert view is not None
    words = ["Asked by rita", "Posted with slack", "Approved by bob after 2 min (slash command)", "Settled: the run"]
    places = [view.plain.index(one) for one in words]
    assert places == sorted(places)
    assert "deploy_target=moon, replicas=2" in view.plain.replace("`", "")


def test_it_says_what_still_waits(ask: Ask, bob: Person) -> None:
    """On a question without a decision it says so, who has voted, who is missing, and until when."""
    ask(approvers=("U0BOB", "U0CAROL"), quorum=2, timeout=3600)
    view = bob.shortcut(bob.wait_for_message(CHANNEL), WHY)
    assert view is not None
    assert (
        "There is no decision yet. No one has answered yet. Missing: an answer from <@U0BOB>, <@U0CAROL>" in view.plain
    )
    view.close()
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    voted = bob.shortcut(message, WHY)
    assert voted is not None
    assert "There is no decision yet. <@U0BOB> approves. Still missing: <@U0CAROL>." in voted.plain
    assert "1 h left" in voted.plain


def test_of_many_gates_it_tells_each(ask: Ask, bot: Bot, bob: Person, clock: HandClock) -> None:
    """On the message that the gates of a foreach share it says of each how it stands, by whom and why; to the end."""
    asked = [ask(str(number), batch=True) for number in range(4)]
    for _ in range(2):
        bot.sweeper.tick()
        clock.forward(2)
    message = bob.wait_for_message(CHANNEL, lambda one: "4 shards wait" in one.plain)
    bob.command(f"/hitl reject {asked[0].id} too small")
    bob.command(f"/hitl approve {asked[1].id}")
    view = bob.shortcut(message, WHY)
    assert view is not None
    words = ["1 approved", "Rejected", "“too small”", "Approved", "Waits"]
    assert all(one in view.plain for one in words)
    assert all(one.id in view.plain for one in asked)
    view.close()
    for one in asked[2:]:
        bob.command(f"/hitl approve {one.id}")
    for _ in range(3):
        bot.sweeper.tick()
        clock.forward(2)
    answered = bob.wait_for_message(CHANNEL, lambda one: "All 4 shards are answered" in one.plain)
    ended = bob.shortcut(answered, WHY)
    assert ended is not None
    assert "3 approved" in ended.plain


def test_another_message_has_no_trail(bot: Bot, bob: Person) -> None:
    """On any other message it says what it is for."""
    view = bob.shortcut(bob.say(CHANNEL, "lunch?"), WHY)
    assert view is not None
    assert "asks for no approval" in view.plain
