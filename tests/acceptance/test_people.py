"""Who decides, as people see it in a real browser: votes, Home, changes, delegates, and who is kept from deciding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.sandbox import Sandbox
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate, Origin, Person
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.engines.fake import FakeEngine
from metaflow_extensions.hitl.stores import MemoryStore
from tests.fixtures.approvals import HandClock, pathspec, question
from tests.fixtures.slack import connect
from tests.integration.bot.conftest import clock, sandbox, settings  # noqa: F401 - fixtures

Visit = Callable[..., Page]
Shot = Callable[[Page, str], None]

RITA = Person(id="rita", name="rita", origin=Origin.CLAIM)
POLICY = """
people: {rita: alice@example.com}
rules:
  - name: production
    match: {step: release}
    quorum: 2
    self_approval: refused
    reason: required
    longest_timeout: 8h
"""
FRAUD = normalise(
    {
        "deploy_target": {"type": "choice", "choices": ["staging", "production"]},
        "traffic": {"type": "int", "min": 1, "max": 100, "default": 10},
        "notes": {"type": "text", "optional": True},
    }
)
TRAFFIC = normalise({"traffic": {"type": "int", "min": 1, "max": 100}})


@pytest.fixture
def bot(settings: Settings, clock: HandClock, tmp_path: Path) -> Iterator[Bot]:  # noqa: F811 - the fixtures
    """A bot with the policy above, and a cluster that remembers what it was told."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    with_policy = settings.model_copy(update={"policy": file})
    cluster = FakeEngine()
    cluster.starters = (RITA,)
    running = bootstrap(with_policy, store=MemoryStore(), clock=clock, engines={EngineKind.ARGO: cluster})
    connect(running)
    yield running
    assert running.stop(60), "something of the bot did not end"


@pytest.fixture
def ask(bot: Bot) -> Callable[..., Approval]:
    """Ask as a workflow does that rita, who is alice in Slack, has started."""

    def ask_on_argo(message: str, *, step: str = "deploy", task: str = "1", run: str = "17", **parts: Any) -> Approval:
        asked = question(message, **{"notifiers": ("slack",), "timeout": 86_400, **parts})
        gate = Gate(engine=EngineKind.ARGO, namespace="metaflow", workflow=f"trainflow-{run}")
        return bot.cases.ask(pathspec(step=step, task=task, run=run), asked, gate, RITA).approval

    return ask_on_argo


@pytest.fixture
def look(visit: Visit, sandbox: Sandbox) -> Callable[..., Page]:  # noqa: F811 - the fixture
    """Open the page as somebody, in the channel or at ``#home``."""

    def look_as(who: str, place: str = "", **size: int) -> Page:
        return visit(f"{sandbox.url}/?as={who}{place}", **size)

    return look_as


def message(page: Page, words: str) -> Locator:
    """The newest message that everybody sees with these words."""
    return page.get_by_role("article").filter(has_text=words).filter(has_not_text="Only visible to you").last


def told(page: Page) -> Locator:
    """What this person alone was told last."""
    return page.get_by_role("article").filter(has_text="Only visible to you").last


def type_in(page: Page, line: str) -> None:
    page.get_by_label("Message or slash command").fill(line)
    page.keyboard.press("Enter")


def assert_nothing_sticks_out(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_quorum_under_a_rule(ask, bot, look, shot):
    """The rule is on the message, its reason in the form; after bob's vote carol sees his input and decides."""
    ask("Release pricing v12?", step="release", approvers=("@ml-leads",), schema=TRAFFIC)
    page = look("bob")
    asked = message(page, "Release pricing v12?")
    expect(asked).to_contain_text(
        "By rule “production” of the operator's policy, which requires a reason for an approval"
    )
    expect(asked).to_contain_text("it waits 8 h at most")
    asked.get_by_role("button", name="Approve…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Traffic").fill("25")
    form.get_by_label("Reason").fill("the numbers hold")
    shot(page, "form")
    form.get_by_role("button", name="Approve").click()
    expect(form).to_have_count(0)
    expect(asked).to_contain_text("@bob approves. Still missing: 1 of @ml-leads.")
    shot(page, "votes")
    page = look("carol", width=390, height=844)
    asked = message(page, "Release pricing v12?")
    asked.get_by_role("button", name="Approve…").click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("Others approve this input.")
    expect(form.get_by_label("Traffic")).to_have_value("25")
    form.get_by_label("Reason").fill("risk agrees")
    assert_nothing_sticks_out(page)
    shot(page, "second")
    form.get_by_role("button", name="Approve").click()
    expect(asked).to_contain_text("Approved by @bob and @carol")
    expect(asked).to_contain_text("by rule “production”")
    shot(page, "decided")


@pytest.mark.parametrize("size", [{}, {"width": 390, "height": 844}], ids=["laptop", "phone"])
def test_home_is_an_inbox(ask, bot, look, shot, clock, size):  # noqa: F811 - the fixture
    """It has what waits for alice and for carol who is absent, what she asked, and what was decided, and decides."""
    ask("Drop 12,400 rows?", task="1", allow_changes=True)
    ask("Send the report?", task="2", approvers=("@risk",))
    ask("Release pricing v12?", step="release", approvers=("@ml-leads",))
    people = bot.people
    bot.cases.delegations.delegate(
        people.person("U0CAROL"), people.person("U0ALICE"), clock().replace(year=clock().year + 1), clock()
    )
    page = look("alice", "#home", **size)
    home = page.locator(".home")
    expect(home).to_contain_text("2 are waiting for you")
    expect(home).to_contain_text("You decide for carol.")
    expect(home.get_by_role("heading", name="You asked")).to_be_visible()
    assert_nothing_sticks_out(page)
    shot(page, "waiting")
    home.get_by_role("button", name="Approve").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(home).to_contain_text("1 is waiting for you")
    expect(home.get_by_role("heading", name="Recently decided")).to_be_visible()
    expect(home).to_contain_text("Approved by alice")
    page.emulate_media(color_scheme="dark")
    shot(page, "dark")


def test_changes_are_requested_and_it_is_run_again(ask, bot, look, shot):
    """Carol says what must change; alice is told, runs it again with another value, and the next question links."""
    command = "python flow.py argo-workflows trigger --alpha 0.1 --model fraud"
    ask("Train fraud v8?", step="train", allow_changes=True, run_again=command)
    page = look("carol")
    message(page, "Train fraud v8?").get_by_role("button", name="Request changes…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("What must change").fill("a lower alpha")
    shot(page, "form")
    form.get_by_role("button", name="Request changes").click()
    expect(form).to_have_count(0)  # until then nothing is recorded that could be told
    bot.sweeper.tick()
    page = look("alice")
    asked = message(page, "Train fraud v8?")
    expect(asked).to_contain_text("Changes requested by @carol")
    expect(asked).to_contain_text(command)
    shot(page, "requested")
    asked.get_by_role("button", name="Run again…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("alpha").fill("low")
    form.get_by_role("button", name="Run again").click()
    expect(form.get_by_role("alert").filter(has_text="It must be a number")).to_be_visible()
    form.get_by_label("alpha").fill("0.05")
    shot(page, "again")
    form.get_by_role("button", name="Run again").click()
    expect(form).to_contain_text("has started")
    form.get_by_role("button", name="Close").last.click()
    bot.sweeper.tick()
    asked.get_by_role("button", name=re.compile("repl(y|ies)$")).click()  # one may hold both lines
    expect(page.get_by_text("runs it again: workflow")).to_be_visible()
    shot(page, "thread")
    ask("Train fraud v9?", step="train", run="18", allow_changes=True, run_again=command)
    following = message(page, "Train fraud v9?")
    expect(following).to_contain_text("where carol asked for changes: “a lower alpha”")
    shot(page, "next")


def test_somebody_absent_is_stood_in_for(ask, look, shot):
    """Carol delegates as people write it; alice's approval names both."""
    page = look("carol")
    type_in(page, "/hitl delegate @alice until 2026-12-24")
    expect(told(page)).to_contain_text("alice (alice@example.com) decides for you until 2026-12-24")
    shot(page, "delegated")
    ask("Retrain churn?", approvers=("@risk",))
    page = look("alice")
    asked = message(page, "Retrain churn?")
    asked.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(asked).to_contain_text("Approved by @alice for @carol")
    shot(page, "approved")


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("dave", "guests of the workspace can't decide"),
        ("erin", "people from other workspaces can't decide"),
        ("alice", "the person who started the run may not approve it"),
        ("grace", "@ml-leads or @alice can. Ask one of them"),
    ],
)
def test_who_may_not_is_told_why(ask, look, shot, who, words):
    """A guest, a stranger, the requester and who was not asked: the buttons stay, and each reads the reason."""
    ask("Release pricing v12?", step="release", approvers=("@ml-leads", "U0ALICE"))
    page = look(who)
    asked = message(page, "Release pricing v12?")
    asked.get_by_role("button", name="Approve…").click()
    expect(told(page)).to_contain_text(words)
    expect(asked.get_by_role("button", name="Approve…")).to_be_visible()
    shot(page, "refused")


def test_lists_are_paged_and_answers_explained(ask, bot, look, shot):
    """Next and Previous turn a long list; history, figures and the trail tell what was decided and why."""
    for number in range(16):
        ask(f"Deploy region {number}?", task=str(number))
    page = look("bob")
    type_in(page, "/hitl list")
    expect(told(page)).to_contain_text("16 approvals wait (16 for you)")
    first = told(page).inner_text()
    shot(page, "first-page")
    told(page).get_by_role("button", name="Next").click()
    expect(told(page).get_by_role("button", name="Previous")).to_be_visible()
    shot(page, "second-page")
    told(page).get_by_role("button", name="Previous").click()
    expect(told(page)).to_have_text(first, use_inner_text=True)
    type_in(page, "/hitl reject " + ask("Deploy the moon?", task="99").id + " “too far”")
    expect(told(page)).to_contain_text("Rejected: Deploy the moon?")
    type_in(page, "/hitl history")
    expect(told(page)).to_contain_text("1 decided in 7 d")
    expect(told(page)).to_contain_text("too far")
    type_in(page, "/hitl stats")
    expect(told(page)).to_contain_text("95% decided within")
    shot(page, "history")
    rejected = message(page, "Deploy the moon?")
    rejected.hover()
    rejected.get_by_role("button", name="Why was this decided?").click()
    why = page.get_by_role("dialog")
    expect(why).to_contain_text("Rejected by @bob")
    expect(why).to_contain_text("Settled: the step does not run")
    shot(page, "why")


# A question with a form, answered in other ways than a click on its button; test_browser.py has the run behind it.


def question_on(ask, page: Page) -> tuple[Approval, Locator]:
    """Ask for a target and a share of the traffic, and return the message."""
    asked = ask("Deploy fraud v7?", schema=FRAUD)
    found = message(page, "Deploy fraud v7?")
    expect(found.get_by_role("button", name="Approve…")).to_be_visible()
    return asked, found


def entered(bot: Bot, asked: Approval) -> dict[str, Any]:
    decision = bot.cases.ledger.read(asked.id).approval.decision
    assert decision is not None
    return decision.input


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {target}")


def test_the_list_is_typed_and_approves(ask, bot, look, shot):
    """`/hitl list` shows what waits to the asker alone, and its button opens the same form."""
    page = look("bob")
    asked, question = question_on(ask, page)
    type_in(page, "/hitl list")
    listing = told(page)
    expect(listing).to_contain_text("1 approval waits")
    expect(listing).to_contain_text("Deploy fraud v7?")
    shot(page, "list")
    listing.get_by_role("button", name="Approve…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("production").check()
    form.get_by_role("button", name="Approve").click()
    expect(question).to_contain_text("Approved by @bob after")
    assert entered(bot, asked) == {"deploy_target": "production", "traffic": 10, "notes": None}


def test_approve_with_the_keyboard_alone(ask, bot, look, shot):
    """Tab leads to the button, Enter opens the form, Esc closes it without an answer, and Enter in a field submits."""
    page = look("bob")
    asked, question = question_on(ask, page)
    opener = question.get_by_role("button", name="Approve…")
    press = page.keyboard.press
    tab_to(page, opener)
    press("Enter")
    form = page.get_by_role("dialog")
    expect(form).to_be_visible()
    press("Escape")
    expect(form).to_have_count(0)
    expect(opener).to_be_focused()
    press("Enter")
    expect(form.get_by_label("staging")).to_be_focused()
    press("ArrowDown")
    expect(form.get_by_label("production")).to_be_checked()
    tab_to(page, form.get_by_label("Traffic"))
    page.keyboard.type("30")
    shot(page, "form")
    press("Enter")
    expect(question).to_contain_text("Approved by @bob after")
    assert entered(bot, asked) == {"deploy_target": "production", "traffic": 30, "notes": None}


def test_approve_on_a_phone(ask, bot, look, shot):
    """At 390 by 844 nothing scrolls sideways, neither the channel nor the form, and the answer arrives."""
    page = look("bob", width=390, height=844)
    asked, question = question_on(ask, page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    shot(page, "question")
    question.get_by_role("button", name="Approve…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("staging").check()
    assert form.evaluate("element => element.scrollWidth <= element.clientWidth")
    expect(form.get_by_role("button", name="Approve")).to_be_in_viewport()
    shot(page, "form")
    form.get_by_role("button", name="Approve").click()
    expect(question).to_contain_text("Approved by @bob after")
    assert entered(bot, asked) == {"deploy_target": "staging", "traffic": 10, "notes": None}
