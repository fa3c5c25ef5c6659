"""An answer from a command line, and a run, that somebody has to confirm in Slack: over real sockets."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Message, Person as Somebody
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.deciding import proposal as proposals
from metaflow_extensions.hitl.approvals.deciding.proposal import AnswerProposal, DoneProposal
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    Obligation,
    Origin,
    Person,
    State,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.slack import ClaimedPeople
from tests.fixtures.approvals import HandClock, any_input
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask

POLICY = "people: {bobby: bob@example.com, rita: alice@example.com, carol2: carol@example.com}\nrules: []\n"
NONCE = "0123456789abcdef" * 2


@pytest.fixture
def settings(settings: Settings, tmp_path: Any) -> Settings:
    """With a policy that links user names to people."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return settings.model_copy(update={"policy": file})


@pytest.fixture
def machine(store: Store, clock: HandClock) -> UseCases:
    """A command line, which has neither Slack nor the policy."""
    return UseCases(Ledger(store), engines={}, notifiers={}, people=ClaimedPeople(), check_input=any_input, clock=clock)


def typed(machine: UseCases, asked: Approval, name: str, nonce: str = NONCE, **parts: Any) -> AnswerProposal:
    who = Person(id=name, name=name, origin=Origin.CLAIM)
    came = machine.answer_from_command_line(
        asked.id, Answer(**{"verdict": Verdict.APPROVE, **parts}), who=who, nonce=nonce
    )
    assert isinstance(came, AnswerProposal)
    return came


def direct(bot: Bot, clock: HandClock, person: Somebody, said: str) -> Message:
    """Let the bot look, and return its direct message."""
    clock.forward(3)
    bot.sweeper.tick()
    return person.wait_for_message(person.id, lambda one: said in one.plain)


def test_an_answer_counts_once_its_person_confirms_it(
    ask: Ask, bot: Bot, bob: Somebody, machine: UseCases, clock: HandClock, ledger: Ledger
) -> None:
    """The direct message shows what was typed; the click decides as that person's own, with all that was typed.

    So it is with what they say of the obligation afterwards: it is closed once they confirm that, too.
    """
    asked = ask(approvers=("@ml-leads",), schema=SCHEMA)
    entered = {"deploy_target": "eu", "replicas": 2}
    bobby = Person(id="bobby", name="bobby", origin=Origin.CLAIM)
    owed = Obligation(text="Watch the drift.", owner=bobby, due="2026-03-06")
    proposal = typed(machine, asked, "bobby", input=entered, reason="canary first", obligation=owed)
    assert ledger.read(asked.id).approval.state is State.PENDING
    message = direct(bot, clock, bob, "Was that you?")
    for part in ("bobby", "eu", "canary first", "Owed by you: “Watch the drift.”, due 2026-03-06", asked.id):
        assert part in message.plain
    bob.click(message, "Yes, that was me")
    done = bob.wait_for_update(message)
    assert "Approved" in done.plain
    approval = ledger.read(asked.id).approval
    assert approval.decision is not None
    assert (approval.decision.by.id, approval.decision.where) == ("U0BOB", Where.CONFIRMATION)
    assert (approval.decision.input, approval.decision.reason) == (entered, "canary first")
    assert proposal.is_confirmed(approval)
    assert list(proposals.proposed(ledger.store, limit=10)) == []
    (taken_on,) = approval.obligations
    assert (taken_on.text, taken_on.owner.id) == ("Watch the drift.", "U0BOB")
    done = machine.obligations.close_from_command_line(asked.id, 1, who=bobby, comment="None.", nonce="d" * 32)
    assert isinstance(done, DoneProposal)
    message = direct(bot, clock, bob, "has closed this obligation. Was that you?")
    assert "What was done: “None.”" in message.plain
    bob.click(message, "Yes, that was me")
    assert "The obligation is closed." in bob.wait_for_update(message).plain
    assert done.is_confirmed(ledger.read(asked.id).approval)


def test_one_person_with_two_typed_names_is_one(
    ask: Ask, bot: Bot, bob: Somebody, machine: UseCases, clock: HandClock, ledger: Ledger
) -> None:
    """Where two must agree, two typed names are nobody, and a confirmed answer is one vote."""
    asked = ask(quorum=2)
    typed(machine, asked, "bobby")
    typed(machine, asked, "mallory", nonce="f" * 32)
    message = direct(bot, clock, bob, "Was that you?")
    bob.click(message, "Yes, that was me")
    bob.wait_for_update(message)
    approval = ledger.read(asked.id).approval
    assert (approval.state, [vote.by.id for vote in approval.votes]) == (State.PENDING, ["U0BOB"])


def test_a_name_that_nobody_is_linked_to_is_said_in_the_thread(
    ask: Ask, bot: Bot, bob: Somebody, machine: UseCases, clock: HandClock, ledger: Ledger, control: Control
) -> None:
    """Nobody is asked, the thread says how to link the name, and the proposal is gone."""
    asked = ask(approvers=("@ml-leads",))
    typed(machine, asked, "@ml-leads")
    clock.forward(3)
    bot.sweeper.tick()

    def look() -> bool:
        clock.forward(3)
        bot.sweeper.tick()
        message = next(one for one in bob.messages(CHANNEL) if asked.id in one.plain)
        return any("isn't linked to a Slack user" in one.plain for one in message.thread)

    control.wait_until(look, what="the line in the thread")
    assert list(proposals.proposed(ledger.store, limit=10)) == []
    assert ledger.read(asked.id).approval.state is State.PENDING


def test_what_is_clicked_is_what_was_shown(
    ask: Ask, bot: Bot, bob: Somebody, machine: UseCases, clock: HandClock, store: Store, ledger: Ledger
) -> None:
    """An object that was swapped after the message was sent is not confirmed by its button."""
    asked = ask(approvers=("@ml-leads",))
    proposal = typed(machine, asked, "bobby", verdict=Verdict.REJECT, reason="stale data")
    message = direct(bot, clock, bob, "Was that you?")
    store.unmark(proposal.key)
    proposals.propose_answer(store, replace(proposal, verdict=Verdict.APPROVE, reason=""))
    bob.click(message, "Yes, that was me")
    assert any("can no longer be confirmed" in one.plain for one in bob.ephemerals(bob.id))
    assert ledger.read(asked.id).approval.state is State.PENDING


def test_whoever_writes_the_bucket_can_not_flood_people(
    ask: Ask, bot: Bot, machine: UseCases, clock: HandClock, control: Control, store: Store
) -> None:
    """Of forty planted answers five are asked about, and what is no answer is removed and holds up nothing."""
    asked = ask(approvers=("@ml-leads",))
    store.create(f"{proposals.FOLDER}{asked.id}/zz.json", b"{")
    store.create(f"{proposals.FOLDER}nobody/{NONCE}.json", b"[]")
    for number in range(40):
        typed(machine, asked, "bobby", nonce=f"{number:032x}")
    for _ in range(3):
        clock.forward(3)
        bot.sweeper.tick()
        control.wait_for_calls("chat.postMessage", 6)
    sent = [call for call in control.calls("chat.postMessage") if call["args"].get("channel") == "U0BOB"]
    assert len(sent) == 5


# Whose run it is.


@pytest.mark.parametrize("error", ["fatal_error", "token_revoked"])
def test_an_answer_outlives_that_slack_is_away(
    ask: Ask, bot: Bot, bob: Somebody, machine: UseCases, clock: HandClock, control: Control, error: str
) -> None:
    """However often the person can't be asked, the answer stays, and they are asked once Slack takes the message."""
    asked = ask(approvers=("@ml-leads",))
    typed(machine, asked, "bobby")
    posted = len(control.calls("chat.postMessage"))
    control.fault("chat.postMessage", error=error, times=8)

    for _ in range(400):
        if len(control.calls("chat.postMessage")) >= posted + 8:
            break
        clock.forward(3)
        bot.sweeper.tick()  # does nothing while the last attempt goes on
        Event().wait(0.02)  # for the thread that asks
    else:
        pytest.fail("Slack was not asked eight times")
    assert list(proposals.proposed(bot.cases.ledger.store, limit=10)) != []
    assert "Yes, that was me" in direct(bot, clock, bob, "Was that you?").buttons


def test_a_run_is_approved_once_its_requester_confirmed_it(
    ask: Ask, bot: Bot, bob: Somebody, alice: Somebody, clock: HandClock, ledger: Ledger
) -> None:
    """Rita is alice: until she says that the run is hers nobody approves it, then bob does, and she doesn't."""
    asked = ask(allow_self_approval=False)
    (refused,) = bob.command(f"/hitl approve {asked.id}")
    assert "alice has to confirm it first" in refused.plain
    message = direct(bot, clock, alice, "Did you start it?")
    alice.click(message, "Yes, I started it")
    alice.wait_for_update(message)
    confirmed = ledger.read(asked.id).approval.confirmed_requester
    assert confirmed is not None
    assert confirmed.id == "U0ALICE"
    (refused,) = alice.command(f"/hitl approve {asked.id}")
    assert "the person who started the run may not approve it" in refused.plain
    bob.command(f"/hitl approve {asked.id}")
    assert ledger.read(asked.id).approval.state is State.APPROVED


def test_gates_of_one_run_ask_its_requester_once(
    ask: Ask, bot: Bot, alice: Somebody, clock: HandClock, control: Control, ledger: Ledger
) -> None:
    """Three gates of a run lead to one direct message, and its click is about all of them."""
    gates = [ask(task, allow_self_approval=False) for task in "123"]
    message = direct(bot, clock, alice, "Did you start it?")
    alice.click(message, "Yes, I started it")
    alice.wait_for_update(message)
    assert all(ledger.read(one.id).approval.confirmed_requester is not None for one in gates)
    assert sum(call["args"].get("channel") == "U0ALICE" for call in control.calls("chat.postMessage")) == 1
