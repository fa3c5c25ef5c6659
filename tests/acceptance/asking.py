"""A process that asks and waits as runs do, a thread a question, with the parts that a flow has. It may be killed."""

import os
import sys
import time
from threading import Thread

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.waiting import wait
from metaflow_extensions.hitl.plugins.root import build_use_cases
from metaflow_extensions.hitl.stores import open_store
from metaflow_extensions.hitl.stores.s3 import s3_client
from tests.fixtures.approvals import REQUESTER, gate, pathspec, question

AGAIN = 0.5  # seconds


def ask(root: str, task: str) -> None:
    """Ask until it is recorded, wait until somebody answers, and print that the gate is open."""
    cases = build_use_cases(open_store(root, s3_client=s3_client), print)
    asked = question(f"Deploy part {task} now?", notifiers=("slack",))
    opened = False
    while not opened:
        try:
            approval = cases.ask(pathspec(task=task), asked, gate(), REQUESTER).approval
            wait(cases, approval.id, poll_interval=AGAIN, sleep=time.sleep, on_trouble=lambda _: None)
            opened = True
        except HitlError:  # noqa: PERF203 - a killed server comes back
            time.sleep(AGAIN)
    os.write(1, f"opened {task}\n".encode())  # for the test, in one piece: threads share the file


if __name__ == "__main__":
    for one in sys.argv[2:]:
        Thread(target=ask, args=(sys.argv[1], one)).start()
