"""The buttons under a question."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.listeners import forms
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Driver, Message, NotConfirmed, Person
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import State, TrailEvent, Where
from metaflow_extensions.hitl.messages import controls
from metaflow_extensions.hitl.slack import SLACK
from tests.fixtures.approvals import BOB, HandClock, approving, rejecting
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask


def asks(message: Message) -> bool:
    return controls.APPROVE in [element.action_id for element in message.elements]


def test_approve_decides_after_the_confirmation(ask: Ask, bob: Person, ledger: Ledger, clock: HandClock) -> None:
    """Approve without a schema asks "are you sure", then records who, where and when, and the message shows it."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    clock.forward(180)
    with pytest.raises(NotConfirmed):
        bob.click(message, "Approve")
    bob.click(message, "Approve", confirm="Approve")
    shown = bob.wait_for_update(message)
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert (decision.by.id, decision.by.name, decision.by.email) == ("U0BOB", "bob", "bob@example.com")
    assert (decision.by.origin, decision.where, decision.at) == (SLACK, Where.BUTTON, clock.now)
    assert shown.buttons == []
    assert "Approved" in shown.plain
    assert "after 3 min" in shown.plain


def test_a_click_settles_the_approval(ask: Ask, bot: Bot, bob: Person, ledger: Ledger) -> None:
    """Once the message shows the answer nothing is left for the sweeper: the approval is off the list of open ones."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    bob.click(message, "Approve", confirm="Approve")
    assert bot.stop(60)
    assert ledger.read(approval.id).approval.settlement is not None
    assert list(ledger.open_ids()) == []


def test_reject_asks_for_the_reason(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Reject… opens a form; what is written there is in the record and on the message."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    view = bob.open(message, "Reject…")
    assert isinstance(view.fill({"Reason": "drift too high"}).submit(), Closed)
    shown = bob.wait_for_update(message)
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert (decision.verdict.value, decision.reason, decision.where) == ("rejected", "drift too high", Where.FORM)
    assert "drift too high" in shown.plain


def test_a_rejection_without_a_reason_stays_in_the_form(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """A reason of blanks passes Slack's own check; the bot says at the input that the requester reads it."""
    approval = ask()
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Reject…")
    refused = view.fill({"Reason": "   "}).submit()
    assert refused.by_label["Reason"]
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_the_same_click_twice_decides_once(ask: Ask, bot: Bot, bob: Person, control: Control, ledger: Ledger) -> None:
    """An envelope that Slack delivers twice is one decision, and settles once."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    control.deliver_twice()
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message)
    assert bot.stop(60)
    assert [one["attempts"] for one in control.envelopes()] == [2]
    events = [entry.version.event for entry in ledger.verify(approval.id)]
    assert events.count(TrailEvent.DECIDED) == 1


def test_two_people_at_once_have_one_winner(
    ask: Ask, bob: Person, carol: Person, ledger: Ledger, interventions: list[Callable[[str, str], None]]
) -> None:
    """Of a yes and a no in the same moment one stands, and the other is told whose."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    theirs = carol.wait_for_message(CHANNEL, asks)
    view = carol.open(theirs, "Reject…").fill({"Reason": "not yet"})
    both = Barrier(2)

    def meet(request: str, key: str) -> None:
        if request == "create" and key.endswith("00003.json"):
            both.wait(60)

    interventions.append(meet)
    with ThreadPoolExecutor(2) as pool:
        yes = pool.submit(bob.click, message, "Approve", confirm="Approve")
        no = pool.submit(view.submit)
        yes.result()
        told = no.result()
    state = ledger.read(approval.id).approval.state
    if state is State.APPROVED:
        assert "Approved by <@U0BOB>" in told.view.plain.replace("*", "")
    else:
        assert state is State.REJECTED
        assert isinstance(told, Closed)
        assert bob.wait_for_ephemeral(CHANNEL, lambda one: "rejected by carol" in one.plain)
    assert [entry.version.event for entry in ledger.verify(approval.id)].count(TrailEvent.DECIDED) == 1


def test_approve_on_a_rejected_one_names_the_winner_and_mends_the_message(
    ask: Ask, bob: Person, ledger: Ledger, clock: HandClock
) -> None:
    """A message that still has buttons after a rejection elsewhere tells who rejected, and loses them."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    ledger.update(
        approval.id,
        TrailEvent.DECIDED,
        clock(),
        lambda one: transitions.decide(one, rejecting(reason="stale", at=clock())),
    )
    clock.forward(120)
    bob.click(message, "Approve", confirm="Approve")
    told = bob.wait_for_ephemeral(CHANNEL)
    assert "was rejected by Bob Brown 2 min ago" in told.plain
    assert '"stale"' in told.plain
    assert bob.wait_for_update(message).buttons == []


def test_approve_on_an_approved_one_says_so(ask: Ask, bob: Person, ledger: Ledger, clock: HandClock) -> None:
    """The same answer again is no conflict: it says that it stands, and the message is brought up to date."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    ledger.update(
        approval.id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, approving(BOB, at=clock()))
    )
    bob.click(message, "Approve", confirm="Approve")
    assert "Approved" in bob.wait_for_ephemeral(CHANNEL).plain
    assert message.refresh().buttons == []


def test_a_form_button_on_a_decided_one_opens_how_it_ended(
    ask: Ask, bob: Person, ledger: Ledger, clock: HandClock
) -> None:
    """Where a form would open, a view tells who decided what, with nothing to submit; the message is mended too."""
    approval = ask(schema=SCHEMA)
    message = bob.wait_for_message(CHANNEL, asks)
    ledger.update(approval.id, TrailEvent.DECIDED, clock(), lambda one: transitions.decide(one, rejecting(at=clock())))
    view = bob.open(message, "Approve…")
    assert view.submit_label == ""
    assert "Rejected" in view.plain
    assert bob.wait_for_update(message).buttons == []


def test_after_the_deadline_a_click_is_late(ask: Ask, bob: Person, ledger: Ledger, clock: HandClock) -> None:
    """At the deadline the answer no longer counts, even if nobody has expired the approval yet."""
    approval = ask(timeout=60)
    message = bob.wait_for_message(CHANNEL, asks)
    clock.forward(60)
    bob.click(message, "Approve", confirm="Approve")
    assert f"{approval.id} closed at" in bob.wait_for_ephemeral(CHANNEL).plain
    assert ledger.read(approval.id).approval.decision is None


def test_details_show_the_trail(ask: Ask, bob: Person) -> None:
    """The menu's Details opens a view with the pathspec and every version."""
    approval = ask()
    view = bob.open(bob.wait_for_message(CHANNEL, asks), "Details")
    assert str(approval.pathspec) in view.plain
    assert "Asked by rita" in view.plain
    assert "Posted with slack" in view.plain


def test_the_command_can_be_copied(ask: Ask, bob: Person) -> None:
    """The menu's Copy command answers this person alone with the command for a terminal."""
    approval = ask()
    bob.click(bob.wait_for_message(CHANNEL, asks), "Copy command")
    assert f"hitl approve {approval.id}" in bob.wait_for_ephemeral(CHANNEL).plain


def forged(control: Control, **changes: Any) -> dict[str, Any]:
    """Return the payload of the last click, otherwise than Slack sent it."""
    clicks = [one for one in control.envelopes() if one["type"] == "interactive"]
    payload = copy.deepcopy(clicks[-1]["payload"])
    payload["actions"][0].update(changes.pop("action", {}))
    for name, value in changes.items():
        payload[name] = {**payload[name], **value}
    return payload


@pytest.mark.parametrize("value", ["../../etc", "", "x" * 300, "gate\n", "nobody-aaaaaaaaaa", "\u202egate"])
def test_a_forged_value_is_refused(ask: Ask, bob: Person, control: Control, ledger: Ledger, value: str) -> None:
    """A value that is no id, or the id of nothing, gets a clear line; nothing is written."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    bob.click(message, "Copy command")
    before = bob.wait_for_ephemeral(CHANNEL)
    approve = {"action_id": controls.APPROVE, "type": "button", "value": value}
    assert control.deliver("interactive", forged(control, action=approve))["error"] == ""
    told = bob.wait_for_message(CHANNEL, lambda one: one.is_ephemeral and one.ts > before.ts)
    refused = "was found in" if value == "nobody-aaaaaaaaaa" else "is not an approval id"
    assert refused in told.plain.lower()
    assert ledger.read(approval.id).number == 2


def test_a_value_of_another_approval_is_refused(ask: Ask, bob: Person, control: Control, ledger: Ledger) -> None:
    """A button on the message of one approval can't decide another: the person would have read the wrong question."""
    first, second = ask("1"), ask("2")
    message = next(one for one in bob.messages(CHANNEL) if first.id in one.plain)
    bob.click(message, "Copy command")
    bob.wait_for_ephemeral(CHANNEL)
    approve = {"action_id": controls.APPROVE, "type": "button", "value": second.id}
    control.deliver("interactive", forged(control, action=approve))
    told = bob.wait_for_ephemeral(CHANNEL, lambda one: "is not on the message" in one.plain)
    assert second.id in told.plain
    assert ledger.read(second.id).approval.state is State.PENDING
    assert message.refresh().buttons == message.buttons


@pytest.mark.parametrize(
    ("user", "why"), [("U0DAVE", "guests"), ("U0ERIN", "other workspaces"), ("U0FRANK", "deactivated")]
)
def test_who_is_no_member_never_decides(
    ask: Ask, bob: Person, control: Control, ledger: Ledger, user: str, why: str
) -> None:
    """A guest, a stranger and a deactivated person are told why not, and nothing is decided."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    bob.click(message, "Copy command")
    bob.wait_for_ephemeral(CHANNEL)
    approve = {"action_id": controls.APPROVE, "type": "button", "value": approval.id}
    control.deliver("interactive", forged(control, action=approve, user={"id": user}))
    told = bob.wait_for_ephemeral(CHANNEL, lambda one: "can't decide" in one.plain)
    assert why in told.plain
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_who_is_no_approver_gets_no_form(ask: Ask, alice: Person, ledger: Ledger) -> None:
    """Somebody outside the named group is refused before filling in the form."""
    approval = ask(approvers=("@ml-leads",), schema=SCHEMA)
    alice.click(alice.wait_for_message(CHANNEL, asks), "Approve…")
    told = alice.wait_for_ephemeral(CHANNEL)
    assert "alice can't decide" in told.plain
    assert "@ml-leads can" in told.plain
    assert alice.view() is None
    assert ledger.read(approval.id).approval.state is State.PENDING


def test_a_member_of_the_group_may_decide(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """The group that the step names by its handle is resolved to its members."""
    approval = ask(approvers=("@ml-leads",))
    message = bob.wait_for_message(CHANNEL, asks)
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message)
    assert ledger.read(approval.id).approval.state is State.APPROVED


@pytest.mark.parametrize("method", ["users.info", "usergroups.list"])
def test_when_slack_cant_say_who_nothing_is_decided(
    ask: Ask, bob: Person, control: Control, ledger: Ledger, method: str
) -> None:
    """If Slack can't be asked about the person, the decision is refused with the reason, and the buttons stay."""
    approval = ask(approvers=("@ml-leads",))
    message = bob.wait_for_message(CHANNEL, asks)
    control.fault(method, error="fatal_error")
    bob.click(message, "Approve", confirm="Approve")
    assert "nothing was decided" in bob.wait_for_ephemeral(CHANNEL).plain
    assert ledger.read(approval.id).approval.state is State.PENDING
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message)
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_the_record_stands_when_the_message_cant_be_updated(
    ask: Ask, bob: Person, control: Control, ledger: Ledger
) -> None:
    """If Slack fails after the decision, the person is told that it stands and what is tried again."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    control.fault("chat.update", status=503)
    bob.click(message, "Approve", confirm="Approve")
    told = bob.wait_for_ephemeral(CHANNEL)
    assert "Approved" in told.plain
    assert "will retry" in told.plain
    assert ledger.read(approval.id).approval.state is State.APPROVED
    assert list(ledger.open_ids()) == [approval.id]


def test_the_decision_stands_when_the_store_fails_behind_it(
    ask: Ask, bob: Person, ledger: Ledger, interventions: list[Callable[[str, str], None]]
) -> None:
    """A store that fails after the decision is no refusal: the person is told that it stands."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)

    def fail_behind_it(request: str, key: str) -> None:
        if request == "create" and key.endswith("00004.json"):
            raise StoreUnavailable("The bucket does not answer.")

    interventions.append(fail_behind_it)
    bob.click(message, "Approve", confirm="Approve")
    told = bob.wait_for_ephemeral(CHANNEL).plain
    assert "Approved" in told
    assert "will retry: The bucket does not answer." in told
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_a_slow_record_of_a_plain_button(
    ask: Ask, bob: Person, interventions: list[Callable[[str, str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the record tells whether a form is needed: a slow one shows a view meanwhile, and there how it ended."""
    monkeypatch.setattr(forms, "OPENING_TAKES", 0.05)
    ask()
    message = bob.wait_for_message(CHANNEL, asks)
    read = Event()

    def slow(request: str, key: str) -> None:
        if request == "read":
            read.wait(60)

    interventions.append(slow)
    view = bob.open(message, "Approve", confirm="Approve")
    read.set()
    assert "Approved" in view.wait_for_update().plain


@pytest.mark.parametrize("kind", ["interactive", "slash_commands", "events_api"])
def test_what_nobody_handles_is_acknowledged(bot: Bot, people: Driver, control: Control, kind: str) -> None:
    """An unknown button, view, shortcut, command or event gets its ack, so Slack does not repeat it."""
    user = {"id": "U0BOB", "team_id": "T0SANDBOX"}
    team = {"id": "T0SANDBOX"}
    payloads = {
        "interactive": [
            {"type": "block_actions", "user": user, "team": team, "actions": [{"action_id": "x", "block_id": "y"}]},
            {"type": "view_submission", "user": user, "team": team, "view": {"callback_id": "x", "type": "modal"}},
            {"type": "view_closed", "user": user, "team": team, "view": {"callback_id": "x", "type": "modal"}},
            {"type": "shortcut", "user": user, "team": team, "callback_id": "x"},
            {"type": "message_action", "user": user, "team": team, "callback_id": "x"},
            {"type": "block_suggestion", "user": user, "team": team, "action_id": "x", "block_id": "y", "value": ""},
        ],
        "slash_commands": [{"command": "/other", "text": "", "user_id": "U0BOB", "team_id": "T0SANDBOX"}],
        "events_api": [
            {"type": "event_callback", "team_id": "T0SANDBOX", "event": {"type": "app_mention", "user": "U0BOB"}},
            {"type": "event_callback", "team_id": "T0SANDBOX", "event": {"type": "message", "user": "U0BOB"}},
        ],
    }
    for payload in payloads[kind]:
        assert control.deliver(kind, payload)["error"] == "", payload


def test_a_button_in_an_attachment_counts_for_nothing(ask: Ask, bob: Person, control: Control, ledger: Ledger) -> None:
    """A message that somebody shared, or another app's, carries its buttons in an attachment: they decide nothing."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL, asks)
    bob.click(message, "Copy command")
    bob.wait_for_ephemeral(CHANNEL)
    payload = forged(control, action={"action_id": controls.APPROVE, "type": "button", "value": approval.id})
    payload["container"] = {**payload["container"], "type": "message_attachment", "attachment_id": 1}
    assert control.deliver("interactive", payload)["error"] == ""
    assert "is in a copy" in bob.wait_for_ephemeral(CHANNEL, lambda one: "copy of" in one.plain).plain
    assert ledger.read(approval.id).approval.state is State.PENDING
