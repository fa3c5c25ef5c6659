"""What people feel: how soon the bot acknowledges, beside an empty Bolt app; its memory, and a command's time.

The apps are processes of their own, the local Slack is this one. The two take turns, so that whatever else the machine
does falls on both. A click is delivered as the local Slack delivers every click, without a browser.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.apps import PATH, PORT
from benchmarks.rows import Row
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.delivery import Envelope, EnvelopeKind
from hitl_bot.sandbox.driver import Driver
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version, decode, encode
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import TrailEvent
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.stores import open_store
from tests.fixtures.approvals import approval, approving, pathspec

CHANNEL = "#ml-approvals"
TURNS = 4
PEOPLE = (1, 50)
GOALS = {"socket": 1.5, "http": 1.3}
_MEMORY = 2.2  # times an empty app; it was 2.9
_TERMINAL = 500.0  # ms
TERMINAL_TURNS = 8
_FLOW = Path(__file__).parents[1] / "hitl_bot" / "demo" / "flows" / "train_and_deploy.py"
_DECODE = 12.0  # times json.loads
_REPOSITORY = Path(__file__).parents[1]


def measure() -> Iterator[Row]:
    """Compare acknowledgements in both modes, memory, a command and decoding."""
    subprocess.run([sys.executable, "-c", "import hitl_bot.bootstrap"], cwd=_REPOSITORY, check=True)  # compiles
    for mode in ("socket", "http"):
        with ExitStack() as stack:
            apps = {kind: stack.enter_context(_App.running(kind, mode)) for kind in ("empty", "ours")}
            yield from _acknowledgements(mode, apps)
            if mode == "socket":
                yield from _memory(apps)
    yield from _terminal()
    yield from _decoding()


class _App:
    """An app in a process of its own, at a local Slack of its own."""

    def __init__(self, sandbox: Sandbox, process: subprocess.Popen[str]) -> None:
        self.sandbox = sandbox
        self.process = process
        self.payload: dict[str, Any] = {}
        self.lost = 0  # clicks for which Slack shows a warning

    @classmethod
    @contextmanager
    def running(cls, kind: str, mode: str) -> Iterator[_App]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hitl-bench-")))
            sandbox = stack.enter_context(Sandbox())
            port = _free_port()
            places = {
                "ROOT": str(folder),
                "MODE": mode,
                "PORT": str(port),
                "SLACK_BOT_TOKEN": sandbox.bot_token,
                "SLACK_APP_TOKEN": sandbox.app_token,
                "SLACK_SIGNING_SECRET": sandbox.signing_secret,
                "SLACK_API_URL": sandbox.api_url,
                "SLACK_CHANNEL": CHANNEL,
            }
            environment = {f"METAFLOW_HITL_{name}": value for name, value in places.items()}
            environment |= {PORT: str(port), "METAFLOW_HOME": str(folder), "KUBECONFIG": os.devnull}
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.apps", kind, mode],
                    cwd=_REPOSITORY,
                    env={**os.environ, **environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            app = cls(sandbox, process)
            while (said := app.says()) != "ready":  # Bolt's own server greets before
                if not said and process.poll() is not None:
                    raise RuntimeError(f"the {kind} app did not start")
            control = Driver(sandbox.url).control
            if mode == "socket":
                control.wait_for_connection()
            else:
                _wait_for_port(port)
                control.deliver_to(f"http://127.0.0.1:{port}{PATH}")
            if kind == "ours":
                app.payload = _asked_and_clicked(sandbox, folder)
            yield app

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def memory(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("memory\n")
        self.process.stdin.flush()
        return float(self.says())

    def clicks(self, people: int, payload: dict[str, Any]) -> list[float]:
        """Let so many people click at the same moment; return the milliseconds until each was acknowledged."""
        loop, delivery = self.sandbox._loop, self.sandbox._delivery  # noqa: SLF001 - closest to a click on the wire
        assert loop is not None
        assert delivery is not None

        async def click() -> float:
            own = {**payload, "trigger_id": secrets.token_hex(8)}  # the same request twice would be a replay
            begin = time.perf_counter()
            receipt = await delivery.deliver(Envelope(kind=EnvelopeKind.INTERACTIVE, payload=own))
            self.lost += receipt.answer is None
            return (time.perf_counter() - begin) * 1000

        async def at_once() -> list[float]:
            return list(await asyncio.gather(*(click() for _ in range(people))))

        return asyncio.run_coroutine_threadsafe(at_once(), loop).result(60)


def _asked_and_clicked(sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    """Have the bot post a question, approve it, and return the payload of that click: it may come again."""
    asked = _ask(str(folder), "42", notifiers=("slack",))
    bob = Driver(sandbox.url).as_("bob")
    message = bob.wait_for_message(CHANNEL, lambda one: asked in one.plain, timeout=60)
    bob.click(message, "Approve", confirm="Approve")
    bob.wait_for_update(message, lambda one: "Approved" in one.plain)
    found: dict[str, Any] = bob.control.envelopes()[-1]["payload"]
    return found


def _ask(root: str, task: str, **parts: Any) -> str:
    """Record a question as a run does that can't post it."""
    asked = approval(pathspec(task=task), at=datetime.now(timezone.utc), **parts)
    return Ledger(open_store(root)).begin(asked).approval.id


def _acknowledgements(mode: str, apps: dict[str, _App]) -> Iterator[Row]:
    payload = apps["ours"].payload
    for app in apps.values():
        app.clicks(1, payload)  # what is made once
    for people in PEOPLE:
        took: dict[str, list[float]] = {kind: [] for kind in apps}
        for _ in range(2 * TURNS if people > 1 else TURNS * 10):
            for kind, app in apps.items():
                took[kind] += app.clicks(people, payload)
                time.sleep(0.2 if people == 1 else 2.5)  # until what follows an acknowledgement is done
        who = f"{people} at once" if people > 1 else "one person"
        for kind, name in (("empty", "an empty Bolt app"), ("ours", "the bot")):
            yield Row.of(
                f"clicks lost by {name}, {mode}, {who}, of {len(took[kind])}", [apps[kind].lost], "clicks", goal=0
            )
            apps[kind].lost = 0
        for name, of in (("p50", median), ("p99", _p99)):
            ours, empty = (of(took[kind]) for kind in ("ours", "empty"))
            yield Row.of(f"acknowledged by an empty Bolt app, {mode}, {who}, {name}", [empty], "ms")
            goal = GOALS[mode] if people > 1 and name == "p50" else None
            yield Row.of(f"acknowledged by the bot, {mode}, {who}, {name}", [ours], "ms", ours / empty, goal)


def _memory(apps: dict[str, _App]) -> Iterator[Row]:
    empty, ours = (apps[kind].memory() for kind in ("empty", "ours"))
    yield Row.of("memory of an empty Bolt app, socket", [empty], "MB")
    yield Row.of("memory of the bot, socket", [ours], "MB", ours / empty, _MEMORY)


def _terminal() -> Iterator[Row]:
    """Approve from a terminal where only the store is needed, with and without a flow.

    Beside it stand an interpreter that does nothing and Metaflow's own ``show``. Whatever else the machine does only
    adds: the quickest counts.
    """
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as folder:
        environment = {**os.environ, "METAFLOW_HITL_ROOT": folder, "METAFLOW_HOME": folder, "METAFLOW_USER": "bench"}
        flow = [str(_FLOW), "--quiet"]
        commands = {
            "python that does nothing": ["-c", ""],
            "hitl approve": ["-m", "metaflow_hitl", "approve"],
            "python flow.py show": [*flow, "show"],
            "python flow.py hitl approve": [*flow, "hitl", "approve"],
        }
        took: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(1 + TERMINAL_TURNS):  # the first compiles what was never imported
            for name, words in commands.items():
                own = [_ask(folder, f"{number}-{len(words)}", notifiers=())] if words[-1] == "approve" else []
                begin, before = time.perf_counter(), os.times()
                subprocess.run([sys.executable, *words, *own], env=environment, capture_output=True, check=True)
                after = os.times()
                if number:
                    took[name].append((time.perf_counter() - begin) * 1000)
                    spent = after.children_user + after.children_system
                    cpu[name].append((spent - before.children_user - before.children_system) * 1000)
    beside = {"python flow.py hitl approve": "show"}
    for name in commands:
        goal = _TERMINAL if name == "hitl approve" else None
        yield _quickest(f"{name}: time", took[name], goal=goal)
        other = beside.get(name)
        ratio = min(cpu[name]) / min(cpu[f"python flow.py {other}"]) if other else None
        yield _quickest(f"{name}: CPU time{f' (ratio: to {other})' if other else ''}", cpu[name], ratio=ratio)


def _quickest(name: str, samples: list[float], ratio: float | None = None, goal: float | None = None) -> Row:
    return replace(Row.of(name, samples, "ms", ratio, goal), value=min(samples))


def _decoding() -> Iterator[Row]:
    """Decode one record of 2 kB with a form and a decision, and have json.loads read the same bytes."""
    now = datetime.now(timezone.utc)
    schema = normalise({"deploy_target": "str", "replicas": {"type": "int", "min": 1, "max": 9}})
    decided = transitions.decide(approval(pathspec(), at=now, schema=schema), approving(at=now))
    body = encode(Version(number=2, previous="0" * 64, event=TrailEvent.DECIDED, at=now, approval=decided))
    plain: list[float] = []
    ours: list[float] = []
    for _ in range(25):
        plain.append(_each(lambda: json.loads(body)))
        ours.append(_each(lambda: decode("a record", body)))
    yield Row.of("json.loads of a record", plain, "ms")
    yield Row.of("decoding a record", ours, "ms", min(ours) / min(plain), _DECODE)


def _each(act: Any, times: int = 100) -> float:
    begin = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - begin) * 1000 / times


def _p99(samples: list[float]) -> float:
    return quantiles(samples, n=100, method="inclusive")[-1]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the app does not listen")
