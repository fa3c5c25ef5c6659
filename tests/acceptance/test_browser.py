"""The main job as a person does it: a real run waits, and somebody answers in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from hitl_bot.demo.stage import Stage, set_stage
from tests.fixtures.flows import PATIENCE, REPOSITORY

FLOW = REPOSITORY / "hitl_bot" / "demo" / "flows" / "train_and_deploy.py"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The local Slack, the bot, and a run on its way to the gate."""
    with set_stage(FLOW, tmp_path, 0, print) as ready:
        yield ready


def question_on(page: Page) -> Locator:
    """Wait until the channel shows the question, and return its message."""
    message = page.get_by_role("article").filter(has_text="Deploy fraud v7?").filter(has_not_text="Only visible to you")
    expect(message.get_by_role("button", name="Approve…")).to_be_visible(timeout=PATIENCE * 1000)
    return message


def assert_it_ran(stage: Stage, what: str) -> None:
    assert stage.run.wait(PATIENCE) == 0, "\n".join(stage.run.lines)
    assert any(line.endswith(what) for line in stage.run.lines), "\n".join(stage.run.lines)


def test_approve_with_a_form(stage, visit, shot):
    """A bad value is refused under its field; a good one lets the run go on, and the message says who decided what."""
    page = visit(f"{stage.url}/?as=bob")
    message = question_on(page)
    shot(page, "question")
    message.get_by_role("button", name="Approve…").click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("Deploy fraud v7?")
    form.get_by_label("staging").check()
    form.get_by_label("Traffic").fill("1000")
    form.get_by_label("Notes").fill("canary first")
    form.get_by_role("button", name="Approve").click()
    expect(form.get_by_role("alert").filter(has_text="100")).to_be_visible()
    expect(form.get_by_label("Notes")).to_have_value("canary first")
    shot(page, "error")
    form.get_by_label("Traffic").fill("25")
    shot(page, "form")
    form.get_by_role("button", name="Approve").click()
    expect(form).to_have_count(0)
    expect(message).to_contain_text("Approved by @bob after")
    expect(message).to_contain_text("canary first")
    expect(message.get_by_role("button", name="Approve…")).to_have_count(0)
    assert_it_ran(stage, "Deploying to staging with 25% of the traffic.")


def test_reject_with_a_reason(stage, visit, shot):
    """The reason stands on the message and in the run's output, and the step did not run."""
    page = visit(f"{stage.url}/?as=carol")
    message = question_on(page)
    message.get_by_role("button", name="Reject…").click()
    form = page.get_by_role("dialog")
    form.get_by_role("textbox").fill("drift too high")
    shot(page, "form")
    form.get_by_role("button", name="Reject").click()
    expect(message).to_contain_text("Rejected by @carol after")
    expect(message).to_contain_text("drift too high")
    expect(message.get_by_role("button", name="Reject…")).to_have_count(0)
    assert stage.run.wait(PATIENCE) != 0
    output = "\n".join(stage.run.lines)
    assert 'was rejected by carol: "drift too high"' in output
    assert "Deploying" not in output
