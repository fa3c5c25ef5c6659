"""The Home tab: what waits for a person, what they asked, what was decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver, Person, View
from hitl_bot.surfaces.home import is_requester
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Origin, Person as Somebody, State, Verdict
from tests.fixtures.approvals import ALICE, BOB, NOW, REQUESTER, HandClock, approval, gate, pathspec, question
from tests.integration.bot.conftest import SCHEMA, Ask
from tests.integration.bot.test_batches import ask_shards, states, sweep


def home_of(person: Person, wanted: Callable[[View], bool]) -> View:
    """Wait until somebody's Home tab, which is open, shows what is wanted."""

    def look() -> View | None:
        home = person.home_now()
        return home if home is not None and wanted(home) else None

    found: View = person.control.wait_until(look, what="the Home tab")
    return found


def follow(bot: Bot, person: Person, clock: HandClock, wanted: Callable[[View], bool]) -> None:
    """Let a bot work, second by second, until somebody's Home tab shows what is wanted."""
    for _ in range(60):
        seq = person.control.seq
        bot.sweeper.tick()
        home = person.home_now()
        if home is not None and wanted(home):
            return
        clock.forward(1)
        person.control.wait_for_change(lambda _: True, seq, 0.1)  # what the tick has begun, if anything
    pytest.fail("not within 60 seconds")


def test_it_shows_what_waits_for_whom(ask: Ask, bot: Bot, bob: Person, alice: Person) -> None:
    """Whoever is asked finds it, most urgent first; who is not asked does not; who asked finds it as their own."""
    urgent, later = ask("1", timeout=600, approvers=("@ml-leads",)), ask("2", approvers=("U0BOB",))
    mine = bot.cases.ask(pathspec(task="3"), question(approvers=("U0CAROL",)), gate(), ALICE).approval
    shown = bob.home()
    assert "2 are waiting for you" in shown.plain
    assert shown.plain.index(urgent.id) < shown.plain.index(later.id)
    assert mine.id not in shown.plain
    of_alice = alice.home()
    assert "Nothing is waiting for you" in of_alice.plain
    assert of_alice.plain.index("You asked") < of_alice.plain.index(mine.id)


def test_it_shows_what_an_answer_would_count_for(
    ask: Ask, bot: Bot, people: Driver, alice: Person, bob: Person
) -> None:
    """Named by address or for somebody absent counts; one's own run, a guest and who has voted don't."""
    by_address = ask("1", approvers=("bob@example.com",))
    of_carol = ask("2", approvers=("U0CAROL",))
    both = ask("3", approvers=("U0ALICE", "U0BOB"), quorum=2)
    own = bot.cases.ask(pathspec(task="4"), question(allow_self_approval=False), gate(), BOB).approval
    people.as_("carol").command("/hitl delegate @bob until 2026-12-24")
    shown = bob.home().plain
    mine, asked = shown.split("You asked")
    assert "3 are waiting for you" in mine
    assert all(one.id in mine for one in (by_address, of_carol, both))
    assert "You decide for carol." in mine
    assert own.id not in mine
    assert own.id in asked
    bob.command(f"/hitl approve {both.id}")
    assert "2 are waiting for you" in bob.home().plain
    waiting = alice.home().plain
    assert "bob approves. Still missing: <@U0ALICE>." in waiting
    assert "Nothing is waiting for you" in people.as_("dave").home().plain


def test_twenty_runs_are_told_apart(bot: Bot, bob: Person, clock: HandClock) -> None:
    """Each row names run, requester and tags, and what differs; what is overdue is first; each button names its row."""
    for number in range(20):
        learned = Evidence(
            parameters={"alpha": f"0.{number}", "rows": "12400"},
            metrics=(Metric(name="accuracy", value=0.9 + number / 1000, format=".1%"),),
        )
        asked = question("Deploy?", evidence=learned, tags=("nightly",), timeout=9_000 - number * 60)
        bot.cases.ask(pathspec(run=f"{100 + number}"), asked, gate(), REQUESTER)
    late = question("Deploy?", timeout=60, on_timeout=OnTimeout.NOTIFY)
    bot.cases.ask(pathspec(run="99"), late, gate(), REQUESTER)
    clock.forward(61)
    shown = bob.home()
    assert "21 are waiting for you" in shown.plain
    assert "and 6 more: `/hitl list mine`" in shown.plain
    places = [shown.plain.index(f"run {run} ") for run in (99, 119, 118)]
    assert places == sorted(places)
    assert "*overdue*" in shown.plain[: places[1]]
    assert "run 119 · started by rita, not confirmed · nightly · alpha 0.19, accuracy 91.9%" in shown.plain
    assert "rows 12400" not in shown.plain
    spoken = {one.shape.get("accessibility_label") for one in shown.elements if one.shape["type"] == "button"}
    assert {"Approve: run 99, Deploy?", "Reject…: run 119, Deploy?"} <= spoken


def test_shards_are_one_row(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """The shards of a foreach are one row, whose button approves all of them, here and in the list."""
    asked = ask_shards(bot, 5)
    sweep(bot, clock)
    (listed,) = bob.command("/hitl list")
    assert listed.buttons == ["Open", "Approve all", "Approve all except…", "Reject all…"]
    (apart,) = bob.command("/hitl list step deploy")
    assert all(one.id in apart.plain for one in asked)
    shown = bob.home()
    assert "5 are waiting for you" in shown.plain
    assert shown.plain.count("5 shards wait") == 1
    bob.click(shown, "Approve all", confirm="Approve all")
    home_of(bob, lambda home: "Nothing is waiting for you" in home.plain)
    assert states(ledger, asked) == [State.APPROVED] * 5


def test_everything_the_message_offers_is_there(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Request changes asks what must change, and the menu shows the details, with the commands."""
    asked = ask(allow_changes=True)
    home = bob.home()
    details = bob.open(home, "Copy command")
    assert f"hitl approve {asked.id}" in details.plain
    details.close()
    bob.open(home, "Request changes…").fill({"What must change": "a lower alpha"}).submit()
    assert ledger.read(asked.id).approval.decision.verdict is Verdict.CHANGES


def test_a_button_decides_there(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Approve on the Home tab approves, and the tab then shows it as decided."""
    asked = ask()
    bob.click(bob.home(), "Approve", confirm="Approve")
    shown = home_of(bob, lambda home: "Recently decided" in home.plain)
    assert "Approved by bob" in shown.plain.replace("*", "")
    assert "Nothing is waiting for you" in shown.plain
    assert ledger.read(asked.id).approval.state is State.APPROVED


def test_forms_open_from_there(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Where input or a reason is asked, the same forms open as on the message."""
    first, second = ask("1", schema=SCHEMA), ask("2")
    home = bob.home()
    bob.open(home, "Approve…").fill({"Deploy target": "moon", "Replicas": 1}).submit()
    assert ledger.read(first.id).approval.state is State.APPROVED
    bob.open(bob.home(), "Reject…").fill({"Reason": "no"}).submit()
    assert ledger.read(second.id).approval.state is State.REJECTED


def test_a_refusal_is_shown_there(ask: Ask, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """Slack gives a Home tab no way to answer but a view: the refusal stands in one."""
    asked = ask(timeout=60)
    home = bob.home()
    clock.forward(61)
    view = bob.click(home, "Approve", confirm="Approve")
    assert view is not None
    assert f"{asked.id} closed at" in view.plain
    assert ledger.read(asked.id).approval.state is State.PENDING


def test_it_follows_what_changes(ask: Ask, bot: Bot, bob: Person, carol: Person, clock: HandClock) -> None:
    """Who has it open sees what is asked and decided elsewhere, two seconds later."""
    bob.home()
    bot.sweeper.tick()
    asked = ask()
    bot.sweeper.tick()
    clock.forward(2)
    bot.sweeper.tick()
    home_of(bob, lambda home: asked.id in home.plain and "1 is waiting for you" in home.plain)
    carol.command(f"/hitl approve {asked.id}")
    bot.sweeper.tick()
    clock.forward(2)
    bot.sweeper.tick()
    home_of(bob, lambda home: "Approved by carol" in home.plain.replace("*", ""))


def test_many_changes_are_one_update(
    ask: Ask, bot: Bot, bob: Person, carol: Person, clock: HandClock, control: Control
) -> None:
    """A burst of questions updates an open tab once, and a tab that nobody opened never."""
    bob.home()
    bot.sweeper.tick()
    for task in range(12):
        bot.cases.ask(pathspec(task=f"{task}"), question(), gate(), REQUESTER)
        bot.sweeper.tick()
    clock.forward(2)
    bot.sweeper.tick()
    home_of(bob, lambda home: "12 are waiting for you" in home.plain)
    bot.sweeper.tick()
    assert len(control.calls("views.publish")) == 2
    assert carol.home_now() is None


def test_an_hour_later_nobody_looks(ask: Ask, bot: Bot, bob: Person, clock: HandClock, control: Control) -> None:
    """A tab that was opened more than an hour ago is not kept up to date: opening it again is."""
    bob.home()
    bot.sweeper.tick()
    clock.forward(3_601)
    asked = ask()
    for _ in range(3):
        bot.sweeper.tick()
        clock.forward(2)
    assert len(control.calls("views.publish")) == 1
    assert asked.id in bob.home().plain


def test_it_can_be_narrowed_to_a_flow(ask: Ask, bot: Bot, bob: Person) -> None:
    """The menu names the flows; one of them chosen, only its approvals are left, and All flows brings back the rest."""
    first = ask()
    other = bot.cases.ask(pathspec(flow="OtherFlow"), question(), gate(), REQUESTER).approval
    shown = bob.home()
    assert first.id in shown.plain
    assert other.id in shown.plain
    element, entry = shown.element("OtherFlow")
    bob.choose(shown, element, entry)
    home_of(bob, lambda home: other.id in home.plain and first.id not in home.plain)
    narrowed = bob.home()
    assert first.id not in narrowed.plain
    element, entry = narrowed.element("All flows")
    bob.choose(narrowed, element, entry)
    home_of(bob, lambda home: first.id in home.plain)


def test_without_its_store(ask: Ask, bot: Bot, bob: Person, clock: HandClock, interventions: list[object]) -> None:
    """If the records can't be read the tab says so, instead of showing an old one, and shows them once they can."""
    asked = ask()

    def away(request: str, key: str) -> None:
        raise StoreUnavailable("The bucket does not answer.")

    interventions.append(away)
    assert "The bucket does not answer." in bob.home().plain
    interventions.clear()
    follow(bot, bob, clock, lambda home: asked.id in home.plain)


@pytest.mark.parametrize("error", ["fatal_error", "token_revoked", "not_enabled", "something_new"])
def test_a_tab_that_slack_refused_is_published_later(
    ask: Ask, bot: Bot, bob: Person, clock: HandClock, control: Control, error: str
) -> None:
    """What a tab should show is published once Slack takes it, whatever it answered before, with growing pauses."""
    bob.home()
    bot.sweeper.tick()
    asked = ask()
    control.fault("views.publish", error=error, times=2)
    tried = len(control.calls("views.publish"))
    follow(bot, bob, clock, lambda home: asked.id in home.plain)
    assert len(control.calls("views.publish")) == tried + 3


@pytest.mark.parametrize(
    ("requester", "is_bob"),
    [
        (BOB, True),
        (ALICE, False),
        (Somebody(id="bob", name="bob", origin=Origin.CLAIM), True),
        (Somebody(id="b", name="b", origin=Origin.CLAIM, email="BOB@example.com"), True),
        (Somebody(id="x", name="bob@example.com", origin=Origin.CLAIM), True),
        (Somebody(id="bobby", name="bobby", origin=Origin.CLAIM), False),
        (Somebody(id="U0BOB", name="x", origin=Origin.CLAIM), False),
    ],
)
def test_whose_question_it_is(requester: Somebody, is_bob: bool) -> None:  # noqa: FBT001 - a fact of the table
    """A requester is found by Slack's id, or by the name that their machine knows, whole."""
    assert is_requester(replace(approval(at=NOW), requester=requester), BOB) is is_bob
