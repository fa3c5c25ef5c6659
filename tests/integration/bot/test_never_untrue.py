"""What comes after the record never says that nothing was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest
import structlog

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.listeners import forms
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Driver, Person
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, State
from metaflow_extensions.hitl.approvals.waiting import wait
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from metaflow_extensions.hitl.stores.s3 import S3Store
from tests.fixtures.approvals import REQUESTER, HandClock, gate, pathspec, question
from tests.fixtures.s3 import S3
from tests.fixtures.s3_proxy import proxy_before
from tests.fixtures.slack import connect, work_until
from tests.integration.bot.conftest import CHANNEL, Ask
from tests.sizes import soak

UNTRUE = ("nothing was decided", "nothing was recorded", "not decided")


class BreakingEngine(LocalEngine):
    """Fails whenever something is to be carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def carry_out(self, approval: Approval) -> str:
        if self.error is not None:
            raise self.error
        return super().carry_out(approval)


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """Keep the traceback of a defect from being drawn, which takes seconds."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def engine() -> BreakingEngine:
    return BreakingEngine()


@pytest.fixture
def bot(settings: Settings, store: Store, clock: HandClock, engine: BreakingEngine) -> Iterator[Bot]:
    running = bootstrap(settings, store=store, clock=clock, engines={EngineKind.LOCAL: engine})
    connect(running)
    yield running
    assert running.stop(60)


def heard(person: Person) -> str:
    """Return all that a person was told beside the question: ephemeral answers and direct messages."""
    told = [one.plain for one in person.messages(CHANNEL) if one.is_ephemeral]
    return "\n".join([*told, *(one.plain for one in person.messages("@app"))])


def wait_until_approved(person: Person, ledger: Ledger, approval: Approval) -> None:
    person.control.wait_until(
        lambda: ledger.read(approval.id).approval.state is State.APPROVED, what="the decision in the record"
    )


def holds_no_untruth(text: str) -> bool:
    return not any(phrase in text.lower() for phrase in UNTRUE)


@pytest.mark.parametrize("broken", [1, 2])
def test_a_broken_response_url(ask: Ask, bob: Person, ledger: Ledger, control: Control, broken: int) -> None:
    """Broken once, the answer comes all the same; broken twice, nothing that is said denies the decision."""
    approval = ask()
    control.refuse("response_url", times=broken)
    bob.command(f"/hitl approve {approval.id}")
    wait_until_approved(bob, ledger, approval)
    told = bob.wait_for_ephemeral(CHANNEL).plain
    assert ("Approved" in told) if broken == 1 else ("whether it was recorded" in told)
    assert holds_no_untruth(heard(bob))


def test_the_loading_view_is_closed(
    ask: Ask,
    bob: Person,
    ledger: Ledger,
    interventions: list[Callable[[str, str], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever closes the view that says to wait has decided all the same, and nobody says otherwise."""
    monkeypatch.setattr(forms, "OPENING_TAKES", 0.05)
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    closed = Event()
    interventions.append(lambda request, _key: closed.wait(60) if request == "read" else None)
    bob.open(message, "Approve", confirm="Approve").close()
    closed.set()
    wait_until_approved(bob, ledger, approval)
    assert "Approved" in bob.wait_for_update(message, lambda one: "Approved" in one.plain).plain
    bob.control.wait_until(lambda: ledger.read(approval.id).approval.settlement is not None, what="the settlement")
    assert heard(bob) == ""


@pytest.mark.parametrize(
    "error", [EngineUnavailable("The cluster does not answer."), RuntimeError("a defect")], ids=type
)
@pytest.mark.parametrize("way", ["button", "form", "command"])
def test_an_engine_fails_after_the_record(
    ask: Ask,
    bot: Bot,
    bob: Person,
    ledger: Ledger,
    clock: HandClock,
    engine: BreakingEngine,
    error: Exception,
    way: str,
) -> None:
    """The decision stands, what is said does not deny it, and the workflow goes on once the engine works again."""
    approval = ask()
    engine.error = error
    message = bob.wait_for_message(CHANNEL)
    if way == "button":
        bob.click(message, "Approve", confirm="Approve")
    elif way == "command":
        bob.command(f"/hitl approve {approval.id}")
    else:
        form = bob.open(message, "Reject…").fill({"Reason": "not now"})
        assert isinstance(form.submit(), Closed)
    wanted = State.REJECTED if way == "form" else State.APPROVED
    bob.control.wait_until(lambda: ledger.read(approval.id).approval.state is wanted, what="the decision")
    assert ledger.read(approval.id).approval.settlement is None
    engine.error = None
    bot.sweeper.tick()
    clock.forward(3)
    bot.sweeper.tick()
    bob.control.wait_until(lambda: ledger.read(approval.id).approval.settlement is not None, what="the settlement")
    assert holds_no_untruth(heard(bob))


@pytest.mark.soak
def test_a_silent_store_costs_time_alone(
    settings: Settings, control: Control, people: Driver, clock: HandClock, s3_versitygw: S3
) -> None:
    """S3 says nothing for a while (eight seconds in a soak) as a run asks, bob clicks and a gate waits: all is done."""
    bob, place = people.as_("bob"), s3_versitygw
    with proxy_before(place.endpoint) as proxy, ThreadPoolExecutor() as others:
        store = S3Store(place.client(endpoint=proxy.endpoint, read_timeout=20), place.bucket, "hitl")
        bot = bootstrap(settings, store=store, clock=clock, pace=Pace(count(step=60).__next__))
        connect(bot)

        def ask(task: str) -> Approval:
            return bot.cases.ask(pathspec(task=task), question(notifiers=("slack",)), gate(), REQUESTER).approval

        def wait_at_the_gate() -> Approval:
            sleep, troubles = Event().wait, list[Exception]()
            return wait(bot.cases, first.id, poll_interval=0.1, sleep=sleep, on_trouble=troubles.append)

        first = ask("1")
        message = bob.wait_for_message(CHANNEL)
        waiting = others.submit(wait_at_the_gate)
        proxy.speaks.clear()
        asking = others.submit(ask, "2")
        clicking = others.submit(bob.click, message, "Approve", confirm="Approve", timeout=60)
        assert not Event().wait(soak(1, 8))  # what is shown: a silence
        assert not any(one.done() for one in (waiting, asking))
        proxy.speaks.set()
        clicking.result(60)
        assert waiting.result(60).lets_run
        second = asking.result(60)
        work_until(bot, clock, lambda: bot.cases.ledger.read(first.id).approval.settlement)
        assert bot.stop(30)
    questions = [one for one in bob.messages(CHANNEL) if first.id in one.plain or second.id in one.plain]
    assert [(second.id in one.plain, "Approve" in one.buttons) for one in questions] == [(False, False), (True, True)]
    assert bob.ephemerals(CHANNEL) == []
