"""What an answer costs on S3, by the access log of a real server: it does not depend on what else is recorded."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from hitl_bot.bootstrap import Bot
from hitl_bot.sandbox.driver import Message, Person
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.waiting import wait
from tests.fixtures.approvals import approval, pathspec
from tests.integration.bot.conftest import CHANNEL, SCHEMA, Ask

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

OTHERS = 300
PATIENCE = 120.0  # seconds


@pytest.fixture
def store(s3_versitygw: S3) -> Store:
    return s3_versitygw.store()


@dataclass
class Waiting:
    """A gate that waits in a thread, and looks for the answer when the test says so."""

    bot: Bot
    approval_id: str

    def __post_init__(self) -> None:
        self.asleep, self.look = Event(), Event()
        self.passed: Approval | None = None
        self._thread = Thread(target=self._wait)
        self._thread.start()
        assert self.asleep.wait(PATIENCE)

    def _wait(self) -> None:
        def sleep(_: float) -> None:
            self.asleep.set()
            assert self.look.wait(PATIENCE)

        self.passed = wait(self.bot.cases, self.approval_id, poll_interval=1.0, sleep=sleep, on_trouble=print)

    def end(self) -> Approval | None:
        self.look.set()
        self._thread.join(PATIENCE)
        return self.passed


@pytest.fixture(params=[0, OTHERS])
def others(request: pytest.FixtureRequest, ledger: Ledger) -> int:
    """Record so many other approvals, all of them open."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ledger.begin, [approval(pathspec(task=f"other-{number}")) for number in range(request.param)]))
    return request.param


def requests_until(place: S3, last: str, after: int) -> list[str]:
    """Return what was asked of the bucket since then, once the log has this request."""
    end = time.monotonic() + PATIENCE
    while last not in (seen := place.requests()[after:]):
        assert time.monotonic() < end, f"no {last} in {seen}"
        time.sleep(0.01)  # the server writes its log a moment after its answer, and tells nobody
    return seen


def on_the_way(seen: list[str], approval_id: str) -> list[str]:
    """Return what had to happen before the gate could open: all up to the decision's record, and the gate's look."""
    folder = f"hitl/approvals/{approval_id}"
    decided = seen.index(f"PutObject {folder}/00003.json")
    return [*seen[: decided + 1], seen[seen.index(f"GetObject {folder}/00003.json")]]


def answered(bob: Person, message: Message) -> None:
    bob.wait_for_update(message, lambda one: "Approved" in one.plain)


def assert_five(way: list[str], approval_id: str) -> None:
    """The bot reads the record and the version before it, and writes the decision; the gate reads that."""
    folder = f"hitl/approvals/{approval_id}"
    assert way[0].startswith("ListObjectsV2"), way
    assert way[1:] == [
        f"GetObject {folder}/00002.json",
        f"GetObject {folder}/00001.json",
        f"PutObject {folder}/00003.json",
        f"GetObject {folder}/00003.json",
    ]


def test_a_click_opens_the_gate_with_five_requests(ask: Ask, bot: Bot, bob: Person, s3_versitygw: S3, others: int):
    """From the click to the released gate: a LIST, two GETs and a PUT by the bot, a GET by the gate."""
    waiting = Waiting(bot, ask().id)
    looked = f"GetObject hitl/approvals/{waiting.approval_id}/00003.json"
    message = bob.wait_for_message(CHANNEL)
    before = len(requests_until(s3_versitygw, looked, 0))
    bob.click(message, "Approve", confirm="Approve")
    answered(bob, message)
    passed = waiting.end()
    assert passed is not None
    assert passed.lets_run
    after = requests_until(s3_versitygw, looked, before)
    assert_five(on_the_way(after, waiting.approval_id), waiting.approval_id)


def test_a_form_opens_the_gate_with_five_requests(ask: Ask, bot: Bot, bob: Person, s3_versitygw: S3, others: int):
    """From the submitted form to the released gate it is the same five; to open the form took one LIST and one GET."""
    waiting = Waiting(bot, ask(schema=SCHEMA).id)
    folder = f"hitl/approvals/{waiting.approval_id}"
    looked = f"GetObject {folder}/00003.json"
    message = bob.wait_for_message(CHANNEL)
    before = len(requests_until(s3_versitygw, looked, 0))
    form = bob.open(message, "Approve…")
    opening = requests_until(s3_versitygw, f"GetObject {folder}/00002.json", before)
    assert [request.split()[0] for request in opening] == ["ListObjectsV2", "GetObject"]
    form.fill({"Deploy target": "staging", "Replicas": "3"}).submit()
    answered(bob, message)
    passed = waiting.end()
    assert passed is not None
    assert passed.decision is not None
    assert passed.decision.input == {"deploy_target": "staging", "replicas": 3}
    after = requests_until(s3_versitygw, looked, before + len(opening))
    assert_five(on_the_way(after, waiting.approval_id), waiting.approval_id)


def test_open_approvals_are_found_with_one_list_a_thousand(ledger: Ledger, s3_versitygw: S3):
    """1,001 markers of open approvals take two LISTs, and nothing else."""
    store = ledger.store
    ids = sorted(pathspec(task=str(number)).approval_id for number in range(1001))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(store.mark, [f"open/{one}" for one in ids]))
    before = len(requests_until(s3_versitygw, f"PutObject hitl/open/{ids[-1]}", 0))
    assert list(ledger.open_ids()) == ids
    store.mark("open/last")
    seen = requests_until(s3_versitygw, "PutObject hitl/open/last", before)
    listed = [request for request in seen if not request.startswith("PutObject")]
    assert [request.split()[0] for request in listed] == ["ListObjectsV2", "ListObjectsV2"]
