"""The page in a real browser: what a person sees and does there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from slack_bolt import Ack, App
from slack_sdk import WebClient

from hitl_bot.sandbox import Sandbox

Json = dict[str, Any]
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def page(sandbox: Sandbox) -> Iterator[Page]:
    """Bob's browser, which has complained of nothing when the test is over."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing, and CI has to run this")
        pytest.skip("needs Chromium")
    complaints: list[str] = []
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(f"{sandbox.url}/?as=bob")
        expect(page.get_by_role("heading", name="# ml-approvals")).to_be_visible()
        yield page
    assert complaints == []


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def test_what_came_over_the_wire_is_text(page: Page, slack: WebClient) -> None:
    """Markup, scripts and javascript: links in a message are shown as words."""
    text = "&lt;img src=x onerror=alert(1)&gt; <javascript:alert(1)|click me> *bold* `code`"
    slack.chat_postMessage(channel="C0APPROVALS", text=text)
    message = page.get_by_role("article")
    expect(message).to_contain_text("<img src=x onerror=alert(1)> click me bold code")
    expect(message.locator("img[src='x'], a")).to_have_count(0)
    expect(message.locator("strong", has_text="bold")).to_be_visible()


def test_a_form_by_keyboard_alone(page: Page, bolt: App, connected: App, slack: WebClient) -> None:
    """Enter opens the form, its field has the focus, an error stands under it, Esc closes and gives the focus back."""

    @bolt.action("approve")
    def approve(ack: Ack, body: Json, client: WebClient) -> None:
        ack()
        element = {"type": "plain_text_input", "action_id": "entry"}
        field = {"type": "input", "block_id": "target", "label": plain("Deploy target"), "element": element}
        view = {"type": "modal", "callback_id": "form", "title": plain("Approve gate"), "submit": plain("Approve")}
        client.views_open(trigger_id=body["trigger_id"], view={**view, "blocks": [field]})

    @bolt.view("form")
    def form(ack: Ack) -> None:
        ack(response_action="errors", errors={"target": "Staging or production."})

    button = {"type": "button", "action_id": "approve", "text": plain("Approve…")}
    slack.chat_postMessage(channel="C0APPROVALS", text="x", blocks=[{"type": "actions", "elements": [button]}])
    opener = page.get_by_role("button", name="Approve…")
    opener.focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("Deploy target")
    expect(field).to_be_focused()
    page.keyboard.type("moon")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Staging or production.")).to_be_visible()
    expect(field).to_have_value("moon")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_command_is_typed_and_answered(page: Page, bolt: App, connected: App) -> None:
    """The composer hints at the command, Tab completes it, and the answer is marked as visible to bob alone."""

    @bolt.command("/hitl")
    def hitl(ack: Ack, command: Json) -> None:
        ack(f"you asked for {command['text']}")

    page.get_by_label("Message or slash command").focus()
    page.keyboard.type("/hi")
    expect(page.get_by_text("list | show ID")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("list")
    page.keyboard.press("Enter")
    expect(page.get_by_text("you asked for list")).to_be_visible()
    expect(page.get_by_text("Only visible to you")).to_be_visible()
    page.get_by_label("You are").select_option("carol")
    expect(page.get_by_text("you asked for list")).to_have_count(0)


def test_an_unread_message_is_counted(page: Page, slack: WebClient) -> None:
    """A direct message that came while bob looks elsewhere is counted in the sidebar until he looks."""
    slack.chat_postMessage(channel="U0BOB", text="psst")
    expect(page.get_by_label("1 unread")).to_be_visible()
    page.get_by_role("link", name="HITL", exact=False).first.click()
    expect(page.get_by_text("psst")).to_be_visible()
    expect(page.get_by_label("1 unread")).to_have_count(0)


def test_without_the_app_a_click_says_so(page: Page, slack: WebClient) -> None:
    """While the app is not connected, a click tells that nothing happened."""
    button = {"type": "button", "action_id": "approve", "text": plain("Approve")}
    slack.chat_postMessage(channel="C0APPROVALS", text="x", blocks=[{"type": "actions", "elements": [button]}])
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert").filter(has_text="The app is not connected")).to_be_visible()


def test_it_fits_a_phone(page: Page, slack: WebClient) -> None:
    """At 390 pixels nothing scrolls sideways, and the channels come out by a button."""
    slack.chat_postMessage(channel="C0APPROVALS", text="x " * 300)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.get_by_role("link", name="random")).not_to_be_visible()
    page.get_by_role("button", name="Channels").click()
    page.get_by_role("link", name="random").click()
    expect(page.get_by_role("heading", name="# random")).to_be_visible()
