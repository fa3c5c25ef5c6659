"""A local run that ends without a word closes the question that it asked."""

from __future__ import annotations

import os
import re
import signal
import time
from threading import Event

import pytest

from tests.fixtures.flows import PATIENCE

GATED = """
@hitl
@step
def start(self):
    self.next(self.end)

@step
def end(self):
    pass
"""


@pytest.mark.parametrize(
    ("whose", "signal_", "reason"),
    [
        ("task", signal.SIGHUP, ("the run was stopped", "the run ended before anybody answered")),
        ("run", signal.SIGKILL, "the run is gone"),
    ],
)
def test_a_run_that_dies_leaves_no_question_open(flow, whose, signal_, reason):
    """A closed terminal, or a run that is killed alone: the task that waits closes its question."""
    gated = flow(GATED)
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    task = re.search(r"\(pid (\d+)\)", run.wait_for_line("or reject"))
    assert task is not None
    os.kill(int(task[1]) if whose == "task" else run.process.pid, signal_)
    end = time.monotonic() + PATIENCE
    while (closing := gated.ledger.read(approval.id).approval.closing) is None:
        assert time.monotonic() < end, run.output
        Event().wait(0.1)  # another process's to write
    assert closing.reason.startswith(reason)  # of the task and the run, whichever closes it first
