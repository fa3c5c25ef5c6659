"""Request changes, and run it again: who is told, who may, and what stands where afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Driver, Errors, Message, Person, Updated
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate
from metaflow_extensions.hitl.engines.fake import FakeEngine
from tests.fixtures.approvals import REQUESTER, HandClock, pathspec, question
from tests.fixtures.slack import connect
from tests.integration.bot.conftest import CHANNEL

ON_ARGO = Gate(engine=EngineKind.ARGO, namespace="metaflow", workflow="trainflow-x7k2p")
COMMAND = "python flow.py argo-workflows trigger --alpha 0.1 --model fraud"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Says that rita, whose login is on the record, is alice."""
    file = tmp_path / "policy.yaml"
    file.write_text("people: {rita: alice@example.com}\nrules: []")
    return file


@pytest.fixture
def bot(settings: Settings, store: Store, clock: HandClock, policy: Path, engine: FakeEngine) -> Iterator[Bot]:
    running = bootstrap(
        settings.model_copy(update={"policy": policy}), store=store, clock=clock, engines={EngineKind.ARGO: engine}
    )
    connect(running)
    yield running
    assert running.stop(60), "something of the bot did not end"


def ask(bot: Bot, run: str = "argo-trainflow-x7k2p") -> Approval:
    asked = question(notifiers=("slack",), allow_changes=True, run_again=COMMAND)
    return bot.cases.ask(pathspec(run=run), asked, ON_ARGO, REQUESTER).approval


def send_back(bot: Bot, bob: Person) -> Message:
    """Let bob request changes of a new question, and return its message then."""
    ask(bot)
    message = bob.wait_for_message(CHANNEL)
    view = bob.open(message, "Request changes…")
    assert isinstance(view.fill({"What must change": "a lower alpha"}).submit(), Closed)
    return bob.wait_for_update(message, lambda one: "the step does not run" in one.plain)


def thread(person: Person, message: Message, words: str) -> Message:
    found: Message = person.control.wait_until(
        lambda: next((one for one in message.thread if words in one.plain), None), what=f"a reply with {words!r}"
    )
    return found


def test_who_asked_is_told_and_nobody_else(bot: Bot, bob: Person) -> None:
    """The thread mentions the requester, with what must change; the message has the command, and the button."""
    message = send_back(bot, bob)
    bot.sweeper.tick()
    told = thread(bob, message, "a lower alpha")
    assert told.mentions == ["<@U0ALICE>"]
    assert "Changes requested by bob" in told.plain.replace("*", "")
    assert COMMAND in message.plain


def test_the_requester_runs_it_again_with_other_parameters(
    bot: Bot, bob: Person, alice: Person, engine: FakeEngine
) -> None:
    """The form has the parameters as they were; what is started is said in it and in the thread; the next one links."""
    message = send_back(bot, bob)
    form = alice.open(message, "Run again…")
    assert "a lower alpha" in form.plain
    assert [(one.label, one.element["initial_value"]) for one in form.fields] == [("alpha", "0.1"), ("model", "fraud")]
    refused = form.fill({"alpha": "low"}).submit()
    assert isinstance(refused, Errors)
    assert refused.by_label == {"alpha": "It must be a number, such as 0.1."}
    done = form.fill({"alpha": "0.05"}).submit()
    assert isinstance(done, Updated)
    assert engine.started == {
        "deploy-" + message.plain.rsplit("deploy-", 1)[1][:10]: {"alpha": "0.05", "model": "fraud"}
    }
    assert "has started" in alice.view().plain
    bot.sweeper.tick()
    assert "alice runs it again: workflow `again-deploy-" in thread(alice, message, "runs it again").plain
    following = ask(bot, run="argo-trainflow-again")
    assert following.question.follows is not None
    shown = bob.wait_for_message(CHANNEL, lambda one: following.id in one.plain)
    assert "where bob asked for changes: “a lower alpha”" in shown.plain


def test_it_is_run_again_once(bot: Bot, bob: Person, alice: Person, engine: FakeEngine) -> None:
    """With other parameters one is told which workflow there is already; with the same ones it is that one."""
    message = send_back(bot, bob)
    for alpha, told in (("0.2", "has started"), ("0.2", "has started"), ("0.3", "It has already been run again")):
        alice.open(message, "Run again…").fill({"alpha": alpha}).submit()
        assert told in alice.view().plain
        alice.view().close()
    alice.open(message, "Run again…").fill({"alpha": "0.3"}).submit()
    assert "It has already been run again, as workflow again-deploy-" in alice.view().plain
    assert [one["alpha"] for one in engine.started.values()] == ["0.2"]


@pytest.mark.parametrize(
    ("who", "known_as", "words"),
    [
        ("bob", "{rita: alice@example.com}", "Only alice, who started the run, can run it again from here."),
        ("dave", "{rita: dave@agency.example}", "guests of the workspace can't decide"),
        ("alice", "{}", "rita isn't linked to a Slack user. An operator can link them"),
        ("alice", "{rita: nobody@example.com}", "rita isn't linked to a Slack user"),
    ],
)
def test_nobody_else_may(
    bot: Bot, people: Driver, bob: Person, engine: FakeEngine, policy: Path, who: str, known_as: str, words: str
) -> None:
    """Who did not ask, a guest, and anybody while nobody knows who asked: each is told why, and nothing starts."""
    message = send_back(bot, bob)
    new = policy.with_suffix(".new")
    new.write_text(f"people: {known_as}\nrules: []")
    new.replace(policy)
    person = people.as_(who)
    person.click(message, "Run again…")
    assert words in person.wait_for_ephemeral(CHANNEL).plain
    assert engine.started == {}


def test_while_slack_can_not_be_asked_nothing_starts(
    bot: Bot, bob: Person, alice: Person, engine: FakeEngine, control: Control, clock: HandClock
) -> None:
    """Without knowing who somebody is, nobody may; the button stays."""
    message = send_back(bot, bob)
    form = alice.open(message, "Run again…")
    clock.forward(3_600)
    control.fault("users.info", error="fatal_error")
    assert isinstance(form.submit(), Updated)
    assert "Slack can't say who U0ALICE is" in alice.view().plain
    assert engine.started == {}
    assert "Run again…" in message.refresh().buttons


def test_a_workflow_that_is_gone(bot: Bot, bob: Person, alice: Person, engine: FakeEngine) -> None:
    """Where Argo has deleted it, the click says so; the command on the message still does."""
    message = send_back(bot, bob)
    engine.end("deploy-" + message.plain.rsplit("deploy-", 1)[1][:10], "the workflow was deleted")
    alice.click(message, "Run again…")
    said = alice.wait_for_ephemeral(CHANNEL)
    assert "the workflow was deleted. Nothing was started. You can also use the command on the message." in said.plain


def test_a_run_on_a_machine_has_no_button(bot: Bot, bob: Person) -> None:
    """A process on somebody's own machine is started there: the message has the command alone."""
    asked = question(notifiers=("slack",), allow_changes=True, run_again="python flow.py run")
    local = Gate(engine=EngineKind.LOCAL)
    bot.cases.ask(pathspec(), asked, local, REQUESTER)
    message = bob.wait_for_message(CHANNEL)
    bob.open(message, "Request changes…").fill({"What must change": "a lower alpha"}).submit()
    answered = bob.wait_for_update(message, lambda one: "Changes requested" in one.plain)
    assert "python flow.py run" in answered.plain
    assert answered.buttons == []
