"""Gates of one foreach: one message, one answer for all of them or for some."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Errors, Message, Person, Updated, View
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, State
from metaflow_extensions.hitl.messages.controls import APPROVE_ALL
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.slack import connect, work_until
from tests.integration.bot.conftest import CHANNEL, SCHEMA


def ask_shards(bot: Bot, count: int, *, first: int = 0, run: str = "17", **parts: object) -> list[Approval]:
    """Ask for so many shards of one step, as their pods would."""
    return [
        bot.cases.ask(
            pathspec(run=run, task=f"{number}"),
            question(f"Deploy region {number}?", notifiers=("slack",), batch=True, **parts),
            gate(),
            REQUESTER,
        ).approval
        for number in range(first, first + count)
    ]


def sweep(bot: Bot, clock: HandClock, seconds: float = 2) -> None:
    """Let time pass, and let the sweeper learn and work."""
    bot.sweeper.tick()
    clock.forward(seconds)
    bot.sweeper.tick()


def top(person: Person) -> list[Message]:
    """Return what everybody sees in the channel, without threads."""
    return [one for one in person.messages(CHANNEL) if one.thread_ts in {"", one.ts} and not one.is_ephemeral]


def shown(bot: Bot, clock: HandClock, person: Person, wanted: Callable[[Message], bool]) -> Message:
    """Let the bot go on working until the one message is as wanted."""

    def look() -> Message | None:
        messages = top(person)
        assert len(messages) <= 1
        return next(filter(wanted, messages), None)

    return work_until(bot, clock, look, "the wanted message of all shards")


def wait_for_states(bot: Bot, clock: HandClock, approvals: list[Approval], *wanted: State) -> None:
    """Let the bot go on working until all approvals are in a state, or each is in its own."""
    each = list(wanted) * (len(approvals) if len(wanted) == 1 else 1)
    work_until(bot, clock, lambda: states(bot.cases.ledger, approvals) == each, f"the states {wanted}")


def send(view: View) -> Closed | Errors | Updated:
    """Press the form's button; where it does not say yet what was chosen, the form comes back with one that does."""
    answer = view.submit()
    if not isinstance(answer, Updated):
        return answer
    answer.view.entries = view.entries
    return answer.view.submit()


def states(ledger: Ledger, approvals: list[Approval]) -> list[State]:
    return [ledger.read(one.id).approval.state for one in approvals]


def test_twelve_shards_are_one_message(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """Two seconds after they asked, one message names all of them; each record knows where it stands."""
    asked = ask_shards(bot, 12)
    assert top(bob) == []
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "12 shards wait" in one.plain)
    assert message.buttons == ["Approve all", "Approve all except…", "Reject all…"]
    assert all(one.id in message.plain for one in asked)
    assert {ledger.read(one.id).approval.posts[0].ts for one in asked} == {message.ts}


def test_a_late_shard_joins(bot: Bot, bob: Person, clock: HandClock) -> None:
    """A shard whose pod came later stands on the same message."""
    ask_shards(bot, 4)
    sweep(bot, clock)
    (late,) = ask_shards(bot, 1, first=9)
    shown(bot, clock, bob, lambda one: "5 shards wait" in one.plain and late.id in one.plain)


def test_runs_and_steps_do_not_mix(bot: Bot, bob: Person, clock: HandClock) -> None:
    """Each run has its own message."""
    ask_shards(bot, 4)
    ask_shards(bot, 4, run="18")
    work_until(bot, clock, lambda: len(top(bob)) == 2, "a message of each run")


def test_approve_all(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """One click approves every shard, each with its own record, and the message says so."""
    asked = ask_shards(bot, 12)
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, lambda one: "12 shards wait" in one.plain), "Approve all", confirm="Approve all")
    message = shown(bot, clock, bob, lambda one: "All 12 shards are answered" in one.plain)
    assert "12 approved" in message.plain
    assert message.buttons == []
    assert states(ledger, asked) == [State.APPROVED] * 12
    assert bob.wait_for_ephemeral(CHANNEL).plain == "12 answered."
    assert all(ledger.read(one.id).approval.decision.by.id == "U0BOB" for one in asked)


def test_a_stale_click_on_all_says_what_was_answered(
    bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger
) -> None:
    """Whoever clicks on a message that still shows all as waiting reads how many were answered before, and how."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    stale = shown(bot, clock, bob, lambda one: "4 shards wait" in one.plain)
    carol.command(f"/hitl reject {asked[0].id} drift")
    bob.click(stale, "Approve all", confirm="Approve all")
    assert bob.wait_for_ephemeral(CHANNEL).plain == "3 answered. 1 had been answered before: 1 rejected."
    bob.click(stale, "Approve all", confirm="Approve all")
    said = bob.wait_for_ephemeral(CHANNEL, lambda one: "already" in one.plain)
    assert said.plain == "All of these have already been answered: 3 approved · 1 rejected."


def test_reject_all_for_one_reason(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """The reason is asked once, and is in every record."""
    asked = ask_shards(bot, 5)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Reject all…")
    assert isinstance(view.fill({"Reason": "too much drift"}).submit(), Closed)
    wait_for_states(bot, clock, asked, State.REJECTED)
    assert {ledger.read(one.id).approval.decision.reason for one in asked} == {"too much drift"}


@pytest.mark.parametrize("others", ["The others keep waiting", "The others are rejected too"])
def test_approve_all_except(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, others: str) -> None:
    """Of 23 shards those that are ticked are approved; the others wait on, or are rejected for a reason."""
    asked = ask_shards(bot, 23)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all except…")
    assert [field.label for field in view.fields[:3]] == [
        f"Shards {some} of 23" for some in ("1 to 10", "11 to 20", "21 to 23")
    ]
    view.fill({"Shards 21 to 23 of 23": [asked[20].id], "Shards that are not selected": others})
    rejects = others != "The others keep waiting"
    if rejects:
        refused = view.submit()
        assert isinstance(refused, Errors)
        assert "Enter a reason" in refused.by_label["Reason"]
        view.fill({"Reason": "too small"})
    again = view.submit()
    assert isinstance(again, Updated)
    assert again.view.shape["submit"]["text"] == ("Reject 2, approve 21" if rejects else "Approve 21")
    assert states(ledger, asked) == [State.PENDING] * 23
    again.view.entries = view.entries
    assert isinstance(again.view.submit(), Closed)
    left = State.REJECTED if rejects else State.PENDING
    wanted = [State.APPROVED] * 21 + [left] * 2
    wait_for_states(bot, clock, asked, *wanted)
    shown(bot, clock, bob, lambda one: ("2 rejected" if rejects else "2 of 23 shards wait") in one.plain)


def test_one_form_for_all(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """Where the step asks for input it is entered once, held to the schema, and goes to every shard."""
    asked = ask_shards(bot, 4, schema=SCHEMA)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all…")
    assert isinstance(view.fill({"Deploy target": "moon", "Replicas": 99}).submit(), Errors)
    assert isinstance(view.fill({"Replicas": 3}).submit(), Closed)
    wait_for_states(bot, clock, asked, State.APPROVED)
    wanted = {"deploy_target": "moon", "replicas": 3}
    assert all(ledger.read(one.id).approval.decision.input == wanted for one in asked)


def test_who_may_not_decide_one_decides_none(bot: Bot, alice: Person, clock: HandClock, ledger: Ledger) -> None:
    """Each shard is held to its approvers: somebody else is told so, and nothing is decided."""
    asked = ask_shards(bot, 4, approvers=("U0BOB",))
    sweep(bot, clock)
    alice.click(shown(bot, clock, alice, bool), "Approve all", confirm="Approve all")
    said = alice.wait_for_ephemeral(CHANNEL)
    assert "0 answered, 4 refused" in said.plain
    assert states(ledger, asked) == [State.PENDING] * 4


def test_progress_is_one_update_a_second(
    bot: Bot, bob: Person, carol: Person, clock: HandClock, control: Control
) -> None:
    """However many shards settle, the message is rewritten once a second at most."""
    asked = ask_shards(bot, 10)
    sweep(bot, clock)
    shown(bot, clock, bob, lambda one: "10 shards wait" in one.plain)
    before = len(control.calls("chat.update"))
    for one in asked[:6]:
        carol.command(f"/hitl approve {one.id}")
        bot.sweeper.tick()
    clock.forward(1)
    bot.sweeper.tick()
    shown(bot, clock, bob, lambda one: "4 of 10 shards wait" in one.plain)
    assert len(control.calls("chat.update")) - before <= 2


def test_two_bots_post_one_message(bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock) -> None:
    """Whoever claims the batch posts; the other bot's shards join its message."""
    other = bootstrap(settings, store=store, clock=clock)
    connect(other)
    asked = ask_shards(bot, 8)
    for one in (bot, other):
        one.sweeper.tick()
    for _ in range(4):
        clock.forward(2)
        bot.sweeper.tick()
        other.sweeper.tick()
    (message,) = top(bob)
    assert {bot.cases.ledger.read(one.id).approval.posts[0].ts for one in asked} == {message.ts}
    assert other.stop(60)


def test_a_bot_that_starts_afresh_knows_them(
    bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock
) -> None:
    """The batch is in the store: the next bot carries out a click on it and shows it."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    shown(bot, clock, bob, bool)
    fresh = bootstrap(settings, store=store, clock=clock)
    assert len(fresh.cases.ledger.read(asked[0].id).approval.posts) == 1
    bob.command(f"/hitl approve {asked[0].id}")
    shown(fresh, clock, bob, lambda one: "3 of 4 shards wait" in one.plain)
    assert fresh.stop(60)


def test_the_next_turn_of_a_loop_has_its_own_message(bot: Bot, bob: Person, clock: HandClock) -> None:
    """Once all shards are answered, the same step's next shards get a new message."""
    ask_shards(bot, 4)
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all", confirm="Approve all")
    shown(bot, clock, bob, lambda one: "All 4 shards are answered" in one.plain)
    ask_shards(bot, 4, first=20)
    work_until(bot, clock, lambda: len(top(bob)) == 2, "a second message")


def test_a_forged_batch(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """A button whose value names no batch is acknowledged, answered in words, and decides nothing."""
    asked = ask_shards(bot, 4)
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all", confirm="Cancel")
    bob.click(shown(bot, clock, bob, bool), "Reject all…")
    (envelope,) = [one for one in bob.control.envelopes() if one["type"] == "interactive"][-1:]
    for value in ("../../open", "deploy-aaaaaaaaaa-1"):
        seen = len(bob.ephemerals(CHANNEL))
        payload = {**envelope["payload"], "trigger_id": bob.control.new_trigger(bob.id)}
        action = {**payload["actions"][0], "action_id": APPROVE_ALL, "value": value}
        assert bob.control.deliver("interactive", {**payload, "actions": [action]})["error"] == ""
        bob.control.wait_until(lambda seen=seen: len(bob.ephemerals(CHANNEL)) > seen, what="an answer")
    assert states(ledger, asked) == [State.PENDING] * 4
