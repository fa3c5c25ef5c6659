"""Take the documents' pictures from the real thing: ``python docs/pictures.py [NAME ...]``.

Two runs wait in the local Slack, one after the other; bob answers the second in Chromium, and moments of that become
``docs/images/*.png``. The other pictures are the scenes of ``scenes.py``. With names only these are taken:
``run`` or those of the scenes.
"""  # noqa: INP001 - a script beside the documents, no package

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import scenes
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect, sync_playwright

from hitl_bot.demo.stage import EARLIER, approve_earlier, set_stage

REPOSITORY = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
SIDEBAR, TOP = 244, 48  # pixels of the page that no picture needs
MESSAGE_WIDTH = 800
WIDTH, HEIGHT = SIDEBAR + MESSAGE_WIDTH, 900
PHONE = 390
# By the picture's name: who looks at the channel, and what happened before.
MESSAGES = {
    "voting": ("carol", scenes.voting),
    "changes": ("alice", scenes.changes),
    "delegation": ("carol", scenes.delegation),
    "batch": ("carol", scenes.batch),
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
THOUGHT = 45.0  # seconds that bob takes to answer, so that the answered message tells a likely time


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium is missing: install Debian's package `chromium`.")
    wanted = sys.argv[1:] or ["run", *MESSAGES, "home"]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser,
    ):
        if "run" in wanted:
            take_run(browser)
        for name in wanted:
            if name in MESSAGES:
                take_message(browser, name)
        if "home" in wanted:
            take_home(browser)


def take_run(browser: Browser) -> None:
    flow = REPOSITORY / "hitl_bot" / "demo" / "flows" / "train_and_deploy.py"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # Outside of the repository, whose commit and local changes would be in the picture.
        copy = Path(shutil.copy(flow, folder))
        first = stack.enter_context(set_stage(copy, Path(folder), 0, print, arguments=EARLIER))
        approve_earlier(first)
        second = first.next_run()
        take_question(browser, f"{second.url}/?as=bob")
        answer(open_page(browser, f"{second.url}/?as=bob"))
        second.run.wait(60)  # its folder goes next


def take_question(browser: Browser, url: str) -> None:
    """Take the question as it is on a laptop and on a phone, in light and in dark colours."""
    for colours in ("light", "dark"):
        for name, width, sidebar in (("question", WIDTH, SIDEBAR), ("question-phone", PHONE, 0)):
            page = open_page(browser, url, width=width, dark=colours == "dark")
            message = page.get_by_role("article").filter(has_text="Deploy fraud v7?")
            expect(message.get_by_role("button", name="Approve…")).to_be_visible(timeout=60_000)
            take(page, name if colours == "light" else f"{name}-dark", alone_area(message, sidebar, width - sidebar))
            page.close()


def take_message(browser: Browser, name: str) -> None:
    """Take one message of the channel as it stands after a scene, with its thread where that says more."""
    who, act = MESSAGES[name]
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        about = act(play)
        page = open_page(browser, f"{play.url}/?as={who}")
        message = page.get_by_role("article").filter(has_text=about).first
        expect(message).to_be_visible()
        take(page, name, message_area(message))


def take_home(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        scenes.delegation(play)
        scenes.inbox(play)
        page = open_page(browser, f"{play.url}/?as=alice#home")
        last = page.get_by_text("Updates automatically")
        expect(last).to_be_visible()
        take(page, "home", message_area(last))


def open_page(browser: Browser, url: str, *, width: int = WIDTH, dark: bool = False) -> Page:
    page = browser.new_page(
        viewport={"width": width, "height": HEIGHT},
        color_scheme="dark" if dark else "light",
        device_scale_factor=2,
        locale="en-GB",
        timezone_id="Europe/Amsterdam",
    )
    page.goto(url)
    return page


def answer(page: Page) -> None:
    """Approve as a person would, and take pictures on the way."""
    message = page.get_by_role("article").filter(has_text="Deploy fraud v7?")
    expect(message.get_by_role("button", name="Approve…")).to_be_visible(timeout=60_000)
    page.wait_for_timeout(THOUGHT * 1000)
    message.get_by_role("button", name="Approve…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("staging").check()
    form.get_by_label("Traffic").fill("25")
    form.get_by_label("Notes").fill("canary first")
    take(page, "form", form_area(form))
    form.get_by_role("button", name="Approve").click()
    expect(message).to_contain_text("the run continues")
    page.mouse.move(0, 0)  # away from the message, which shows its tools under the mouse
    page.evaluate("document.activeElement.blur()")
    take(page, "answered", alone_area(message, SIDEBAR, MESSAGE_WIDTH))


def take(page: Page, name: str, area: FloatRect) -> None:
    IMAGES.mkdir(exist_ok=True)
    page.screenshot(path=IMAGES / f"{name}.png", clip=area, animations="disabled", caret="hide")


def message_area(message: Locator) -> FloatRect:
    """From the channel's name down to the end of the message."""
    box = box_of(message)
    return {"x": SIDEBAR, "y": TOP, "width": MESSAGE_WIDTH, "height": box["y"] + box["height"] + 12 - TOP}


def alone_area(message: Locator, x: int, width: int) -> FloatRect:
    """The message without what is above it."""
    box = box_of(message)
    return {"x": x, "y": box["y"], "width": width, "height": box["height"] + 8}


def form_area(form: Locator) -> FloatRect:
    """The form with a rim of the page behind it."""
    box, rim = box_of(form), 12
    return {
        "x": box["x"] - rim,
        "y": box["y"] - rim,
        "width": box["width"] + 2 * rim,
        "height": box["height"] + 2 * rim,
    }


def box_of(element: Locator) -> FloatRect:
    box = element.bounding_box()
    if box is None:
        raise LookupError(f"{element} is not on the screen")
    return box


if __name__ == "__main__":
    main()
