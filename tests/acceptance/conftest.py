"""A real browser: Debian's Chromium, driven by playwright. What it saw is kept in ``test-artifacts/``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.fixtures.patience import PATIENCE

CHROMIUM = shutil.which("chromium")
# No sandbox of its own, since a container's user may be root; and no calls to anywhere.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_PATIENCE = PATIENCE * 1000  # milliseconds
expect.set_options(timeout=_PATIENCE)
_ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"


@pytest.fixture(scope="module")  # it takes seconds to start
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: install Debian's package `chromium`")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=_PATIENCE) as running,
    ):
        yield running


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keep what a page shows at some moment of this test, for whoever wants to know what a person saw."""

    def take(page: Page, moment: str) -> None:
        _ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=_ARTIFACTS / f"{request.node.name}-{moment}.png")

    return take


@pytest.fixture
def visit(browser: Browser, shot: Callable[[Page, str], None]) -> Iterator[Callable[..., Page]]:
    """Open a page of a given size; when the test is over none has complained, and its last look is kept."""
    complaints: list[str] = []
    pages: list[Page] = []

    def open_page(url: str, width: int = 1280, height: int = 800) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(url)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        shot(page, "end")
        page.close()
    assert complaints == []
