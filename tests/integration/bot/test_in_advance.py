"""A foreach is one question from its first shard on: answers for shards that have not asked yet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from threading import current_thread, main_thread

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Person, Updated
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.question import OnReject, Shard
from metaflow_extensions.hitl.approvals.record import Approval, State, Where
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.slack import work_until
from tests.integration.bot.conftest import CHANNEL, SCHEMA
from tests.integration.bot.test_batches import shown, states, sweep, top, wait_for_states


def ask(bot: Bot, places: range, *, of: int = 60, **parts: object) -> list[Approval]:
    """Ask for shards of one foreach, as their tasks would."""
    return [
        bot.cases.ask(
            pathspec(task=f"{place}"),
            question(
                f"Deploy to region {place}?",
                **{
                    "notifiers": ("slack",),
                    "batch": True,
                    "shard": Shard(place=(place,), value=f"region {place}", counts=(of,)),
                    **parts,
                },
            ),
            gate(),
            REQUESTER,
        ).approval
        for place in places
    ]


def test_one_click_for_sixty_of_which_sixteen_have_asked(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, control: Control
) -> None:
    """One message, one click: those that ask later are approved as they ask, and all records say it was in advance."""
    first = ask(bot, range(16))
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "16 of 60 have asked so far" in one.plain)
    assert message.buttons[:2] == ["Approve these 16", "Approve all 60"]
    bob.click(message, "Approve all 60", confirm="Approve all 60")
    said = bob.wait_for_ephemeral(CHANNEL)
    assert said.plain == "16 answered. 44 to come will be approved as they ask."
    assert states(ledger, first) == [State.APPROVED] * 16
    sweep(bot, clock)
    given = shown(bot, clock, bob, lambda one: "Approved in advance" in one.plain)
    assert "by <@U0BOB>, including those to come: 16 of 60 had asked; nobody has seen the others." in given.plain
    assert given.buttons == ["Take back"]
    later = ask(bot, range(16, 60))
    wait_for_states(bot, clock, later, State.APPROVED)
    decision = ledger.read(later[0].id).approval.decision
    assert (decision.by.id, decision.where) == ("U0BOB", Where.IN_ADVANCE)
    assert decision.given_at < later[0].requested_at
    shown(bot, clock, bob, lambda one: "All 60 shards are answered" in one.plain)
    assert len([call for call in control.calls("chat.postMessage") if "thread_ts" not in call["args"]]) == 1
    (answer,) = bob.command(f"/hitl show {later[0].id}")
    assert re.search(r"\*Approved\* by <@U0BOB> in advance, \d+ s before this was asked", answer.plain)


def test_reject_all_also_those_to_come(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """The form asks whether the rejection is for those to come as well, and each of them gets the reason."""
    first = ask(bot, range(4))
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Reject all…")
    view.fill({"Reason": "too much drift", "Which shards": "All 60, also those to come (56)"})
    assert isinstance(view.submit(), Closed)
    later = ask(bot, range(4, 8))
    wait_for_states(bot, clock, [*first, *later], State.REJECTED)
    assert ledger.read(later[0].id).approval.decision.reason == "too much drift"


def test_one_form_for_those_to_come(bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger) -> None:
    """Where the step asks for input it is entered once, and goes to each shard that asks later, with what is owed.

    What is owed with all of them is one obligation: it is listed once, and closed once.
    """
    first = ask(bot, range(4), schema=SCHEMA, obligations=True)
    sweep(bot, clock)
    view = bob.open(shown(bot, clock, bob, bool), "Approve all…")
    owed = {"What is owed": "Watch the drift.", "Owner": "U0CAROL", "Due date": "2026-03-06"}
    view.fill({"Deploy target": "moon", "Replicas": 3, "Which shards": "All 60, also those to come (56)", **owed})
    assert isinstance(view.submit(), Closed)
    later = ask(bot, range(4, 6), schema=SCHEMA, obligations=True)
    wait_for_states(bot, clock, [*first, *later], State.APPROVED)
    work_until(bot, clock, lambda: len(list(ledger.owed())) == 6, "a marker for each shard")
    approvals = [ledger.read(one.id).approval for one in (*first, *later)]
    assert all(one.decision.input == {"deploy_target": "moon", "replicas": 3} for one in approvals)
    assert {(one.obligations[0].text, one.obligations[0].owner.id) for one in approvals} == {
        ("Watch the drift.", "U0CAROL")
    }
    (mine,) = carol.command("/hitl obligations")
    assert "1 open obligation" in mine.plain
    assert "and 5 more of this step" in mine.plain
    assert isinstance(carol.open(mine, "Done…").fill({"What was done": "No drift."}).submit(), Updated)
    closed = [ledger.read(one.id).approval for one in (*first, *later)]
    assert {one.follow_ups[-1].comment for one in closed} == {"No drift."}
    assert list(ledger.owed()) == []


def test_it_can_be_taken_back(bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger) -> None:
    """What was decided stays decided; what asks afterwards waits for people."""
    first = ask(bot, range(4))
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    sweep(bot, clock)
    carol.click(shown(bot, clock, bob, lambda one: "Take back" in one.buttons), "Take back", confirm="Take it back")
    assert "Taken back" in carol.wait_for_ephemeral(CHANNEL).plain
    later = ask(bot, range(4, 6))
    sweep(bot, clock)
    shown(bot, clock, bob, lambda one: "2 of 6 shards wait" in one.plain and "Approve all 56" in one.buttons)
    assert states(ledger, [*first, *later]) == [State.APPROVED] * 4 + [State.PENDING] * 2


def test_a_click_before_the_records_name_the_message(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, interventions: list[Callable[[str, str], None]]
) -> None:
    """Who clicks as soon as the message is there answers for those to come too, and takes it back by the same rule."""

    def refuse(request: str, key: str) -> None:
        if request == "create" and key.endswith("/00002.json"):
            raise StoreUnavailable("the store did not answer")

    first = ask(bot, range(4))
    interventions.append(refuse)
    sweep(bot, clock)
    message = shown(bot, clock, bob, bool)
    interventions.clear()
    assert [ledger.read(one.id).approval.posts for one in first] == [()] * 4
    bob.click(message, "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    wait_for_states(bot, clock, [*first, *ask(bot, range(4, 6))], State.APPROVED)


def test_who_may_take_back_is_who_may_give(
    bot: Bot, bob: Person, carol: Person, clock: HandClock, ledger: Ledger
) -> None:
    """By the rule of the shards that the answer is for, and not by that of another shard on the message."""
    (other,) = ask(bot, range(1), approvers=("U0CAROL",), on_reject=OnReject.CONTINUE)
    ask(bot, range(1, 4), approvers=("U0BOB",), on_reject=OnReject.CONTINUE)
    sweep(bot, clock)
    carol.command(f"/hitl reject {other.id} not this one")
    bob.click(
        shown(bot, clock, bob, lambda one: "Approve all 60" in one.buttons), "Approve all 60", confirm="Approve all 60"
    )
    bob.wait_for_ephemeral(CHANNEL)
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: "Take back" in one.buttons)
    assert ledger.read(other.id).approval.state is State.REJECTED
    carol.click(message, "Take back", confirm="Take it back")
    carol.wait_for_ephemeral(CHANNEL, lambda one: "carol can't decide" in one.plain)
    bob.click(message, "Take back", confirm="Take it back")
    bob.wait_for_ephemeral(CHANNEL, lambda one: "Taken back" in one.plain)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"quorum": 2}, "several people must agree on each"),
        ({"evidence": Evidence(metrics=(Metric(name="accuracy", value=0.9),))}, "each has metrics of its own"),
    ],
)
def test_where_each_has_to_be_looked_at(
    bot: Bot, bob: Person, clock: HandClock, parts: dict[str, object], why: str
) -> None:
    """A quorum and metrics want each shard looked at: the message says so, and offers nothing."""
    ask(bot, range(4), **parts)
    sweep(bot, clock)
    message = shown(bot, clock, bob, lambda one: f"Those to come can't be answered in advance: {why}" in one.plain)
    assert message.buttons == ["Approve all", "Approve all except…", "Reject all…"]


@pytest.mark.parametrize(
    "changed", [{"approvers": ("U0CAROL",)}, {"schema": SCHEMA}, {"timeout": 60}, {"allow_self_approval": False}]
)
def test_what_asks_something_else_waits(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, changed: dict[str, object]
) -> None:
    """An answer in advance is for what all shards ask alike: a shard that asks otherwise is left to people."""
    ask(bot, range(4))
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    (other,) = ask(bot, range(4, 5), **changed)
    (alike,) = ask(bot, range(5, 6))
    wait_for_states(bot, clock, [alike], State.APPROVED)
    assert states(ledger, [other]) == [State.PENDING]


def test_who_may_no_longer_decide(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, control: Control) -> None:
    """Who answered in advance is held to the rule when each shard asks: out of the group, it counts no more."""
    ask(bot, range(4), approvers=("@ml-leads",))
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    control.put_group(id="S0MLLEADS", members=["U0CAROL"])
    later = ask(bot, range(4, 6), approvers=("@ml-leads",))
    for _ in range(3):
        sweep(bot, clock)
    shown(bot, clock, bob, lambda one: "2 of 6 shards wait" in one.plain)
    assert states(ledger, later) == [State.PENDING] * 2


def test_the_next_bot_goes_on(
    bot: Bot, settings: Settings, store: Store, bob: Person, clock: HandClock, ledger: Ledger
) -> None:
    """The answer is in the store: a bot that starts afresh gives it to the shards that ask."""
    ask(bot, range(4))
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    fresh = bootstrap(settings, store=store, clock=clock)
    later = ask(fresh, range(4, 8))
    wait_for_states(fresh, clock, later, State.APPROVED)
    assert fresh.stop(60)


def test_the_next_turn_of_a_loop_is_asked_again(bot: Bot, bob: Person, clock: HandClock, ledger: Ledger) -> None:
    """A place of the foreach that has asked before belongs to another turn: it gets a message of its own, and waits."""
    ask(bot, range(4))
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all 60", confirm="Approve all 60")
    bob.wait_for_ephemeral(CHANNEL)
    again = bot.cases.ask(
        pathspec(task="again"),
        question("Deploy?", notifiers=("slack",), batch=True, shard=Shard(place=(0,), counts=(60,))),
        gate(),
        REQUESTER,
    ).approval
    work_until(bot, clock, lambda: len(top(bob)) == 2, "a message of its own")
    for _ in range(3):
        sweep(bot, clock)
    assert states(ledger, [again]) == [State.PENDING]


def test_200_shards_cost_what_200_cost(
    bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, control: Control, interventions: list[Callable[..., None]]
) -> None:
    """200 shards that come in waves are one post and one click; updates go by time, requests by the shards."""
    requests: Counter[str] = Counter()
    looking: list[bool] = []  # while the test reads for itself

    def count(request: str, key: str) -> None:
        if not (looking and current_thread() is main_thread()):
            requests[f"{request} {key.partition('/')[0]}"] += 1

    def are_decided(asked: list[Approval]) -> bool:
        looking.append(True)
        try:
            return set(states(bot.cases.ledger, asked)) == {State.APPROVED}
        finally:
            looking.clear()

    interventions.append(count)
    began = clock.now
    ask(bot, range(20), of=200)
    sweep(bot, clock)
    bob.click(shown(bot, clock, bob, bool), "Approve all 200", confirm="Approve all 200")
    bob.wait_for_ephemeral(CHANNEL)
    waves: list[Counter[str]] = []
    for start in (20, 80, 140):
        before = Counter(requests)
        wave = ask(bot, range(start, start + 60), of=200)
        for _ in range(3):  # posted, learned, answered
            sweep(bot, clock)
        work_until(bot, clock, lambda wave=wave: are_decided(wave), f"the wave from {start}")
        sweep(bot, clock)
        shown(bot, clock, bob, lambda one, said=f"{start + 60} approved": said in one.plain)
        sweep(bot, clock)
        waves.append(requests - before)
    shown(bot, clock, bob, lambda one: "All 200 shards are answered" in one.plain)
    assert len([call for call in control.calls("chat.postMessage") if "thread_ts" not in call["args"]]) == 1
    assert len(control.calls("chat.update")) <= (clock.now - began).total_seconds()
    assert waves[2].total() <= waves[0].total() * 1.3, [wave.most_common(12) for wave in waves]
