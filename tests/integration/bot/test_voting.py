"""Votes, the operator's policy, and requests for changes, as people in Slack see them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Closed, Errors, Message, Person, Updated
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.question import Need
from metaflow_extensions.hitl.approvals.record import Answer, EngineKind, Gate, State, Verdict, Where
from metaflow_extensions.hitl.engines.fake import FakeEngine
from metaflow_extensions.hitl.notifiers.slack.calls import Pace
from tests.fixtures.approvals import REQUESTER, HandClock, pathspec, question
from tests.fixtures.slack import connect
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask, elsewhere


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The operator's policy; at first it demands nothing."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: []")
    return policy


@pytest.fixture
def demand(file: Path) -> Callable[[str], None]:
    """Replace the policy's only rule while the bot runs."""

    def write(rule: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(f"people: {{rita: alice@example.com}}\nrules: [{{name: production, {rule}}}]")
        os.replace(new, file)  # noqa: PTH105 - as Kubernetes does it

    return write


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def bot(settings: Settings, store: Store, clock: HandClock, file: Path, engine: FakeEngine) -> Iterator[Bot]:
    """A connected bot with a policy, and a cluster that remembers what it was told."""
    running = bootstrap(
        settings.model_copy(update={"policy": file}),
        store=store,
        clock=clock,
        pace=Pace(iter(range(0, 10**6, 60)).__next__),
        engines={EngineKind.ARGO: engine, EngineKind.LOCAL: FakeEngine()},
    )
    connect(running)
    yield running
    assert running.stop(60), "something of the bot did not end"


def plain(message: Message) -> str:
    """Return the text with mentions as a reader sees them."""
    text = (
        message.plain.replace("*", "")
        .replace("<!subteam^S0MLLEADS>", "@ml-leads")
        .replace("<!subteam^S0RISK>", "@risk")
    )
    return re.sub(r"<@U0(\w+)>", lambda found: f"@{found[1].lower()}", text)


def test_a_quorum_is_filled_vote_by_vote(ask: Ask, bob: Person, carol: Person, ledger: Ledger) -> None:
    """The message shows who voted and who is missing, keeps its buttons until enough agree, and then names them all."""
    approval = ask(approvers=("@ml-leads",), quorum=2)
    message = bob.wait_for_message(CHANNEL)
    assert "@ml-leads (2 must agree)" in plain(message)
    bob.click(message, "Approve", confirm="Approve")
    voted = carol.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    assert "@bob approves. Still missing: 1 of @ml-leads." in plain(voted)
    assert ledger.read(approval.id).approval.state is State.PENDING
    carol.click(voted, "Approve", confirm="Approve")
    decided = bob.wait_for_message(CHANNEL, lambda one: "Approved" in plain(one))
    assert "Approved by @bob and @carol" in plain(decided)
    assert decided.buttons == []


def test_one_person_is_one_vote(ask: Ask, bob: Person, ledger: Ledger) -> None:
    """Whoever clicks twice, or clicks and types, has voted once, and is told each time how it stands."""
    approval = ask(quorum=2)
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    first = bob.wait_for_ephemeral(CHANNEL)
    assert "Your vote was recorded" in first.plain
    voted = bob.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    bob.click(voted, "Approve", confirm="Approve")
    again = bob.wait_for_ephemeral(CHANNEL, lambda one: one.ts != first.ts)
    (typed,) = bob.command(f"/hitl approve {approval.id}")
    for said in (again, typed):
        assert "You have already voted like this, so nothing changed" in said.plain
        assert "bob approves. Still missing: 1 more." in said.plain
    standing = ledger.read(approval.id).approval
    assert (standing.state, len(standing.votes)) == (State.PENDING, 1)


def test_the_same_form_again(ask: Ask, bob: Person) -> None:
    """Whoever sends the same input twice reads that it was there already, and who is missing."""
    ask(quorum=2, schema=SCHEMA)
    entered = {"Deploy target": "moon", "Replicas": 1}
    assert isinstance(bob.open(bob.wait_for_message(CHANNEL), "Approve…").fill(entered).submit(), Closed)
    voted = bob.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    again = bob.open(voted, "Approve…").fill(entered).submit()
    assert isinstance(again, Updated)
    assert "You have already voted like this" in again.view.plain


def test_one_no_is_enough(ask: Ask, bob: Person, carol: Person, ledger: Ledger) -> None:
    """A rejection decides whatever was voted before."""
    approval = ask(quorum=3)
    message = bob.wait_for_message(CHANNEL)
    bob.click(message, "Approve", confirm="Approve")
    view = carol.open(carol.wait_for_message(CHANNEL), "Reject…")
    assert isinstance(view.fill({"Reason": "drift"}).submit(), Closed)
    rejected = bob.wait_for_message(CHANNEL, lambda one: "Rejected" in plain(one))
    assert "Rejected by @carol" in plain(rejected)
    assert ledger.read(approval.id).approval.state is State.REJECTED


def test_one_from_each_group(ask: Ask, bob: Person, carol: Person, ledger: Ledger) -> None:
    """Carol is in both groups and counts for the one that bob can't fill."""
    needs = (Need(of=("@ml-leads",)), Need(of=("@risk",)))
    approval = ask(approvers=("@ml-leads", "@risk"), needs=needs)
    carol.click(carol.wait_for_message(CHANNEL), "Approve", confirm="Approve")
    waiting = bob.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    assert "Still missing: 1 of @risk" in plain(waiting) or "Still missing: 1 of @ml-leads" in plain(waiting)
    bob.click(waiting, "Approve", confirm="Approve")
    bob.wait_for_message(CHANNEL, lambda one: "Approved by" in plain(one))
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_voters_see_the_first_ones_input(ask: Ask, bob: Person, carol: Person, ledger: Ledger) -> None:
    """The form is filled in with it; another input is a new proposal, and the first voter has to agree to that."""
    approval = ask(quorum=2, schema=SCHEMA)
    view = bob.open(bob.wait_for_message(CHANNEL), "Approve…")
    assert isinstance(view.fill({"Deploy target": "eu", "Replicas": 2}).submit(), Closed)
    proposed = carol.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    assert "eu" in proposed.plain
    form = carol.open(proposed, "Approve…")
    assert "If you enter a different input, it becomes a new proposal" in form.plain
    assert [one.element.get("initial_value") for one in form.fields] == ["eu", "2"]
    assert isinstance(form.fill({"Deploy target": "us", "Replicas": 2}).submit(), Closed)
    said = "@carol proposes a different input, so @bob votes again."
    again = bob.wait_for_message(CHANNEL, lambda one: said in plain(one))
    agreeing = bob.open(again, "Approve…")
    assert agreeing.fields[0].element["initial_value"] == "us"
    assert isinstance(agreeing.fill({"Deploy target": "us", "Replicas": 2}).submit(), Closed)
    bob.wait_for_message(CHANNEL, lambda one: "Approved by @carol and @bob" in plain(one))
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert decision.input == {"deploy_target": "us", "replicas": 2}


# The operator's policy.


def test_the_message_says_which_rule_applies(ask: Ask, bob: Person, demand: Callable[[str], None]) -> None:
    """The rule is on the message from the start, with what it demands and its deadline."""
    demand("quorum: 2, self_approval: refused, longest_timeout: 1h")
    ask(timeout=86_400)
    message = bob.wait_for_message(CHANNEL)
    assert "By rule “production” of the operator's policy, which requires that nobody approves their own run" in plain(
        message
    )
    assert "it waits 1 h at most" in plain(message)
    assert "2 must agree" in plain(message)


def test_a_rule_that_comes_later_reaches_open_questions(
    ask: Ask, bot: Bot, bob: Person, ledger: Ledger, demand: Callable[[str], None]
) -> None:
    """The sweeper shows a changed policy on what is open, and writes it into the record; a click is held to it."""
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    assert "policy" not in plain(message)
    demand("quorum: 2")
    bot.sweeper.tick()
    ruled = bob.wait_for_update(message)
    assert "By rule “production”" in plain(ruled)
    bob.click(ruled, "Approve", confirm="Approve")
    bob.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    rule = ledger.read(approval.id).approval.policy_rule
    assert rule is not None
    assert rule.name == "production"


def test_an_approval_with_a_reason_where_the_rule_wants_one(
    ask: Ask, bob: Person, ledger: Ledger, demand: Callable[[str], None]
) -> None:
    """Approve opens a form that asks why; blanks are refused at the input, and the reason is on the message."""
    demand("reason: required")
    approval = ask()
    message = bob.wait_for_message(CHANNEL)
    view = bob.open(message, "Approve…")
    refused = view.fill({"Reason": "  "}).submit()
    assert "requires one" in refused.by_label["Reason"]
    assert isinstance(view.fill({"Reason": "Canary is fine."}).submit(), Closed)
    shown = bob.wait_for_message(CHANNEL, lambda one: "Approved" in plain(one))
    assert "“Canary is fine.”" in shown.plain
    assert ledger.read(approval.id).approval.state is State.APPROVED


def test_the_rules_channel_is_where_the_bot_asks(
    ask: Ask, bob: Person, control: Control, demand: Callable[[str], None]
) -> None:
    """What the step says about the channel gives way."""
    control.put_channel(id="C0PROD", name="prod-approvals", members=["U0BOB", "U0BOT"])
    demand("channel: '#prod-approvals'")
    ask(channel=CHANNEL)
    assert bob.wait_for_message("#prod-approvals")
    assert bob.messages(CHANNEL) == []


def test_a_decision_of_a_command_line_that_does_not_count(
    bot: Bot, bob: Person, engine: FakeEngine, clock: HandClock, ledger: Ledger, demand: Callable[[str], None]
) -> None:
    """It is not carried out in the cluster: the step is stopped, and the message says whose answer did not count."""
    place = Gate(engine=EngineKind.ARGO, namespace="argo", workflow="train-1")
    approval = bot.cases.ask(pathspec(), question(notifiers=("slack",)), place, REQUESTER).approval
    message = bob.wait_for_message(CHANNEL)
    bot.sweeper.tick()
    machine = elsewhere(bot)
    machine.policy, machine.engines = Recorded(), {}
    machine.decide(approval.id, Answer(verdict=Verdict.APPROVE), who=REQUESTER, where=Where.COMMAND_LINE)
    demand("command_line: refused")
    clock.forward(3)
    bot.sweeper.tick()
    shown = bob.wait_for_update(message)
    assert "Not accepted: It was approved on a command line. rita can't decide" in plain(shown)
    assert "the step does not run" in plain(shown)
    assert (list(engine.released), list(engine.refused)) == ([], [approval.id])
    assert ledger.read(approval.id).approval.state is State.NOT_ACCEPTED


class Recorded:
    """The policy of a machine that knows none."""

    def rule_for(self, approval: object) -> None:  # noqa: ARG002 - the port's signature
        return None

    def depends_on_namespace(self, approval: object) -> bool:  # noqa: ARG002 - the port's signature
        return False


def test_a_bad_file_is_told_and_the_old_rules_hold(
    ask: Ask, bot: Bot, bob: Person, file: Path, demand: Callable[[str], None]
) -> None:
    """A typing error in the file does not open a gate."""
    demand("quorum: 2")
    ask("1")
    file.write_text("rules:\n- name: production\n  quorun: 2\n")
    ask("2")
    messages = bob.messages(CHANNEL)
    assert len(messages) == 2
    assert all("2 must agree" in one.plain for one in messages)
    assert "quorun" in bot.cases.policy.problem


# Approvers that nobody is.


@pytest.mark.parametrize(
    ("name", "said"), [("@old-team", "@old-team"), ("nobody@example.com", "nobody@example.com"), ("U0FRANK", "U0FRANK")]
)
def test_approvers_that_nobody_is_are_reported_at_once(ask: Ask, bob: Person, name: str, said: str) -> None:
    """A group that is gone, an address of nobody and a deactivated account are on the message and in the record."""
    approval = ask(approvers=(name,))
    message = bob.wait_for_message(CHANNEL)
    assert f"No one in Slack matches {said}, so nobody can answer." in plain(message).replace("@frank", "U0FRANK")
    assert approval.posts[0].nobody == (name,)


def test_a_disabled_group_is_nobody_and_the_others_can_answer(ask: Ask, bob: Person, control: Control) -> None:
    """The message says so while there is time, and that the question is not lost."""
    control.put_group(id="S0RISK", disabled=True)
    ask(approvers=("@risk", "bob@example.com"))
    assert "No one in Slack matches @risk, so only the others can answer." in plain(bob.wait_for_message(CHANNEL))


def test_deciders_that_nobody_is_are_reported_too(ask: Ask, bob: Person, demand: Callable[[str], None]) -> None:
    """A rule whose deciders are gone keeps everybody from deciding: the message says whom to ask for what."""
    demand("deciders: '@old-team'")
    ask(approvers=("@ml-leads",))
    message = plain(bob.wait_for_message(CHANNEL))
    assert "No one in Slack matches @old-team, so nobody can answer." in message
    assert "An operator has to fix `deciders` of the rule “production”." in message


def test_approvers_are_mentioned_by_what_slack_knows(ask: Ask, bob: Person) -> None:
    """Handles and addresses become mentions, and stay so when the message changes."""
    ask(approvers=("@ml-leads", "carol@example.com"), quorum=2)
    message = bob.wait_for_message(CHANNEL)
    assert set(message.mentions) == {"<!subteam^S0MLLEADS>", "<@U0CAROL>"}
    bob.click(message, "Approve", confirm="Approve")
    voted = bob.wait_for_message(CHANNEL, lambda one: "Votes" in one.plain)
    assert "<!subteam^S0MLLEADS>" in voted.mentions


def test_while_slack_tells_no_names_the_question_is_asked_all_the_same(ask: Ask, bob: Person, control: Control) -> None:
    """What can't be looked up is no reason not to ask, and nobody is called nobody."""
    control.fault("usergroups.list", error="missing_scope")
    ask(approvers=("@old-team",))
    message = bob.wait_for_message(CHANNEL)
    assert "@old-team" in message.plain
    assert "No one in Slack matches" not in message.plain


# Request changes.


def test_changes_are_requested_and_the_next_run_links_to_them(
    ask: Ask, bot: Bot, bob: Person, ledger: Ledger, clock: HandClock
) -> None:
    """The third button asks what must change; the message has it with the command, and the next question its link."""
    command = "python flow.py run --alpha 0.5"
    approval = ask(allow_changes=True, run_again=command)
    message = bob.wait_for_message(CHANNEL)
    view = bob.open(message, "Request changes…")
    assert isinstance(view.fill({"What must change": "A lower learning rate."}).submit(), Closed)
    shown = bob.wait_for_message(CHANNEL, lambda one: "Changes requested by @bob" in plain(one))
    assert "“A lower learning rate.”" in shown.plain
    assert command in shown.plain
    assert "the step does not run" in shown.plain
    decision = ledger.read(approval.id).approval.decision
    assert decision is not None
    assert (decision.verdict, decision.reason) == (Verdict.CHANGES, "A lower learning rate.")
    clock.forward(60)
    bot.cases.ask(
        pathspec(run="18"), question(notifiers=("slack",), allow_changes=True), Gate(engine=EngineKind.LOCAL), REQUESTER
    )
    following = bob.wait_for_message(CHANNEL, after=message)
    assert f"|{approval.id}>, where bob asked for changes: “A lower learning rate.”" in following.plain


def test_there_is_no_third_button_where_the_step_offers_none(ask: Ask, bob: Person) -> None:
    """A yes or a no, as ever."""
    ask()
    assert bob.wait_for_message(CHANNEL).buttons == ["Approve", "Reject…"]


def test_a_batch_takes_the_reason_that_a_rule_wants(
    ask: Ask, bot: Bot, bob: Person, clock: HandClock, ledger: Ledger, demand: Callable[[str], None]
) -> None:
    """Approve all asks for it once, and each record has it; approve all except asks for it too."""
    demand("reason: required")
    asked = [ask(str(number), batch=True) for number in range(4)]
    bot.sweeper.tick()
    clock.forward(2)
    bot.sweeper.tick()
    message = bob.wait_for_message(CHANNEL, lambda one: "4 shards wait" in one.plain)
    some = bob.open(message, "Approve all except…")
    assert isinstance(some.submit(), Errors)
    some.close()
    view = bob.open(message, "Approve all…")
    assert "rule “production” of the operator's policy requires one" in view.plain
    assert isinstance(view.fill({"Reason": "the numbers hold"}).submit(), Closed)

    def reasons() -> list[str]:
        decisions = [ledger.read(one.id).approval.decision for one in asked]
        return [one.reason for one in decisions if one is not None]

    bob.control.wait_until(lambda: reasons() == ["the numbers hold"] * 4, what="four approvals")


@pytest.mark.parametrize(("people_of_file", "doubts"), [("{rita: alice@example.com}", 0), ("{}", 1)])
def test_that_nobody_can_approve_is_said_before_anybody_tries(
    ask: Ask, bot: Bot, bob: Person, clock: HandClock, file: Path, people_of_file: str, doubts: int
) -> None:
    """Where who asked must not approve and nobody knows who that is, the thread says so once, and what mends it."""
    file.write_text(f"people: {people_of_file}\nrules: [{{name: production, self_approval: refused}}]")
    approval = ask()
    for _ in range(3):
        bot.sweeper.tick()
        clock.forward(2)
    bob.command(f"/hitl reject {approval.id} no")
    message = bob.wait_for_message(CHANNEL, lambda one: not one.is_ephemeral and approval.id in one.plain)

    def replies() -> list[str]:
        clock.forward(5)  # whose turn it is in a thread is looked at as often
        bot.sweeper.tick()
        found = [one.plain for one in message.thread]
        return found if any("Rejected by bob" in one for one in found) else []

    said = "\n".join(bob.control.wait_until(replies, what="the rejection"))
    assert said.count("rita isn't linked to a Slack user") == doubts
    assert said.count("`rita: their email address`") == doubts
