"""Take the documents' pictures from the real thing: ``python docs/pictures.py [NAME ...]``.

Runs wait in the local Slack, one after the other; bob answers the last in Chromium, and moments of that become
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
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect, sync_playwright

from hitl_bot.demo.stage import CHANNEL, Stage, set_stage
from hitl_bot.sandbox.driver import Driver

REPOSITORY = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
SIDEBAR, TOP = 244, 48  # pixels of the page that no picture needs
MESSAGE_WIDTH = 800
WIDTH, HEIGHT = SIDEBAR + MESSAGE_WIDTH, 900
THREAD = 350
PHONE = 390
# What comes before: version, learning rate, and whether carol approves it.
EARLIER = (("3", "0.03", True), ("4", "0.02", True), ("5", "0.05", False), ("6", "0.01", True))
# By the picture's name: who looks at the channel, and what happened before.
MESSAGES = {
    "voting": ("carol", scenes.voting),
    "changes": ("alice", scenes.changes),
    "delegation": ("carol", scenes.delegation),
    "batch": ("carol", scenes.batch),
    "markdown": ("bob", scenes.markdown),
    "unattended": ("bob", scenes.unattended),
    "choice": ("carol", scenes.choice),
    "in-advance": ("carol", scenes.in_advance),
}
ON_A_PHONE = {"markdown", "unattended", "choice", "in-advance"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
THOUGHT = 45.0  # seconds that bob takes to answer, so that the answered message tells a likely time


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium is missing: install Debian's package `chromium`.")
    wanted = sys.argv[1:] or ["run", *MESSAGES, "form-parts", "home", "home-many", "obligation"]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser,
    ):
        if "run" in wanted:
            take_run(browser)
        for name in wanted:
            if name in MESSAGES:
                take_message(browser, name)
        if "form-parts" in wanted:
            take_form(browser)
        if "home" in wanted:
            take_home(browser)
        if "home-many" in wanted:
            take_home_of_many(browser)
        if "obligation" in wanted:
            take_obligation(browser)


def take_run(browser: Browser) -> None:
    flow = REPOSITORY / "hitl_bot" / "demo" / "flows" / "train_and_deploy.py"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # Outside of the repository, whose commit and local changes would be in the picture.
        copy = Path(shutil.copy(flow, folder))
        arguments = [("--version", version, "--learning_rate", rate) for version, rate, _ in EARLIER]
        stage = stack.enter_context(set_stage(copy, Path(folder), 0, print, arguments=arguments[0]))
        for number, (version, _, approved) in enumerate(EARLIER):
            stage = stage if number == 0 else stage.next_run(*arguments[number])
            answer_earlier(stage, version, approved=approved)
        last = stage.next_run()
        take_question(browser, f"{last.url}/?as=bob")
        answer(open_page(browser, f"{last.url}/?as=bob"))
        last.run.wait(60)  # its folder goes next
        take_card(browser, Path(folder))


def take_card(browser: Browser, folder: Path) -> None:
    """Take the card of the last run down to where its hashes begin."""
    card = max(folder.glob(".metaflow/mf.cards/**/hitl-*.html"), key=lambda one: one.stat().st_mtime)
    page = open_page(browser, card.as_uri(), width=MESSAGE_WIDTH, height=3_000)
    end = box_of(page.get_by_role("heading", name="What the answer is about"))
    take(page, "card", {"x": 0, "y": 0, "width": MESSAGE_WIDTH, "height": end["y"] - 12})


def answer_earlier(stage: Stage, version: str, *, approved: bool) -> None:
    carol = Driver(stage.url).as_("carol")
    question = carol.wait_for_message(CHANNEL, lambda one: f"Deploy fraud v{version}" in one.plain, timeout=120)
    if approved:
        carol.open(question, "Approve…").fill({"Deploy target": "production", "Traffic": "100"}).submit()
    else:
        carol.open(question, "Reject…").fill({"Reason": "below the limit"}).submit()
    stage.run.wait(120)


def take_question(browser: Browser, url: str) -> None:
    """Take the question with its picture: beside it on a laptop, below it on a phone; in light and in dark colours."""
    for ending in ("", "-dark"):
        page = open_page(browser, url, width=WIDTH + THREAD, dark=bool(ending))
        message, drawn = with_thread(page)
        # What came before the question, and the question once more at the top of its thread, are beside the point.
        message.evaluate("one => one.parentElement.replaceChildren(one)")
        page.locator("#thread article").first.evaluate("one => one.remove()")
        page.mouse.move(0, 0)
        box, beside = box_of(message), box_of(drawn)
        bottom = max(box["y"] + box["height"], beside["y"] + beside["height"]) + 12
        area: FloatRect = {"x": SIDEBAR, "y": TOP, "width": MESSAGE_WIDTH + THREAD, "height": bottom - TOP}
        take(page, f"question{ending}", area)
        if not ending:  # it looks the same in the dark
            drawn.get_by_role("img", name="accuracy").screenshot(path=IMAGES / "course.png")
        page.close()
        page = open_page(browser, url, width=PHONE, height=1_200, dark=bool(ending))
        message = the_question(page)
        take(page, f"question-phone{ending}", alone_area(message, 0, PHONE))
        _, drawn = with_thread(page)
        drawn.scroll_into_view_if_needed()
        take(page, f"course-phone{ending}", alone_area(drawn, 0, PHONE, below=0))
        page.close()
        put_below(f"question-phone{ending}", f"course-phone{ending}")


def the_question(page: Page) -> Locator:
    message = page.get_by_role("article").filter(has_text="Deploy fraud v7?").first
    expect(message.get_by_role("button", name="Approve…")).to_be_visible(timeout=60_000)
    return message


def with_thread(page: Page) -> tuple[Locator, Locator]:
    """Open the question's thread, and wait for its picture."""
    message = the_question(page)
    message.locator("button.replies").click(timeout=60_000)
    drawn = page.locator("#thread article").filter(has=page.get_by_role("img", name="accuracy"))
    expect(drawn).to_be_visible()
    page.wait_for_function("[...document.querySelectorAll('#thread img')].every((one) => one.complete)")
    page.evaluate("document.activeElement.blur()")
    return message, drawn


def put_below(name: str, other: str) -> None:
    """Put one picture below another, into the file of the first."""
    upper, lower = Image.open(IMAGES / f"{name}.png"), Image.open(IMAGES / f"{other}.png")
    both = Image.new("RGB", (upper.width, upper.height + lower.height))
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height))
    both.save(IMAGES / f"{name}.png")
    (IMAGES / f"{other}.png").unlink()


def take_message(browser: Browser, name: str) -> None:
    """Take one message of the channel as it stands after a scene, with its thread where that says more."""
    who, act = MESSAGES[name]
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        about = act(play)
        page = open_page(browser, f"{play.url}/?as={who}")
        message = page.get_by_role("article").filter(has_text=about).first
        expect(message).to_be_visible()
        take(page, name, message_area(message))
        if name in ON_A_PHONE:
            page = open_page(browser, f"{play.url}/?as={who}", width=PHONE, height=1_600)
            message = page.get_by_role("article").filter(has_text=about).first
            expect(message).to_be_visible()
            take(page, f"{name}-phone", alone_area(message, 0, PHONE))


def take_form(browser: Browser) -> None:
    """Take a form with a list, an object and titles, on a laptop and on a phone."""
    for width, name in ((WIDTH, "form-parts"), (PHONE, "form-parts-phone")):
        with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
            about = scenes.form(play)
            page = open_page(browser, f"{play.url}/?as=bob", width=width, height=1_400)
            message = page.get_by_role("article").filter(has_text=about).first
            message.get_by_role("button", name="Approve…").click()
            form = page.get_by_role("dialog")
            expect(form.get_by_label("Pool: Pods")).to_be_visible()
            page.evaluate("document.activeElement.blur()")
            area = form_area(form) if width == WIDTH else box_of(form)
            take(page, name, area)


def take_home_of_many(browser: Browser) -> None:
    """Take the Home tab with twenty runs, on a laptop and on a phone."""
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        scenes.twenty_runs(play)
        for width, name in ((WIDTH, "home-many"), (PHONE, "home-many-phone")):
            page = open_page(browser, f"{play.url}/?as=carol#home", width=width, height=760)
            expect(page.get_by_text("Score all customers").first).to_be_visible()
            left, top = (SIDEBAR, TOP) if width == WIDTH else (0, 0)
            take(page, name, {"x": left, "y": top, "width": width - left, "height": 760 - top})


def take_home(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        scenes.delegation(play)
        scenes.inbox(play)
        page = open_page(browser, f"{play.url}/?as=alice#home")
        last = page.get_by_text("Updates automatically")
        expect(last).to_be_visible()
        take(page, "home", message_area(last))


def take_obligation(browser: Browser) -> None:
    """Take the form that approves with an obligation, and the reminder of it, on a laptop and on a phone."""
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        about = scenes.owing(play)
        for ending, width in (("", WIDTH), ("-phone", PHONE)):
            page = open_page(browser, f"{play.url}/?as=bob", width=width)
            page.get_by_role("article").filter(has_text=about).get_by_role("button", name="Approve…").click()
            form = page.get_by_role("dialog")
            form.get_by_label("What is owed").fill(scenes.OWED["What is owed"])
            form.get_by_label("Owner").select_option("U0CAROL")
            form.get_by_label("Due date").fill(scenes.OWED["Due date"])
            page.evaluate("document.activeElement.blur()")
            take(page, f"obligation{ending}", form_area(form))
            form.get_by_role("button", name="Cancel").click()
            expect(form).to_be_hidden()
            page.close()
    with tempfile.TemporaryDirectory() as folder, scenes.scene(Path(folder)) as play:
        about = scenes.reminder(play)
        for ending, width in (("", WIDTH), ("-phone", PHONE)):
            page = open_page(browser, f"{play.url}/?as=carol#home", width=width)
            page.get_by_role("link", name="Messages", exact=True).click()
            message = page.get_by_role("article").filter(has_text=about).first
            expect(message).to_be_visible()
            left = SIDEBAR if width == WIDTH else 0
            take(page, f"reminder{ending}", alone_area(message, left, width - left))
            page.close()


def open_page(browser: Browser, url: str, *, width: int = WIDTH, height: int = HEIGHT, dark: bool = False) -> Page:
    page = browser.new_page(
        viewport={"width": width, "height": height},
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


def alone_area(message: Locator, x: int, width: int, below: int = 8) -> FloatRect:
    """The message without what is above it."""
    box = box_of(message)
    return {"x": x, "y": box["y"], "width": width, "height": box["height"] + below}


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
