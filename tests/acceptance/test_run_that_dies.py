"""A local run that ends without a word closes the question that it asked."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
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


def test_an_answer_to_a_run_that_died_is_kept_for_resume(flow):
    """Approved after nobody waited: that is said, nothing is claimed to continue, and `resume` goes on by it, once."""
    gated = flow(GATED)
    run = gated.start("run")
    (approval,) = gated.wait_for_approvals()
    (folder,) = wait_for_files(Path(gated.root) / "waiting", 1)
    wait_for_files(folder, 1)
    run.stop()  # no process of it is left to close anything, as when a machine loses its power
    for heartbeat in folder.iterdir():
        os.utime(heartbeat, (time.time() - 600,) * 2)
    approved = gated.hitl("approve", approval.id)
    assert "The run could not be resumed: nobody has been waiting since" in approved.output
    assert "resume --origin-run-id" in approved.output
    assert "the run continues" not in approved.output

    resumed = gated.call("resume")
    assert resumed.process.returncode == 0, resumed.output
    assert f"has asked the same in {approval.id}" in resumed.output
    assert (Path(gated.root) / "started" / approval.id).read_text() != str(approval.pathspec)

    # Once: who resumes again is asked again.
    gated.start("resume", "--origin-run-id", approval.pathspec.run)
    (again,) = gated.wait_for_approvals()
    assert again.id != approval.id


def wait_for_files(folder: Path, count: int) -> list[Path]:
    """Return what is in a folder, as soon as it is so much."""
    end = time.monotonic() + PATIENCE
    while len(found := sorted(folder.iterdir()) if folder.is_dir() else []) < count:
        assert time.monotonic() < end, f"{folder} has {found}"
        Event().wait(0.05)  # another process's to write
    return found
