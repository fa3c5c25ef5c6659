"""One question taken through a real Slack, step by step, with the person who runs the doctor."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from slack_bolt import BoltContext
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from hitl_bot.bootstrap import Bot, bootstrap
from hitl_bot.clock import utc_now
from hitl_bot.doctor.checks import Finding, bad, good
from hitl_bot.settings import Settings
from hitl_bot.slack.client import TIMEOUT, honour_no_proxy
from metaflow_extensions.hitl.approvals.errors import MessageUnreachable, NotifierError
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate, Origin, Pathspec, Person, Post
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.notifiers.slack.codes import code_of
from metaflow_extensions.hitl.notifiers.slack.notifier import NAME, SlackNotifier
from metaflow_extensions.hitl.stores import MemoryStore

from .gallery import SHARDS

# What Slack was asked and what it sent, without a value of either: only names, types and error codes.

Json = dict[str, Any]
_DEEPEST = 6


class Recording:
    """The shapes of calls, answers and payloads, each kind once. Threads may share it."""

    def __init__(self, shapes: Json | None = None) -> None:
        self.shapes: Json = shapes or {}
        self._lock = Lock()

    def note(self, name: str, value: Any) -> None:
        """Add what was seen under a name: an answer to a method, or a payload of a type."""
        with self._lock:
            self.shapes[name] = _merged(self.shapes.get(name), shape(value))

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        with self._lock:
            file.write_text(json.dumps(self.shapes, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Recording":
        """Read what ``write`` wrote."""
        return cls(json.loads(file.read_text(encoding="utf-8")))


class RecordingClient(WebClient):
    """A client that notes what every method answers."""

    def __init__(self, token: str, api_url: str, recording: Recording) -> None:
        super().__init__(token=token, base_url=api_url, timeout=TIMEOUT, retry_handlers=[])
        honour_no_proxy(self, api_url)
        self.recording = recording

    def api_call(self, api_method: str, **arguments: Any) -> SlackResponse:
        """Call a method; every other method of the client ends here."""
        try:
            answer = super().api_call(api_method, **arguments)
        except SlackApiError as error:
            self.recording.note(f"{api_method} {code_of(error)}", error.response.data)
            raise
        self.recording.note(api_method, answer.data)
        return answer


def noting(recording: Recording) -> Callable[..., None]:
    """Return a middleware that notes every payload."""

    def note(body: Json, context: BoltContext, next: Callable[[], None]) -> None:  # noqa: A002, ARG001 - Bolt's names
        recording.note(f"payload {body.get('type') or body.get('command')}", body)
        next()

    return note


def shape(value: Any, depth: int = 0) -> Any:
    """Return the names and types of a value, and nothing of its texts and numbers."""
    if depth >= _DEEPEST:
        return type(value).__name__
    if isinstance(value, dict):
        named = all(_is_name(name) for name in value)
        return {name if named else "*": shape(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        merged: Any = None
        for one in value:
            merged = _merged(merged, shape(one, depth + 1))
        return [] if merged is None else [merged]
    return type(value).__name__


def differences(real: Json, local: Json) -> list[str]:
    """Return what the local Slack sends and the real one did not, of what both were seen to send."""
    found: list[str] = []
    for name in sorted(real.keys() & local.keys()):
        found += [f"{name}: {path}" for path in sorted(_paths(local[name]) - _paths(real[name]))]
    return found


def _paths(value: Any, at: str = "") -> set[str]:
    if isinstance(value, dict):
        inner: set[str] = set()
        for name, one in value.items():
            inner |= {f"{at}/{name}"} | _paths(one, f"{at}/{name}")
        return inner
    return _paths(value[0], f"{at}/[]") if isinstance(value, list) and value else set()


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _merged(one.get(name), other.get(name)) for name in one.keys() | other.keys()}
    if isinstance(one, list) and isinstance(other, list):
        both = [*one, *other]
        return [_merged(both[0], both[-1])] if both else []
    return other if one is None or one == "NoneType" or isinstance(other, (dict, list)) else one


def _is_name(name: str) -> bool:
    """Whether this is the name of a field, and not an id or a block's name, which a flow's author may have chosen."""
    return name.isidentifier() and name.islower() and not name.startswith("hitl_")


# One question taken through a real Slack, step by step, with the person who runs the doctor.

FIELDS = {
    "deploy_target": {"type": "choice", "choices": ["staging", "production"]},
    "traffic": {"type": "int", "min": 1, "max": 100, "default": 10},
}
DEFAULTS = {"traffic": {"type": "int", "min": 1, "max": 100, "default": 10}}
PATIENCE = 300.0  # seconds for the person to do what they are asked
_AGAIN = 0.2
_SLOW = 2.0  # seconds: longer than a form waits before it says that the answer is being saved
_REPORT = "This is a defect of metaflow-hitl or a change of Slack's: report it with the recording."
_RUN = "1"  # the store forgets, so nothing else is asked under it
_ASKER = Person(id="doctor", name="doctor", origin=Origin.CLAIM)


class _SlowToDecide(MemoryStore):
    """A store that takes its time over the second version of one approval: the first decision on it."""

    slow_for = ""

    def create(self, key: str, body: bytes) -> None:
        """Write a new key."""
        if self.slow_for and self.slow_for in key and b'"decision":{' in body.replace(b" ", b""):
            time.sleep(_SLOW)
        super().create(key, body)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Who walks, and how they are told what to do.

    Attributes
    ----------
    who : str
        Slack's id of the person, who gets direct messages.
    say : Callable[[str], object]
        Told what to do next.
    patience : float
        Seconds for each step.
    """

    who: str
    say: Callable[[str], object]
    patience: float = PATIENCE

    def through(self, settings: Settings, client: RecordingClient) -> Iterator[Finding]:
        """Walk with a bot of one's own, over Socket Mode and with a store that forgets. No other bot may run."""
        store = _SlowToDecide()
        settings = settings.model_copy(update={"policy": None, "port": 0, "signing_key": None, "public_keys": None})
        bot = bootstrap(settings, store=store, client=client)
        bot.app.use(noting(client.recording))
        try:
            bot.start(Event())
            yield from self._with(bot, client, store)
        finally:
            bot.stop(5)

    def _with(self, bot: Bot, client: RecordingClient, store: _SlowToDecide) -> Iterator[Finding]:
        asked = _ask(bot, self.who, "1", "A question of `hitl-bot doctor`", FIELDS)
        post = _post(asked)
        if post is None:
            yield bad(
                "post", "Slack accepted no direct message", "Run `hitl-bot doctor`: scopes chat:write and im:write."
            )
            return
        yield good("post", f"the question is in {post.channel}")
        store.slow_for = asked.id
        self.say("In the app's direct message: click Approve…, choose staging, leave Traffic as it is, click Approve.")
        yield self._form(bot, client, asked.id)
        yield self._shown(client, post)
        yield self._thread(client, post)
        yield from self._pages(bot)
        yield self._deleted(bot, client, post, asked.id)

    def _form(self, bot: Bot, client: RecordingClient, approval_id: str) -> Finding:
        if not self._until(lambda: bot.cases.ledger.read(approval_id).approval.decision):
            return bad("form", "no answer came", "Click as asked; if you did, is another bot connected to this app?")
        decision = bot.cases.ledger.read(approval_id).approval.decision
        entered = {} if decision is None else decision.input
        if entered != {"deploy_target": "staging", "traffic": 10}:
            return bad("form", f"Slack sent {entered}, not staging and the default 10", _REPORT)
        if not self._until(lambda: "views.update" in client.recording.shapes):
            return bad("form", "the view that says “Saving” was not replaced", _REPORT)
        return good("form", "the values came typed, the default too; the view that says “Saving” was replaced")

    def _shown(self, client: RecordingClient, post: Post) -> Finding:
        def answered() -> bool:
            found = client.conversations_history(channel=str(post.channel), latest=post.ts, inclusive=True, limit=1)
            blocks = [block for one in found["messages"] for block in one.get("blocks") or ()]
            return bool(blocks) and all(block["type"] != "actions" for block in blocks)

        if not self._until(answered):
            return bad("update", "the message still has its buttons", _REPORT)
        return good("update", "the message shows the answer, and has no buttons")

    def _thread(self, client: RecordingClient, post: Post) -> Finding:
        def has_line() -> bool:
            return len(client.conversations_replies(channel=str(post.channel), ts=str(post.ts))["messages"]) > 1

        if not self._until(has_line):
            return bad("thread", "no line is below the message", _REPORT)
        return good("thread", "the line about the answer is below the message")

    def _pages(self, bot: Bot) -> Iterator[Finding]:
        ids = [
            _ask(bot, self.who, str(10 + number), "Many gates of `hitl-bot doctor`", DEFAULTS, batch=True).id
            for number in range(SHARDS)
        ]
        if not self._until(lambda: all(_post(bot.cases.ledger.read(one).approval) for one in ids)):
            yield bad("many gates", "they did not share a message", _REPORT)
            return
        self.say("On the new message: click Approve all except…, then Next page, touch nothing there, click Approve.")
        if not self._until(lambda: all(bot.cases.ledger.read(one).approval.decision for one in ids)):
            yield bad("many gates", "not all of them were answered", "Click as asked, on both pages.")
            return
        inputs = [decision.input for one in ids if (decision := bot.cases.ledger.read(one).approval.decision)]
        if any(one != {"traffic": 10} for one in inputs):
            yield bad("many gates", "the default that nobody touched was lost on the second page", _REPORT)
            return
        yield good("many gates", f"all {len(ids)} are approved, with the default that nobody touched")

    def _deleted(self, bot: Bot, client: RecordingClient, post: Post, approval_id: str) -> Finding:
        client.chat_delete(channel=str(post.channel), ts=str(post.ts))
        notifier = SlackNotifier(client, default_channel=None, clock=utc_now)
        try:
            notifier.update(bot.cases.ledger.read(approval_id).approval, post)
        except MessageUnreachable:
            return good("deletion", "Slack says of a deleted message that it is gone")
        except NotifierError as error:
            return bad("deletion", f"Slack says of a deleted message: {error}", _REPORT)
        return bad("deletion", "Slack accepts a change to a deleted message", _REPORT)

    def _until(self, look: Callable[[], object]) -> bool:
        end = time.monotonic() + self.patience
        while not (found := bool(look())) and time.monotonic() < end:
            time.sleep(_AGAIN)
        return found


def _ask(bot: Bot, who: str, task: str, message: str, fields: Mapping[str, object], *, batch: bool = False) -> Approval:
    pathspec = Pathspec(flow="Doctor", run=_RUN, step="many" if batch else "one", task=task)
    question = Question(
        message=message,
        schema=normalise(dict(fields)),
        channel=who,
        notifiers=(NAME,),
        batch=batch or None,
        timeout=None,
    )
    return bot.cases.ask(pathspec, question, Gate(engine=EngineKind.LOCAL), _ASKER).approval


def _post(approval: Approval) -> Post | None:
    return next((post for post in approval.posts if post.notifier == NAME), None)
