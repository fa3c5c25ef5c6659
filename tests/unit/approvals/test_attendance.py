"""Who waits says so, and a message says when nobody does."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_bot.surfaces.attendance import Attendance
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.attendance import Heartbeat, last_seen, nobody_since
from metaflow_extensions.hitl.approvals.queries import Projection
from metaflow_extensions.hitl.approvals.record import Answer, EngineKind, Gate, TrailEvent, Verdict, Where
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.messages import single, terminal
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import (
    ALICE,
    NOW,
    REQUESTER,
    Bench,
    HandClock,
    after,
    approval,
    approving,
    pathspec,
    question as asked,
)
from tests.fixtures.watched_stores import CountedStore, WatchedStore, unavailable

ID = pathspec().approval_id
RESUME = "python flow.py resume --origin-run-id 17"


class Seconds:
    """Seconds that pass when somebody says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class AtOnce:
    """A pool that does what it is given before it returns."""

    def submit(self, work) -> Future:
        work()
        return Future()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def store(seconds) -> MemoryStore:
    return MemoryStore(seconds)


def test_an_hour_of_waiting_takes_some_seventy_heartbeats(store, seconds):
    """Every 30 s at first and every minute after ten; one key is there at any time, and none at the end."""
    counted = CountedStore(store)
    heartbeat = Heartbeat(counted, ID, clock=HandClock(), monotonic=seconds)
    clock = HandClock()
    heartbeat = Heartbeat(counted, ID, clock=clock, monotonic=seconds)
    for _ in range(3600 // 5):
        heartbeat.beat()
        assert len(list(store.list("waiting/"))) == 1
        seconds.now += 5
        clock.forward(5)
    assert counted.requests["mark"] == 20 + 50
    heartbeat.close()
    assert list(store.list("")) == []


def test_somebody_waits_until_they_have_been_silent_for_long(store, seconds):
    """One heartbeat may be missed; after two nobody waits, by the store's clock and not by that of who waited."""
    wrong = HandClock(NOW + timedelta(days=300))
    Heartbeat(store, ID, clock=wrong, monotonic=seconds).beat()
    seconds.now = 79
    assert nobody_since(store, ID, NOW) is None
    seconds.now = 81
    assert nobody_since(store, ID, NOW) == NOW - timedelta(seconds=81)


def test_of_what_never_was_waited_for_nothing_is_said(store):
    """No heartbeat, or a name that is none, says nothing about anybody."""
    store.mark(f"waiting/{ID}/notes")
    assert last_seen(store) == {}
    assert nobody_since(store, ID, NOW) is None


def test_a_store_that_is_away_does_not_end_the_wait(store, seconds):
    """A heartbeat that can't be written is one that is missing."""
    heartbeat = Heartbeat(WatchedStore(store, unavailable), ID, clock=HandClock(), monotonic=seconds)
    heartbeat.beat()
    heartbeat.close()


def watched(store) -> tuple[Bench, Attendance]:
    bench = Bench(store=store)
    projection = Projection()
    bench.ledger._observers = (projection.learn,)
    return bench, Attendance(bench.cases, projection, AtOnce())


def test_a_bot_notes_that_nobody_waits_and_that_somebody_does_again(store, seconds):
    """The record and its messages say since when; a laptop that wakes up takes that back."""
    bench, attendance = watched(store)
    bench.ask(resume=RESUME)
    heartbeat = Heartbeat(store, ID, clock=bench.clock, monotonic=seconds)
    heartbeat.beat()
    attendance.tick()
    assert bench.ledger.read(ID).approval.unattended_since is None

    seconds.now = 300
    bench.clock.forward(300)
    attendance.tick()
    noted = bench.ledger.read(ID)
    assert (noted.version.event, noted.approval.unattended_since) == (TrailEvent.UNATTENDED, NOW)
    assert bench.notifier.shown[ID].unattended_since == NOW

    heartbeat.beat()
    bench.clock.forward(60)
    attendance.tick()
    assert bench.ledger.read(ID).version.event == TrailEvent.ATTENDED
    assert bench.notifier.shown[ID].unattended_since is None


def test_a_heartbeat_says_nothing_about_a_workflow(store, seconds):
    """What waits on Argo is looked up in the cluster: a planted heartbeat changes no message."""
    bench, attendance = watched(store)
    argo = Gate(engine=EngineKind.ARGO, namespace="ml", workflow="w")
    bench.ledger.begin(transitions.request(pathspec(), asked(), argo, REQUESTER, NOW))
    Heartbeat(store, ID, clock=bench.clock, monotonic=seconds).beat()
    seconds.now = 300
    attendance.look()
    assert bench.ledger.read(ID).number == 1


def test_the_first_moment_is_kept(store):
    """Two bots that notice the same write one version; one that is decided gets none."""
    pending = transitions.attend(approval(), after(10))
    assert transitions.attend(pending, after(20)) == pending
    decided = transitions.decide(approval(), approving())
    assert transitions.attend(decided, after(10)) == decided


def test_an_approval_that_nobody_waits_for_is_said_to_start_nothing(store, seconds):
    """The engine names since when nobody waits and the command; a rejection and a run that left need no excuse."""
    Heartbeat(store, ID, clock=HandClock(), monotonic=seconds).beat()
    seconds.now = 600
    engine = LocalEngine(store, HandClock(after(600)))
    approved = transitions.decide(approval(resume=RESUME), approving())
    assert engine.carry_out(approved) == (
        f"nobody has been waiting since 2026-03-02 09:30 UTC. To continue with this answer: {RESUME}"
    )
    left = replace(approved, question=replace(approved.question, leaves=True))
    assert engine.carry_out(left) == ""
    assert engine.carry_out(approval()) == ""


def test_people_read_that_approving_starts_nothing():
    """Message, Slack's own question before a click, and terminal say it, with the command that goes on."""
    pending = transitions.attend(approval(resume=RESUME), NOW)
    blocks = single.render(pending, now=after(60)).blocks
    said = str(blocks)
    assert "*Nobody has been waiting since <!date^1772443800^" in said
    assert f"so approving starts nothing until somebody runs `{RESUME}`." in said
    assert "deploy starts once the run is resumed" in said
    (approve,) = [one for block in blocks for one in block.get("elements", ()) if one.get("style") == "primary"]
    assert approve["confirm"]["text"]["text"].startswith("Nobody has been waiting since 2026-03-02 09:30 UTC")
    assert "Nobody has been waiting since 2026-03-02 09:30 UTC" in terminal.shown(pending, now=NOW)


def test_a_record_that_says_who_waits_stays_whole(store, seconds):
    """What bots note about who waits may change until the decision, and the trail is whole with it."""
    bench, attendance = watched(store)
    bench.ask()
    heartbeat = Heartbeat(store, ID, clock=bench.clock, monotonic=seconds)
    heartbeat.beat()
    for now in (300, 301):
        bench.clock.forward(now - seconds.now)
        seconds.now = now
        attendance.look()
        heartbeat.beat()
    seconds.now = 700
    attendance.look()
    bench.cases.decide(ID, Answer(verdict=Verdict.APPROVE), who=ALICE, where=Where.BUTTON)
    events = [one.version.event for one in bench.ledger.verify(ID)]
    assert [one for one in events if "attended" in one] == ["unattended", "attended", "unattended"]
