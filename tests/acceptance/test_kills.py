"""Bot, runs, Slack and the S3 server are killed while people answer: what was answered holds, and is shown."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

import pytest

from hitl_bot.sandbox import APP_TOKEN, BOT_TOKEN
from hitl_bot.sandbox.control import NothingHappened, SandboxRefused
from hitl_bot.sandbox.driver import Driver, Message, Person
from hitl_bot.sandbox.surfaces import NotAcknowledged, NotThere
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from tests.fixtures.approvals import pathspec
from tests.fixtures.s3 import S3, accepts_connections, bucket_name, free_port, start_versitygw, with_bucket
from tests.fixtures.tools import tool
from tests.sizes import soak

REPOSITORY = Path(__file__).parents[2]
CHANNEL = "#ml-approvals"
AT_ONCE = 20  # questions that are open at a time
PATIENCE = 150.0  # seconds from the last kill until everything is shown; a claim of a killed bot holds for 90


class Victim:
    """A process that is killed, and comes back."""

    def __init__(self, start: Callable[[], subprocess.Popen[Any]]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self.process = start()

    def kill(self) -> None:
        with self._lock:
            self.process.kill()
            self.process.wait()
            self.process = self._start()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[tuple[Victim, S3]]:
    program, port = tool("versitygw", "versitygw"), free_port()

    def start() -> subprocess.Popen[bytes]:
        server = start_versitygw(program, folder, port)
        assert accepts_connections(server, port)
        return server

    server = Victim(start)
    try:
        yield server, with_bucket(S3(endpoint=f"http://127.0.0.1:{port}", bucket=bucket_name()))
    finally:
        server.end()


@contextmanager
def slack_server(folder: Path) -> Iterator[tuple[Victim, Driver]]:
    port = free_port()

    def start() -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "tests.acceptance.slack_server", str(port), str(folder / "slack")]
        server = subprocess.Popen(line, cwd=REPOSITORY)
        assert accepts_connections(server, port)
        return server

    server = Victim(start)
    try:
        yield server, Driver(f"http://127.0.0.1:{port}")
    finally:
        server.end()


def environment(slack: Driver, s3: S3, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW_", "SLACK_", "AWS_"))}
    return {
        **kept,
        **s3.environment(),
        "PYTHONPATH": str(REPOSITORY),
        "METAFLOW_HOME": str(folder),
        "KUBECONFIG": os.devnull,
        "METAFLOW_HITL_SLACK_BOT_TOKEN": BOT_TOKEN,
        "METAFLOW_HITL_SLACK_APP_TOKEN": APP_TOKEN,
        "METAFLOW_HITL_SLACK_API_URL": f"{slack.control.url}/api/",
        "METAFLOW_HITL_SLACK_CHANNEL": CHANNEL,
        "METAFLOW_HITL_PORT": "0",
    }


class Round:
    """Some questions that are open at once, and all that happens to them."""

    def __init__(self, ledger: Ledger, tasks: list[str], log: Path) -> None:
        self.ledger = ledger
        self.tasks = tasks
        self.log = log

    def entry(self, task: str) -> Entry | None:
        """Return the record of a question; None while there is none, or while the server is away."""
        with suppress(HitlError):
            return self.ledger.read(pathspec(task=task).approval_id)
        return None

    def is_decided(self, task: str) -> bool:
        entry = self.entry(task)
        return entry is not None and entry.approval.decision is not None

    def is_settled(self, task: str) -> bool:
        entry = self.entry(task)
        return entry is not None and entry.approval.settlement is not None

    def message(self, who: Person, task: str) -> Message:
        return who.wait_for_message(CHANNEL, lambda one: f"Deploy part {task} now?" in one.plain, timeout=PATIENCE)

    def answer(self, who: Person, task: str) -> None:
        """Click as often as it takes: whoever sees that nothing came of it, or Slack gone, clicks again."""
        end = time.monotonic() + 2 * PATIENCE
        while not self.is_decided(task):
            assert time.monotonic() < end, f"part {task} could not be answered"
            # SandboxRefused: the button has gone since the message was read.
            with suppress(NothingHappened, NotThere, NotAcknowledged, SandboxRefused, OSError, HTTPException):
                who.click(self.message(who, task), "Approve", confirm="Approve", timeout=2)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_what_is_answered_holds_whatever_is_killed(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each question has one message, one decision, an open gate, and no button left; 4 of them, and 200 in a soak."""
    number, rng = soak(4, 200), random.Random(11)
    killed: Counter[str] = Counter()
    with ExitStack() as stack:
        server, s3 = stack.enter_context(s3_server(tmp_path / "s3"))
        slack, people = stack.enter_context(slack_server(tmp_path))
        variables = environment(people, s3, tmp_path)
        log = stack.enter_context((tmp_path / "log").open("wb"))

        def process(*command: str, out: IO[bytes] = log) -> Victim:
            def start() -> subprocess.Popen[bytes]:
                line = [sys.executable, "-m", *command]
                return subprocess.Popen(line, env=variables, cwd=REPOSITORY, stdout=out, stderr=log)

            victim = Victim(start)
            stack.callback(victim.end)
            return victim

        victims = {"bot": process("hitl_bot", "serve"), "Slack": slack, "S3 server": server}
        answering, watching = [people.as_(name) for name in ("alice", "bob")], people.as_("carol")
        people.control.wait_for_connection(timeout=60)
        deck: list[str] = []
        for first in range(0, number, AT_ONCE):
            tasks = [str(task) for task in range(first, min(number, first + AT_ONCE))]
            opened = tmp_path / f"opened-{first}"
            out = stack.enter_context(opened.open("wb"))
            victims["runs"] = process("tests.acceptance.asking", s3.root, *tasks, out=out)
            asked = Round(Ledger(s3.store()), tasks, opened)
            for task in tasks:
                deck = deck or rng.sample(sorted(victims), len(victims))  # each as often as the others
                name = deck.pop()
                killing = threading.Timer(rng.uniform(0.0, 1.5), victims[name].kill)
                killing.start()
                asked.answer(rng.choice(answering), task)
                killing.join()
                killed[name] += 1
            held(asked, watching)
            victims["runs"].end()
    by_name = ", ".join(f"{name} {count}" for name, count in sorted(killed.items()))
    record_property("figure", f"kills: {number} decisions, {killed.total()} kills ({by_name}), nothing lost")


def until(so: Callable[[], bool], what: str) -> None:
    """Look until it is so: neither a record nor a file tells of its changes."""
    end = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < end, f"it took more than {PATIENCE:.0f} s until {what}"
        time.sleep(0.1)


def held(asked: Round, who: Person) -> None:
    """Wait until all is shown, and hold it to the record."""
    until(lambda: all(map(asked.is_settled, asked.tasks)), "all is settled")
    lines = {f"opened {task}" for task in asked.tasks}
    until(lambda: lines <= set(asked.log.read_text().splitlines()), "all gates are open")
    for task in asked.tasks:
        trail = asked.ledger.verify(pathspec(task=task).approval_id)
        assert trail[-1].approval.lets_run
        shown = [one for one in who.messages(CHANNEL) if f"Deploy part {task} now?" in one.plain]
        assert len(shown) == 1
        assert "Approve" not in shown[0].buttons
