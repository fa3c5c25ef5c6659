"""What the demo sets up is gone when it is left."""

from __future__ import annotations

import os
from threading import Event

import pytest

from hitl_bot.demo.stage import set_stage
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores import open_store
from tests.fixtures.flows import PATIENCE, REPOSITORY


def test_a_run_that_waits_ends_with_its_tasks(tmp_path):
    """Left before anybody answered, no process of the run waits on, and the question is closed."""
    waits = Event()

    def hear(line: str) -> None:
        if "or reject" in line:  # the last words of the gate before it waits
            waits.set()

    with set_stage(REPOSITORY / "examples" / "train_and_deploy.py", tmp_path, 0, hear) as stage:
        assert waits.wait(PATIENCE), "\n".join(stage.run.lines)
        group = stage.run._process.pid
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    (approval_id,) = (path.name for path in (tmp_path / "hitl" / "approvals").iterdir())
    closing = Ledger(open_store(str(tmp_path / "hitl"))).read(approval_id).approval.closing
    assert closing is not None
