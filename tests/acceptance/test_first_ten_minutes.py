"""The page for newcomers, followed line by line by somebody who copies what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hitl_bot.sandbox.driver import Driver
from tests.acceptance.test_sandbox_command import exports_in
from tests.fixtures.flows import PATIENCE, REPOSITORY, Process, clean_environment
from tests.fixtures.slack import form_behind

PAGE = (REPOSITORY / "docs" / "first-ten-minutes.md").read_text(encoding="utf-8")
PROGRAMS = Path(sys.executable).parent


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def terminal(tmp_path):
    """Type a command of the page into a terminal of its own."""
    started = []

    def type_in(command, **exports):
        program, *arguments = command.split()
        environment = {**clean_environment(), **exports}
        process = Process([str(PROGRAMS / program), *arguments], tmp_path, environment)
        started.append(process)
        return process

    yield type_in
    for process in reversed(started):
        process.process.terminate()
        process.process.wait(60)
        process.stop()


def test_the_page_leads_to_a_gated_flow_of_ones_own(terminal, tmp_path):
    """Every command, in the page's order, does what the page says it does."""
    serve, run, *looks = [line for block in blocks("sh") for line in block.splitlines()]
    sandbox = terminal(serve)
    sandbox.wait_for_line("until you press Ctrl-C")
    exports = exports_in(sandbox.output)
    [flow] = blocks("python")
    (tmp_path / run.split()[1]).write_text(flow)
    running = terminal(run, **exports)
    bob = Driver(sandbox.wait_for_line("local Slack is at").split()[-1]).as_("bob")
    question = bob.wait_for_message("#ml-approvals", lambda message: "94.0%" in message.plain, timeout=PATIENCE)
    looked = [terminal(look, **exports) for look in looks]
    assert [one.wait() for one in looked] == [0] * len(looks), [one.output for one in looked]
    assert ["94.0%" in one.output or "No problems found" in one.output for one in looked] == [True] * len(looks)
    form_behind(bob, question, "Approve…").fill({"Target": "staging"}).submit()
    assert running.wait() == 0, running.output
    assert "To staging, said bob." in running.output


def test_the_page_installs_what_there_is():
    """Pip takes the line of the page, for this checkout, with extras that exist."""
    [line] = re.findall(r'^pip install "path/to/metaflow-hitl(\[.+\])"$', PAGE, re.MULTILINE)
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, f"{REPOSITORY}{line}"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stderr
