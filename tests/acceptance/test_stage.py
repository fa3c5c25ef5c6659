"""What the demo sets up is gone when it is left."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event

import pytest

from hitl_bot.demo.stage import CHANNEL, set_stage
from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores import open_store
from tests.fixtures.flows import PATIENCE, REPOSITORY, Process


def wait_until_gone(look: Callable[[], None]) -> None:
    """Wait until a process that was killed is none any more: it is gone once its parent, or the system, has seen it."""
    end = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            look()
            Event().wait(0.02)
        pytest.fail("it is still there")


def test_a_run_that_waits_ends_with_its_tasks(tmp_path):
    """Left before anybody answered, no process of the run waits on, and the run has said that its question is over."""
    waits = Event()

    def hear(line: str) -> None:
        if "or reject" in line:  # the last words of the gate before it waits
            waits.set()

    with set_stage(REPOSITORY / "hitl_bot" / "demo" / "flows" / "train_and_deploy.py", tmp_path, 0, hear) as stage:
        assert waits.wait(PATIENCE), "\n".join(stage.run.lines)
        # A question that the bot has not taken over yet leaves nothing that could be closed.
        Driver(stage.url).as_("bob").wait_for_message(CHANNEL, timeout=PATIENCE)
        group = stage.run._process.pid
    wait_until_gone(lambda: os.killpg(group, 0))
    ledger = Ledger(open_store(str(tmp_path / "hitl")))
    # The bot closes it, or the next bot does, if this one ended first.
    asked = {key.split("/")[1] for key in ledger.store.list("approvals/")}
    closed = [one for one in asked if ledger.read(one).approval.closing is not None]
    assert closed or list(ledger.store.list("proposals/closings/"))


def test_a_demo_that_is_told_to_end_ends_its_run(tmp_path):
    """SIGTERM does what Ctrl-C does: the task that waits is gone, and so is the folder of the run."""
    demo = Process(
        [sys.executable, "-m", "hitl_bot", "demo"], tmp_path, {**os.environ, "BROWSER": "none", "TMPDIR": str(tmp_path)}
    )
    task = re.search(r"\(pid (\d+)\)", demo.wait_for_line("or reject"))
    demo.process.terminate()
    assert demo.wait() == 0, demo.output
    demo.stop()
    assert task is not None
    wait_until_gone(lambda: os.kill(int(task[1]), 0))
    assert list(tmp_path.glob("hitl-*")) == []  # Metaflow may leave something of a task that it had to kill
