"""What Slack was asked and what it sent, without a value of either: only names, types and error codes.

Such a recording holds no secret, no name and no text, and two of them can be compared: the local Slack's with a real
one's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from slack_bolt import BoltContext
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from hitl_bot.slack.client import TIMEOUT, honour_no_proxy
from metaflow_extensions.hitl.notifiers.slack.codes import code_of

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
    def read(cls, file: Path) -> Recording:
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
