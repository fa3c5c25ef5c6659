"""The forms that a question opens."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest

from hitl_bot.listeners import forms
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Errors, Message, Person, Updated
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import State, TrailEvent, Where
from metaflow_extensions.hitl.approvals.schema import normalise
from tests.fixtures.approvals import HandClock, approving, rejecting
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask

FILLED = {"Deploy target": "staging", "Replicas": 3}
# What Slack's own client can't check: it lets any text through, and the schema does not.
STRICT = normalise({"ticket": {"type": "str", "pattern": "OPS-[0-9]+"}, "replicas": {"type": "int", "optional": True}})


def asks(message: Message) -> bool:
    return "Approve…" in message.buttons


def test_the_values_arrive_typed(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """What is filled in is in the record with its types, the form closes, and the message shows the values."""
    approval = ask(schema=SCHEMA)
    message = bob.wait_for_message(CHANNEL, asks)
    view = bob.open(message, "Approve…")
    assert approval.question.message in view.plain
    assert isinstance(view.fill(FILLED).submit(), Closed)
    shown = bob.wait_for_update(message)
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert (decision.input, decision.where) == ({"deploy_target": "staging", "replicas": 3}, Where.FORM)
    assert "staging" in shown.plain
    assert shown.buttons == []


def test_an_error_stands_under_its_field(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """A value that does not fit is refused at its field with what is accepted; corrected, the same form is taken."""
    approval = ask(schema=STRICT)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")
    refused = view.fill({"Ticket": "soon"}).submit()
    assert isinstance(refused, Errors)
    assert refused.from_app
    assert list(refused.by_label) == ["Ticket"]
    assert "OPS-[0-9]+" in refused.by_label["Ticket"]
    assert ledger.read(approval.id).approval.state is State.PENDING
    assert isinstance(view.fill({"Ticket": "OPS-7"}).submit(), Closed)
    assert ledger.read(approval.id).approval.state is State.APPROVED


@pytest.mark.parametrize("button", ["Approve…", "Reject…"])
def test_somebody_else_decided_meanwhile(ask: Ask, bob: Person, ledger: Ledger, clock: HandClock, button: str) -> None:
    """The form turns into who decided what and when, with nothing to submit."""
    approval = ask(schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), button)
    other = rejecting(at=clock(), reason="no") if button == "Approve…" else approving(at=clock())
    ledger.update(approval.id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, other))
    clock.forward(60)
    told = view.fill(FILLED if button == "Approve…" else {"Reason": "late"}).submit()
    assert isinstance(told, Updated)
    assert told.view.submit_label == ""
    assert "1 min ago" in told.view.plain
    assert other.by.id in told.view.plain
    assert ledger.read(approval.id).approval.decision == other


def test_a_form_submitted_behind_the_deadline(ask: Ask, bob: Person, ledger: Ledger, clock: HandClock) -> None:
    """A form that was open at the deadline says that time is up, and decides nothing."""
    approval = ask(schema=SCHEMA, timeout=60)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")
    clock.forward(60)
    told = view.fill(FILLED).submit()
    assert isinstance(told, Updated)
    assert "The deadline has passed" in told.view.plain
    assert ledger.read(approval.id).approval.decision is None


def test_who_may_not_decide_is_told_in_the_form(ask: Ask, bob: Person, control: Control, ledger: Ledger) -> None:
    """Somebody who left the group while the form was open is refused when it is submitted."""
    approval = ask(approvers=("bob@example.com",), schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")
    payload = next(one["payload"] for one in control.envelopes() if one["payload"]["type"] == "block_actions")
    assert payload["user"]["id"] == "U0BOB"
    values = {block["block_id"]: {"value": {"type": "plain_text_input", "value": "3"}} for block in view.blocks[-2:]}
    submission = {
        **{name: payload[name] for name in ("team", "api_app_id", "token")},
        "type": "view_submission",
        "user": {**payload["user"], "id": "U0CAROL"},
        "view": {**view.shape, "state": {"values": values}},
    }
    answer = control.deliver("interactive", submission)["answer"]
    assert answer["response_action"] == "update"
    assert "carol can't decide" in str(answer["view"]["blocks"])
    assert ledger.read(approval.id).approval.state is State.PENDING


@pytest.mark.parametrize("metadata", ["", "{}", "[]", "not json", '{"approval": "../x"}', '{"approval": 7}'])
def test_a_form_that_names_no_approval(ask: Ask, bob: Person, control: Control, ledger: Ledger, metadata: str) -> None:
    """A submitted view whose metadata was tampered with is refused in the view, and nothing is written."""
    approval = ask(schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")
    submission = {
        "type": "view_submission",
        "user": {"id": "U0BOB", "team_id": "T0SANDBOX"},
        "team": {"id": "T0SANDBOX"},
        "view": {**view.shape, "private_metadata": metadata, "state": {"values": {}}},
    }
    answer = control.deliver("interactive", submission)
    assert answer["error"] == ""
    assert "not an approval ID" in str(answer["answer"])
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_a_store_that_is_away_keeps_what_was_entered(
    ask: Ask, bob: Person, ledger: Ledger, interventions: list[Callable[[str, str], None]]
) -> None:
    """If the record can't be written, the form stays open with its values, says why, and can be submitted again."""
    approval = ask(schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")

    def away(request: str, key: str) -> None:
        if request == "create":
            raise StoreUnavailable("The bucket does not answer. Try again.")

    interventions.append(away)
    refused = view.fill(FILLED).submit()
    assert isinstance(refused, Errors)
    assert "does not answer" in "".join(refused.by_label.values())
    interventions.clear()
    assert isinstance(view.submit(), Closed)
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_a_slow_record_opens_a_view_that_says_so(
    ask: Ask, bob: Person, interventions: list[Callable[[str, str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger lives for three seconds: if the record is not read by then, a loading view takes its place."""
    monkeypatch.setattr(forms, "OPENING_TAKES", 0.05)
    ask(schema=SCHEMA)
    message = bob.wait_for_message(CHANNEL, asks)
    read = Event()

    def slow(request: str, key: str) -> None:
        if request == "read":
            read.wait(60)

    interventions.append(slow)
    view = bob.open(message, "Approve…")
    assert "Reading the question" in view.plain
    read.set()
    form = view.wait_for_update()
    assert form.submit_label == "Approve"
    assert isinstance(form.fill(FILLED).submit(), Closed)


def test_a_slow_refusal_is_shown_in_the_view(
    ask: Ask, bob: Person, interventions: list[Callable[[str, str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong behind a loading view is said there, not left to spin."""
    monkeypatch.setattr(forms, "OPENING_TAKES", 0.05)
    ask(schema=SCHEMA)
    message = bob.wait_for_message(CHANNEL, asks)
    read = Event()

    def away(request: str, key: str) -> None:
        read.wait(60)
        raise StoreUnavailable("The bucket does not answer.")

    interventions.append(away)
    view = bob.open(message, "Approve…")
    read.set()
    assert "The bucket does not answer." in view.wait_for_update().plain


def test_a_defect_behind_a_form_is_shown_in_it(
    ask: Ask, bob: Person, ledger: Ledger, interventions: list[Callable[[str, str], None]]
) -> None:
    """What nobody foresaw turns the form into a reference for the operator; Slack's own error would say nothing."""
    approval = ask(schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")

    def broken(request: str, key: str) -> None:
        raise ZeroDivisionError

    interventions.append(broken)
    told = view.fill(FILLED).submit()
    assert isinstance(told, Updated)
    assert "Something went wrong." in told.view.plain
    interventions.clear()
    assert ledger.read(approval.id).approval.state is State.PENDING


@pytest.mark.parametrize("ending", ["saved", "refused"])
def test_a_slow_decision_says_saving_and_then_how_it_ended(
    ask: Ask,
    bob: Person,
    ledger: Ledger,
    interventions: list[Callable[[str, str], None]],
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    """Slack waits three seconds for an ack: a slower record shows "Saving", and the outcome when there is one."""
    monkeypatch.setattr(forms, "ANSWERING_TAKES", 0.05)
    approval = ask(schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")
    written = Event()

    def slow(request: str, key: str) -> None:
        if request == "create":
            written.wait(60)
            if ending == "refused":
                raise StoreUnavailable("The bucket does not answer.")

    interventions.append(slow)
    saving = view.fill(FILLED).submit()
    assert isinstance(saving, Updated)
    assert "Saving" in saving.view.plain
    written.set()
    told = saving.view.wait_for_update().plain
    if ending == "saved":
        assert "Approved" in told
        assert ledger.read(approval.id).approval.state is State.APPROVED
    else:
        assert "The bucket does not answer." in told
        assert ledger.read(approval.id).approval.state is State.PENDING


def test_closing_the_view_that_saves_says_nothing_untrue(
    ask: Ask,
    bob: Person,
    ledger: Ledger,
    interventions: list[Callable[[str, str], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever closes "Saving" before it ends has decided all the same: it is carried out, and nobody says otherwise."""
    monkeypatch.setattr(forms, "ANSWERING_TAKES", 0.05)
    approval = ask(schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Approve…")
    closed = Event()
    interventions.append(lambda request, _key: closed.wait(60) if request == "create" else None)
    saving = view.fill(FILLED).submit()
    assert isinstance(saving, Updated)
    saving.view.close()
    closed.set()
    bob.control.wait_for_calls("chat.update")
    bob.control.wait_until(lambda: ledger.read(approval.id).approval.settlement is not None, what="the settlement")
    assert [one.plain for one in bob.messages("@app")] == []
