"""The world around the processes: a store, a Slack and an engine, each of whose calls may go wrong in every way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import partial
from typing import Any, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, StoreUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.engines.fake import FakeEngine
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.simulation.kernel import EPOCH, Kernel, Process

CHANNEL = "C0APPROVALS"
BOT, TEAM = "B0HITL", "T0ACME"
BOT_TIMEOUT, RUN_TIMEOUT = 8.0, 30.0  # seconds for which Slack's answer is awaited
STORE_TIMEOUT = 20.0
_LATENCY = {"store": 0.03, "slack": 0.2, "engine": 0.05}  # seconds, on average
_Out = TypeVar("_Out")
Heard = Callable[[str, Mapping[str, str]], object]  # told who answered, with the headers


def nobody_listens(_source: str, _headers: Mapping[str, str]) -> None:
    """Take what the machine's clock says for the time."""


@dataclass(frozen=True)
class Fault:
    """What happens at one call.

    Attributes
    ----------
    kind : str
        ``before``: nothing is done, and the caller is told of an error. ``after``: it is done, and the answer is lost.
        ``slow``: it is done so many seconds later. ``twice``: it is done twice, as by a proxy that repeats it.
        ``crash before``, ``crash after``: the caller's process dies, and comes back so many seconds later.
    seconds : float
        How long.
    """

    kind: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Outage:
    """For a while every call of one kind fails in the same way.

    Attributes
    ----------
    what : str
        What the calls begin with, such as ``store mark said/`` or ``slack chat.update``; ``""``: all of them.
    start, seconds : float
        When, and for how long.
    fault : str
        ``before``, ``after``, or an error code of Slack's.
    """

    what: str
    start: float
    seconds: float
    fault: str

    def holds(self, now: float, what: str) -> bool:
        return self.start <= now < self.start + self.seconds and what.startswith(self.what)


@dataclass(frozen=True)
class Strike:
    """A fault at a call that is known by its name.

    Attributes
    ----------
    process, what : str
        What the name of the process, and the call, begin with, such as ``run-`` and ``slack chat.postMessage``.
    nth : int
        Which of these calls, from 1.
    """

    process: str
    what: str
    fault: Fault
    nth: int = 1


class Refused(Exception):
    """Slack's answer is an error."""


class Calls:
    """Every call of every process goes through here, one after the other.

    Parameters
    ----------
    seed : int
        Of the latencies.
    faults : Mapping[int, Fault]
        By the number of the call.
    outages : tuple[Outage, ...]
        Besides.
    strikes : tuple[Strike, ...]
        Likewise.
    draw : Callable[[str, str], Fault | None]
        Asked for each call that has none, with the name of the process and the call; what it gives is noted.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: int,
        faults: Mapping[int, Fault],
        outages: tuple[Outage, ...],
        strikes: tuple[Strike, ...],
        draw: Callable[[str, str], Fault | None],
    ) -> None:
        self.kernel = kernel
        self.faults = dict(faults)
        self.number = 0
        self.last_fault = max((one.start + one.seconds for one in outages), default=0.0)
        self.log: list[str] | None = None
        self._latency = random.Random(seed).random
        self._outages = outages
        self._strikes = {strike: strike.nth for strike in strikes}
        self._draw = draw

    def make(  # noqa: C901 - a line for each kind of fault
        self,
        process: Process,
        port: str,
        what: str,
        effect: Callable[[], _Out],
        *,
        error: Callable[[str], Exception],
        timeout: float,
        repeatable: bool = True,
    ) -> _Out:
        kernel, number = self.kernel, self.number
        self.number += 1
        about = f"{port} {what}"
        if kernel.current is None:
            return effect()  # while the world is built, or looked at
        kernel.sleep(_LATENCY[port] * (0.2 + 1.6 * self._latency() ** 3))
        for outage in self._outages:
            if outage.holds(kernel.now, about):
                self._note(process, about, outage.fault)
                if outage.fault == "after":
                    effect()
                if outage.fault not in ("before", "after"):
                    raise Refused(outage.fault)
                raise error(f"{about} failed")
        fault = self.faults.get(number) or self._struck(process.name, about) or self._draw(process.name, about)
        if fault is None:
            if self.log is not None:
                self._note(process, about, "")
            return effect()
        self.faults[number] = fault
        self.last_fault = max(self.last_fault, kernel.now + fault.seconds)
        self._note(process, f"{number}: {about}", fault.kind)
        if fault.kind == "before":
            raise error(f"{about} failed")
        if fault.kind == "after":
            effect()
            raise error(f"the answer to {about} was lost")
        if fault.kind == "slow":
            kernel.sleep(min(fault.seconds, timeout * 0.9))
            return effect()
        if fault.kind == "twice":
            came = effect()
            return effect() if repeatable else came
        if fault.kind == "crash after":
            effect()
        process.die(fault.seconds)
        raise AssertionError("a process went on after its death")

    def headers(self) -> dict[str, str]:
        """Return what an answer says beside its body."""
        return {"Date": format_datetime(self.kernel.present(), usegmt=True)}

    def _struck(self, process: str, about: str) -> Fault | None:
        for strike, left in self._strikes.items():
            if process.startswith(strike.process) and about.startswith(strike.what):
                self._strikes[strike] = left - 1
                if left == 1:
                    return strike.fault
        return None

    def _note(self, process: Process, about: str, fault: str) -> None:
        if self.log is not None:
            self.log.append(f"{self.kernel.now:8.2f} {process.name:8} {about}{'  <- ' + fault if fault else ''}")


class Store:
    """The one store, as a process sees it."""

    url = "memory"
    poll_interval = 1.0

    def __init__(self, calls: Calls, process: Process, shared: MemoryStore, heard: Heard = nobody_listens) -> None:
        self._calls = calls
        self._process = process
        self._shared = shared
        self._heard = heard

    def _make(self, request: str, key: str, effect: Callable[[], _Out], *, repeatable: bool = True) -> _Out:
        came = self._calls.make(
            self._process,
            "store",
            f"{request} {key}",
            effect,
            error=StoreUnavailable,
            timeout=STORE_TIMEOUT,
            repeatable=repeatable,
        )
        if self._heard is not nobody_listens:
            self._heard("the store", self._calls.headers())
        return came

    def create(self, key: str, body: bytes) -> None:
        # What a store gets twice from one writer, it takes for once: the contract of the stores holds them to that.
        self._make("create", key, partial(self._shared.create, key, body), repeatable=False)

    def read(self, key: str) -> bytes:
        return self._make("read", key, partial(self._shared.read, key))

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        yield from self._make("list", prefix, lambda: list(self._shared.list(prefix, after=after, limit=limit)))

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        yield from self._make("list", prefix, lambda: list(self._shared.ages(prefix)))

    def mark(self, key: str) -> None:
        self._make("mark", key, partial(self._shared.mark, key))

    def unmark(self, key: str) -> None:
        self._make("unmark", key, partial(self._shared.unmark, key))

    def check(self) -> None:
        """Be fit."""


class Engine:
    """The one engine, as a process sees it."""

    def __init__(
        self, calls: Calls, process: Process, shared: FakeEngine, released: Callable[[Approval], None]
    ) -> None:
        self._calls = calls
        self._process = process
        self._shared = shared
        self._released = released

    def _make(self, what: str, effect: Callable[[], _Out]) -> _Out:
        return self._calls.make(self._process, "engine", what, effect, error=EngineUnavailable, timeout=BOT_TIMEOUT)

    def carry_out(self, approval: Approval) -> str:
        def effect() -> str:
            new = approval.id not in self._shared.released
            said = self._shared.carry_out(approval)
            if new and approval.id in self._shared.released:
                self._released(approval)
            return said

        return self._make("carry_out", effect)

    def gone(self, approval: Approval) -> str | None:
        return self._make("gone", partial(self._shared.gone, approval))

    def started_by(self, approval: Approval) -> tuple[Person, ...]:
        return self._make("started_by", partial(self._shared.started_by, approval))

    def namespace_of(self, approval: Approval) -> str | None:
        return self._make("namespace_of", partial(self._shared.namespace_of, approval))


def buttons_in(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what can be clicked."""
    return [one for block in blocks if block["type"] == "actions" for one in block["elements"]]


@dataclass
class Message:
    """A message in the channel, or in a thread of it."""

    ts: str
    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any]
    thread: str | None = None
    deleted: bool = False

    def buttons(self) -> list[dict[str, Any]]:
        return buttons_in(self.blocks)


@dataclass
class Workspace:
    """A Slack with one channel."""

    kernel: Kernel
    users: Mapping[str, str]  # names by id
    messages: dict[str, Message] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    homes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by user
    direct: list[Message] = field(default_factory=list)  # direct messages
    seen: Callable[[Message], None] = lambda _: None  # told whenever people see something new
    _count: int = 0

    def questions(self) -> list[Message]:
        return [one for one in self.messages.values() if one.thread is None and not one.deleted]

    def below(self, ts: str) -> list[Message]:
        return [one for one in self.messages.values() if one.thread == ts and not one.deleted]

    def answer(self, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
        name = method.replace(".", "_")
        return {"ok": True, **getattr(self, f"_{name}")(given)}

    def _ts(self) -> str:
        self._count += 1
        return f"{EPOCH.timestamp() + self.kernel.now:.3f}{self._count:03d}"

    def _chat_postMessage(self, given: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        ts = self._ts()
        message = Message(ts, given["text"], given.get("blocks", []), given.get("metadata", {}), given.get("thread_ts"))
        if message.thread is not None and message.thread not in self.messages:
            raise Refused("thread_not_found")
        if given["channel"] != CHANNEL:
            self.direct.append(message)
            return {"channel": given["channel"], "ts": ts}
        self.messages[ts] = message
        self.seen(message)
        return {"channel": CHANNEL, "ts": ts}

    def _chat_update(self, given: Mapping[str, Any]) -> dict[str, Any]:
        message = self._find(given["ts"])
        message.text, message.blocks = given["text"], given["blocks"]
        self.seen(message)
        return {"channel": CHANNEL, "ts": message.ts}

    def _chat_delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._find(given["ts"]).deleted = True
        return {}

    def _find(self, ts: str) -> Message:
        message = self.messages.get(ts)
        if message is None or message.deleted:
            raise Refused("message_not_found")
        return message

    def _chat_getPermalink(self, given: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"permalink": f"https://slack/{given['message_ts']}"}

    def _conversations_history(self, given: Mapping[str, Any]) -> dict[str, Any]:
        found = [one for one in self.questions() if one.ts > given["oldest"]]
        return {"messages": [self._as_read(one) for one in reversed(found)]}

    def _conversations_replies(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [self._as_read(one) for one in self.below(given["ts"])]}

    def _as_read(self, message: Message) -> dict[str, Any]:
        return {"ts": message.ts, "metadata": message.metadata, "bot_id": BOT, "text": message.text}

    def _auth_test(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"bot_id": BOT, "team_id": TEAM}

    def _users_info(self, given: Mapping[str, Any]) -> dict[str, Any]:
        user = given["user"]
        if user not in self.users:
            raise Refused("user_not_found")
        profile = {"email": f"{self.users[user].lower()}@example.com"}
        return {"user": {"id": user, "name": self.users[user], "team_id": TEAM, "profile": profile, "tz": "UTC"}}

    def _users_lookupByEmail(self, given: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = given["email"].partition("@")[0]
        found = next((user for user, known in self.users.items() if known.lower() == name), None)
        if found is None:
            raise Refused("users_not_found")
        return self._users_info({"user": found})

    def _usergroups_list(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"usergroups": []}

    def _conversations_members(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"members": list(self.users)}

    def _views_open(self, given: Mapping[str, Any]) -> dict[str, Any]:
        view_id = f"V{len(self.views)}"
        self.views[view_id] = {**given["view"], "id": view_id, "trigger": given["trigger_id"]}
        return {"view": {"id": view_id}}

    def _views_update(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if given["view_id"] not in self.views:
            raise Refused("not_found")
        self.views[given["view_id"]] |= given["view"]
        return {}

    def _views_publish(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self.homes[given["user_id"]] = given["view"]
        return {}


class Client(WebClient):
    """The way of one process to Slack. The real methods end in ``api_call``; so do these."""

    def __init__(
        self,
        calls: Calls,
        process: Process,
        workspace: Workspace,
        *,
        timeout: float,
        heard: Heard = nobody_listens,
    ) -> None:
        super().__init__(token="xoxb-simulated", base_url="http://slack.invalid/api/", retry_handlers=[])
        self._calls = calls
        self._process = process
        self._workspace = workspace
        self._patience = timeout
        self._heard = heard

    def api_call(self, api_method: str, **arguments: Any) -> Any:
        given = {**(arguments.get("params") or {}), **(arguments.get("json") or {})}
        try:
            came = self._calls.make(
                self._process,
                "slack",
                api_method,
                partial(self._workspace.answer, api_method, given),
                error=ConnectionError,
                timeout=self._patience,
                repeatable=not api_method.startswith(("chat.postMessage", "chat.delete", "views.open")),
            )
            if self._heard is not nobody_listens:
                self._heard("Slack", self._calls.headers())
        except Refused as refused:
            answer = SlackResponse(
                client=self,
                http_verb="POST",
                api_url=f"{self.base_url}{api_method}",
                req_args={},
                data={"ok": False, "error": str(refused)},
                headers={},
                status_code=200,
            )
            raise SlackApiError(f"Slack refused {api_method}", answer) from None
        return came
