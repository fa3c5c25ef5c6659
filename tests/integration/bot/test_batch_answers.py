"""Answering gates that share a message: votes, all but some over many pages, and who was faster."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.driver import Closed, Errors, Person, Updated, View
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.messages.controls import SHARDS_VALUE
from tests.fixtures.approvals import HandClock
from tests.integration.bot.conftest import SCHEMA
from tests.integration.bot.test_batches import ask_shards, send, shown, states, sweep, top, wait_for_states


def another(person: Person, view: View) -> View:
    """Return the view as it stands after a button in it."""
    return person.wait_for_view(lambda one: one.shape["hash"] != view.shape["hash"])


def test_votes_are_cast_and_shown(bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger) -> None:
    """Where two must agree "Approve all" is a vote for each shard: the message says whose, and who is missing."""
    asked = ask_shards(bot, 5, quorum=2, approvers=("@ml-leads",))
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, lambda one: "2 must agree" in one.plain), "Approve all", confirm="Approve all")
    voted = shown(bot, clock, bob, lambda one: one.plain.count("Waits (1 of 2 agree)") == 5)
    assert "<@U0BOB> approves. Still missing: 1 of <!subteam^S0MLLEADS>." in voted.plain
    assert states(ledger, asked) == [State.PENDING] * 5
    carol.click(voted, "Approve all", confirm="Approve all")
    message = shown(bot, clock, bob, lambda one: "All 5 shards are answered" in one.plain)
    assert "*Approved* by bob and carol" in message.plain
    assert states(ledger, asked) == [State.APPROVED] * 5


def test_votes_that_differ_are_told_apart(
    bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger
) -> None:
    """After "Approve all except" some shards have a vote and others have none; one rejection rejects its shard."""
    asked = ask_shards(bot, 5, quorum=2, approvers=("@ml-leads",))
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all except…")
    assert isinstance(send(view.fill({"Shards 1 to 5 of 5": [one.id for one in asked[:3]]})), Closed)
    message = shown(bot, clock, bob, lambda one: "2 shards: nobody yet." in one.plain)
    assert "3 shards: <@U0BOB> approves. Still missing: 1 of <!subteam^S0MLLEADS>." in message.plain
    view = carol.open(message, "Reject all…")
    assert isinstance(view.fill({"Reason": "not on a Friday"}).submit(), Closed)
    wait_for_states(bot, clock, asked, State.REJECTED)


def test_the_second_voter_sees_what_the_first_entered(
    bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger
) -> None:
    """The input of the first is on the message and in the form; another input is a new proposal for every shard."""
    asked = ask_shards(bot, 4, quorum=2, schema=SCHEMA)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all…")
    assert isinstance(view.fill({"Deploy target": "moon", "Replicas": 3}).submit(), Closed)
    view = carol.open(shown(bot, clock, bob, lambda one: "moon" in one.plain), "Approve all…")
    assert [field.element["initial_value"] for field in view.fields] == ["moon", "3"]
    assert isinstance(view.fill({"Replicas": 4}).submit(), Closed)
    shown(bot, clock, bob, lambda one: "<@U0CAROL> approves" in one.plain and "<@U0BOB> approves" not in one.plain)
    assert states(ledger, asked) == [State.PENDING] * 4


def test_an_approver_that_nobody_is(bot: Bot, bob: Person, clock: HandClock) -> None:
    """A group that was deleted is reported on the message when the question is asked."""
    ask_shards(bot, 4, approvers=("@ml-leads", "@long-gone"))
    sweep(bot, clock)
    message = shown(bot, clock, bob, bool)
    assert "*No one in Slack matches @long-gone*, so only the others can answer." in message.plain
    assert "<!subteam^S0MLLEADS>" in message.mentions


def test_250_shards_on_three_pages(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """Of 250 shards each has its checkbox, a hundred a page; ticks of all pages count, also of those not looked at."""
    asked = ask_shards(bot, 250)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, lambda one: "250 shards wait" in one.plain), "Approve all except…")
    assert [field.label for field in view.fields[:2]] == ["Shards 1 to 10 of 250", "Shards 11 to 20 of 250"]
    view.fill({"Shards 1 to 10 of 250": [one.id for one in asked[1:10]]})
    bob.click(view, "Next page")
    second = another(bob, view)
    assert second.fields[0].label == "Shards 101 to 110 of 250"
    second.fill({"Shards 101 to 110 of 250": []})
    bob.click(second, "Previous page")
    first = another(bob, second)
    ticked = first.values[first.fields[0].block_id][SHARDS_VALUE]["selected_options"]
    assert [option["value"] for option in ticked] == [one.id for one in asked[1:10]]
    assert isinstance(send(first), Closed)
    left = [asked[0], *asked[100:110]]
    approved = [one for one in asked if one not in left]
    shown(bot, clock, bob, lambda one: "11 of 250 shards wait" in one.plain)
    assert states(ledger, approved) == [State.APPROVED] * 239
    assert states(ledger, left) == [State.PENDING] * 11


def test_untick_all_and_tick_some(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """To approve two of 120 nobody unticks 118; an empty choice is refused in the form."""
    asked = ask_shards(bot, 120)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all except…")
    bob.click(view, "Clear all 120")
    empty = another(bob, view)
    refused = empty.submit()
    assert isinstance(refused, Errors)
    assert "Select at least one" in refused.by_label["Shards that are not selected"]
    empty.fill({"Shards 1 to 10 of 120": [asked[3].id, asked[4].id]})
    assert isinstance(send(empty), Closed)
    wait_for_states(bot, clock, asked[3:5], State.APPROVED)
    assert states(ledger, asked[:3] + asked[5:]) == [State.PENDING] * 118


def test_who_joined_later_is_not_approved(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """A shard that came while the view was open was not offered in it, and waits on."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all except…")
    late = ask_shards(bot, 1, first=9)
    sweep(bot, clock)
    shown(bot, clock, bob, lambda one: "5 shards wait" in one.plain)
    assert isinstance(view.submit(), Closed)
    wait_for_states(bot, clock, asked, State.APPROVED)
    assert states(ledger, late) == [State.PENDING]


@pytest.mark.parametrize("opened", ["Approve all except…", "Reject all…"])
def test_somebody_else_was_faster(
    bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger, opened: str
) -> None:
    """A form that was left open while somebody answered says who answered what, and changes nothing."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    message = shown(bot, clock, bob, bool)
    view = bob.open(message, opened)
    carol.click(message, "Approve all", confirm="Approve all")
    wait_for_states(bot, clock, asked, State.APPROVED)
    if opened == "Reject all…":
        view.fill({"Reason": "drift"})
    else:
        view.fill({"Shards that are not selected": "The others are rejected too", "Reason": "drift"})
        view.fill({"Shards 1 to 4 of 4": []})
    answer = view.submit()
    assert isinstance(answer, Updated)
    assert answer.view.plain.count("*Approved* by carol") == 4
    assert states(ledger, asked) == [State.APPROVED] * 4


def test_somebody_was_faster_with_some(bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger) -> None:
    """Of four shards in an open form one was rejected meanwhile: three are approved, and bob is told of the one."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all except…")
    carol.command(f"/hitl reject {asked[1].id} drift")
    assert isinstance(view.submit(), Closed)
    told = bob.wait_for_message("@app", lambda one: "3 answered, 1 refused" in one.plain)
    assert "was rejected by carol" in told.plain
    assert states(ledger, asked) == [State.APPROVED, State.REJECTED, State.APPROVED, State.APPROVED]


def test_all_that_the_message_shows_are_answered(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, interventions: list[Callable[[str, str], None]]
) -> None:
    """Whoever approves all at once approves each shard that is shown, also those whose record does not name it yet."""
    asked = ask_shards(bot, 6)
    posted = Event()

    def click_at_once(request: str, key: str) -> None:
        if request == "create" and key.endswith("/00002.json") and not posted.is_set():
            posted.set()
            (message,) = top(bob)
            bob.click(message, "Approve all", confirm="Approve all")

    interventions.append(click_at_once)
    sweep(bot, clock)
    wait_for_states(bot, clock, asked, State.APPROVED)
