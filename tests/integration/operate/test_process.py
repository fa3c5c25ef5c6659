"""``hitl-bot serve`` as a process, in the mode in which Slack calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import IO, Any

import pytest

from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.delivery import signed_headers
from hitl_bot.sandbox.driver import Driver, NotAcknowledged
from hitl_bot.web.server import SLACK_PATH
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import State
from metaflow_extensions.hitl.approvals.transitions import request
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.fixtures.approvals import NOW, REQUESTER, gate, pathspec, question
from tests.integration.operate.conftest import CHANNEL, call

ROOT = Path(__file__).parents[3]
SERVE = [sys.executable, "-m", "hitl_bot", "serve"]
START_SECONDS = 120  # it takes about two
STOP_SECONDS = 10  # what is promised
PATIENCE = 120  # seconds; of a machine that is busy with other things as well


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """Return variables in which nothing else says anything about Slack or Metaflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAFLOW_", "SLACK_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "METAFLOW_HOME": str(tmp_path),
        "KUBECONFIG": os.devnull,
        "METAFLOW_HITL_ROOT": str(tmp_path / "records"),
        "METAFLOW_HITL_SLACK_BOT_TOKEN": sandbox.bot_token,
        "METAFLOW_HITL_SLACK_SIGNING_SECRET": sandbox.signing_secret,
        "METAFLOW_HITL_SLACK_API_URL": sandbox.api_url,
        "METAFLOW_HITL_SLACK_CHANNEL": CHANNEL,
        "METAFLOW_HITL_LOG_FORMAT": "json",
        "METAFLOW_HITL_LOG_LEVEL": "debug",
        "METAFLOW_HITL_PORT": "0",
    }


@dataclass
class Serving:
    """A process that serves, and what it wrote to its log so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _reader: Thread | None = None

    def event(self, name: str) -> dict[str, Any]:
        """Read the log up to this event, and return it."""
        for line in self._log():
            self.lines.append(line)
            entry: dict[str, Any] = json.loads(line)
            if entry["event"] == name:
                # From here on somebody has to read, or the process would wait for it.
                self._reader = Thread(target=lambda: self.lines.extend(self._log()), daemon=True)
                self._reader.start()
                return entry
        pytest.fail(f"it ended without {name!r}:\n{''.join(self.lines)}")

    def end(self) -> str:
        """Wait for its end, and return the whole log."""
        self.process.wait(PATIENCE)
        if self._reader is not None:
            self._reader.join()
        return "".join(self.lines)

    def _log(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr


@contextmanager
def serving(environment: dict[str, str], *arguments: str) -> Iterator[Serving]:
    process = subprocess.Popen(
        [*SERVE, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Serving(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def fails(environment: dict[str, str], *arguments: str) -> str:
    """Run it where it can't serve, and return what it says."""
    result = subprocess.run(
        [*SERVE, *arguments], env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert result.returncode != 0
    return result.stderr


def ask(folder: Path) -> str:
    """Leave a question in the store, as a run without a token does; the sweeper posts it at once."""
    approval = request(pathspec(), question(notifiers=("slack",)), gate(), REQUESTER, NOW)
    return Ledger(DirectoryStore(folder / "records")).begin(approval).approval.id


def moment(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00"))


def test_a_signal_lets_it_finish(environment: dict[str, str], tmp_path: Path, people: Driver, control: Control) -> None:
    """A click that is being carried out when SIGTERM comes is settled, and the process ends with 0."""
    approval_id = ask(tmp_path)
    ledger = Ledger(DirectoryStore(tmp_path / "records"))
    bob = people.as_("bob")
    with serving(environment) as bot:
        started = bot.event("serving")
        assert started["mode"] == "http"
        control.deliver_to(started["address"] + SLACK_PATH)
        message = bob.wait_for_message(CHANNEL, timeout=START_SECONDS)
        control.set_clock(control.now())  # it stands still, so the delay lasts until the clock is moved
        control.fault("chat.update", delay=5)
        pressed = Thread(target=bob.click, args=(message, "Approve"), kwargs={"confirm": "Approve"})
        pressed.start()
        control.wait_until(lambda: ledger.read(approval_id).approval.decision)
        bot.process.send_signal(signal.SIGTERM)
        for _ in range(10 * PATIENCE):
            control.advance(5)  # the update may have arrived since the last time, or not yet
            with suppress(subprocess.TimeoutExpired):
                bot.process.wait(0.1)
                break
        log = bot.end()
        pressed.join()
    assert bot.process.returncode == 0, log
    approval = ledger.read(approval_id).approval
    assert approval.state is State.APPROVED
    assert approval.settlement is not None
    assert "Approved" in message.refresh().plain


def test_a_signal_ends_it_although_slack_hangs(
    environment: dict[str, str], tmp_path: Path, people: Driver, control: Control
) -> None:
    """If what is in flight does not end, the process does, with 0 in 10 s, and leaves it to the next sweeper."""
    approval_id = ask(tmp_path)
    ledger = Ledger(DirectoryStore(tmp_path / "records"))
    bob = people.as_("bob")
    with serving(environment) as bot:
        control.deliver_to(bot.event("serving")["address"] + SLACK_PATH)
        message = bob.wait_for_message(CHANNEL, timeout=START_SECONDS)
        control.set_clock(control.now())
        control.fault("chat.update", delay=3600, times=99)
        pressed = Thread(target=bob.click, args=(message, "Approve"), kwargs={"confirm": "Approve", "timeout": 0})
        pressed.start()
        control.wait_until(lambda: ledger.read(approval_id).approval.decision)
        bot.process.send_signal(signal.SIGTERM)
        log = bot.end()
        pressed.join()
    assert bot.process.returncode == 0, log
    entries = [json.loads(line) for line in log.splitlines()]
    [told] = [moment(entry) for entry in entries if entry["event"] == "stopping"]
    assert moment(entries[-1]) - told < timedelta(seconds=STOP_SECONDS)
    approval = ledger.read(approval_id).approval
    assert approval.state is State.APPROVED
    assert approval.settlement is None
    assert list(ledger.open_ids()) == [approval_id]


def test_the_log_holds_no_secret(
    environment: dict[str, str], sandbox: Sandbox, people: Driver, control: Control
) -> None:
    """At its most talkative, with people, forgers and Slack's own refusals at it, the log shows no token or secret."""
    tokens = {"METAFLOW_HITL_SLACK_APP_TOKEN": sandbox.app_token, "METAFLOW_HITL_MODE": "HTTP"}
    with serving({**environment, **tokens}) as bot:
        address = bot.event("serving")["address"]
        control.deliver_to(address + SLACK_PATH)
        people.as_("bob").command("/hitl list")
        control.fault("users.info", error="token_revoked")
        with suppress(NotAcknowledged):  # a busy machine may take longer than Slack waits
            people.as_("carol").command("/hitl approve gate-0123456789")
        body = f"token={sandbox.bot_token}&secret=a-forgers-own-words".encode()
        assert call(address, SLACK_PATH, body, {"Authorization": f"Bearer {sandbox.bot_token}"}).status == 401
        wrong = signed_headers("wrong", control.now(), body.decode())
        assert call(address, SLACK_PATH, body, wrong).status == 401
        bot.process.send_signal(signal.SIGTERM)
        log = bot.end()
    assert bot.process.returncode == 0, log
    entries = [json.loads(line) for line in log.splitlines()]
    assert [entry["reason"] for entry in entries if entry["event"] == "a request was refused"] == [
        "unsigned",
        "wrong signature",
    ]
    assert all({"event", "level", "logger", "timestamp"} <= set(entry) for entry in entries)
    assert "color_message" not in log  # uvicorn's, with codes for a terminal
    for secret in (sandbox.bot_token, sandbox.app_token, sandbox.signing_secret, "a-forgers-own-words"):
        assert secret not in log


def test_the_mode_follows_from_what_is_there(environment: dict[str, str]) -> None:
    """Without a signing secret it is Socket Mode, which takes an app-level token; --mode http takes the secret."""
    del environment["METAFLOW_HITL_SLACK_SIGNING_SECRET"]
    assert "METAFLOW_HITL_SLACK_APP_TOKEN is not set" in fails(environment)
    assert "METAFLOW_HITL_SLACK_SIGNING_SECRET is not set" in fails(environment, "--mode", "http")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("METAFLOW_HITL_MODE", "carrier pigeon"),
        ("METAFLOW_HITL_PORT", "70000"),
        ("METAFLOW_HITL_SLACK_SIGNING_SECRET", "xoxb-1-2"),
        ("METAFLOW_HITL_HOST", "192.0.2.1"),
    ],
)
def test_a_setting_that_cant_be_used_is_named(environment: dict[str, str], variable: str, value: str) -> None:
    """It ends in words that name the variable, without a traceback and without the value of a secret."""
    said = fails({**environment, variable: value})
    assert variable in said
    assert "Traceback" not in said
    assert "xoxb-1-2" not in said
