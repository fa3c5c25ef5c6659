"""A foreach whose gates share a message, as people meet it: a real run, and two of them in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from hitl_bot.demo.stage import Stage, set_stage
from tests.fixtures.flows import PATIENCE

BUSY = PATIENCE * 1000  # milliseconds; a busy machine takes its time to answer six gates
FLOW = """
from metaflow import FlowSpec, current, hitl, step


class RollOut(FlowSpec):
    @step
    def start(self):
        self.version = 7
        self.regions = ["eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1", "sa-east-1"]
        self.next(self.deploy, foreach="regions")

    @hitl(
        message="Deploy fraud v{self.version} to {self.input}?  Accuracy 94.0%",
        quorum=2,
        approvers=["@ml-leads", "@long-gone"],
        on_reject="continue",
    )
    @step
    def deploy(self):
        print(f"{self.input}: {current.hitl.verdict}")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RollOut()
"""


ALL_AT_ONCE = FLOW.replace("quorum=2,", "").replace('approvers=["@ml-leads", "@long-gone"],', "")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The local Slack, the bot, and a run on its way to its six gates."""
    flow = tmp_path / "roll_out.py"
    flow.write_text(FLOW, encoding="utf-8")
    with set_stage(flow, tmp_path, 0, print) as ready:
        yield ready


def message_on(page: Page) -> Locator:
    """Wait until the channel shows all six shards on one message, and return it."""
    message = page.get_by_role("article").filter(has_text="RollOut / deploy")
    expect(message).to_contain_text("6 shards wait", timeout=BUSY)
    expect(message).to_have_count(1)
    return message


def test_two_people_answer_six_shards(
    stage: Stage, visit: Callable[..., Page], shot: Callable[[Page, str], None]
) -> None:
    """Bob votes for all, carol on her phone for all but one, which she rejects: each step is shown, the run goes on."""
    page = visit(f"{stage.url}/?as=bob", width=1280, height=800)
    message = message_on(page)
    expect(message).to_contain_text("2 must agree")
    expect(message).to_contain_text("No one in Slack matches @long-gone, so only the others can answer.")
    shot(page, "waits")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    message.get_by_role("button", name="Approve all: 6 shards").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve all").click()
    expect(message).to_contain_text("@bob approves. Still missing: 1 of @ml-leads, @long-gone.", timeout=BUSY)
    expect(message.get_by_text("Waits (1 of 2 agree)")).to_have_count(6, timeout=BUSY)
    shot(page, "voted")

    page = visit(f"{stage.url}/?as=carol", width=390, height=844)
    message = message_on(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    message.get_by_role("button", name="Approve all except…").first.click()
    form = page.get_by_role("dialog")
    boxes = form.get_by_role("checkbox")
    expect(boxes).to_have_count(6)
    expect(form.get_by_label("us-east-1")).to_be_checked()
    form.get_by_label("us-east-1").uncheck()
    shot(page, "form")
    assert form.evaluate("element => element.scrollWidth <= element.clientWidth")
    expect(form.get_by_role("button", name="Approve 5", exact=True)).to_be_visible()
    form.get_by_label("The others are rejected too").check()
    form.get_by_role("button", name="Reject 1, approve 5", exact=True).click()
    expect(form.get_by_role("alert").filter(has_text="Enter a reason")).to_be_visible()
    shot(page, "error")
    form.get_by_label("Reason").fill("too much drift in the east")
    form.get_by_role("button", name="Reject 1, approve 5", exact=True).click()
    expect(form).to_have_count(0)
    expect(message).to_contain_text("All 6 shards are answered", timeout=BUSY)
    expect(message).to_contain_text("5 approved · 1 rejected")
    expect(message.get_by_role("button", name="Approve all")).to_have_count(0)
    assert stage.run.wait(PATIENCE) == 0, "\n".join(stage.run.lines)
    assert any("No one in Slack matches @long-gone" in line for line in stage.run.lines)
    ran = [line.split("] ", 1)[-1] for line in stage.run.lines]
    assert sum(line.endswith(": approved") for line in ran) == 5
    assert sum(line.endswith("us-east-1: rejected") for line in ran) == 1
    message.get_by_role("button", name="replies").or_(message.get_by_role("button", name="reply")).first.click()
    thread = page.get_by_text("too much drift in the east")
    expect(thread.first).to_be_visible()
    shot(page, "thread")


def test_one_click_for_a_foreach_of_which_two_have_asked(
    tmp_path: Path, visit: Callable[..., Page], shot: Callable[[Page, str], None]
) -> None:
    """Where two tasks run at a time, one click on the message of the first two lets all six shards run."""
    flow = tmp_path / "roll_out.py"
    flow.write_text(ALL_AT_ONCE, encoding="utf-8")
    with set_stage(flow, tmp_path, 0, print, arguments=("--max-workers", "2")) as stage:
        page = visit(f"{stage.url}/?as=bob", width=390, height=844)
        message = page.get_by_role("article").filter(has_text="RollOut / deploy")
        expect(message).to_contain_text("2 of 6 have asked so far", timeout=BUSY)
        expect(message.get_by_text("Waits: Deploy fraud")).to_have_count(2, timeout=BUSY)
        message.get_by_role("button", name="Approve all 6").click()
        shot(page, "sure")
        page.get_by_role("dialog").get_by_role("button", name="Approve all 6").click()
        expect(message).to_contain_text("Approved in advance by @bob", timeout=BUSY)
        shot(page, "given")
        assert stage.run.wait(PATIENCE) == 0, "\n".join(stage.run.lines)
        expect(message).to_contain_text("All 6 shards are answered", timeout=BUSY)
        expect(message).to_have_count(1)
        shot(page, "answered")
        assert sum(line.endswith(": approved") for line in stage.run.lines) == 6
        page.goto("about:blank")  # before the Slack that it listens to is gone
