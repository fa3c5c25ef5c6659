"""The app's request URL: Slack calls the bot over HTTP."""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from threading import Event, Lock
from typing import Any
from urllib.parse import parse_qs

import structlog
from slack_bolt import App, BoltRequest, BoltResponse
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hitl_bot.slack.connection import AcksFirst
from metaflow_extensions.hitl.approvals.ports import Clock

# Whether a request is Slack's own, new, and here for the first time.

WINDOW = 300  # seconds that a request's timestamp may be off, either way: Slack's own advice
_REMEMBERED = 100_000  # some 20 MB; more than 150 requests a second over the whole time that they are remembered
# Looked at before anything is done with them: slack_sdk 3.47 raises for a timestamp that is not a number
# (``signature/__init__.py``), and hmac for a signature that is not ASCII.
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


class Refusal(str, Enum):
    """Why a request is not taken."""

    UNSIGNED = "unsigned"  # a header is missing, or is not what Slack writes
    OUTSIDE_WINDOW = "outside the window"
    WRONG_SIGNATURE = "wrong signature"
    REPLAYED = "replayed"
    TOO_MANY = "too many"  # to remember: what can't be told from a replay is refused, and Slack sends it again


class Signatures:
    """Takes each signed request once. Threads may share it.

    Several bots behind one address each remember their own. That is a second lock, not the only one: a request that
    comes twice finds the same decision, or one that somebody made before it.

    Parameters
    ----------
    secret : str
        The app's signing secret.
    clock : Clock
        The present.
    room : int
        How many are remembered at most.
    """

    def __init__(self, secret: str, clock: Clock, *, room: int = _REMEMBERED) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self._room = room
        self._seen: dict[str, float] = {}  # signature: when it came; the oldest first
        self._lock = Lock()

    def take(self, headers: Mapping[str, str], body: bytes) -> Refusal | None:
        """Say why a request is refused, or take it: from now on the same one is a replay."""
        timestamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        if not (_TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)):
            return Refusal.UNSIGNED
        now = self._clock().timestamp()
        if abs(now - int(timestamp)) > WINDOW:
            return Refusal.OUTSIDE_WINDOW
        signed = b"v0:" + timestamp.encode() + b":" + body
        if not hmac.compare_digest("v0=" + hmac.new(self._secret, signed, hashlib.sha256).hexdigest(), signature):
            return Refusal.WRONG_SIGNATURE
        return self._remember(signature, now)

    def forget(self, headers: Mapping[str, str]) -> None:
        """Let a request come again that was taken and not served: Slack's first retry may be in the same second."""
        with self._lock:
            self._seen.pop(headers.get("x-slack-signature", ""), None)

    def _remember(self, signature: str, now: float) -> Refusal | None:
        with self._lock:
            # A timestamp may be a window ahead of the clock, so its request is good for two.
            while self._seen and self._seen[oldest := next(iter(self._seen))] < now - 2 * WINDOW:
                del self._seen[oldest]
            if signature in self._seen:
                return Refusal.REPLAYED
            if len(self._seen) >= self._room:
                return Refusal.TOO_MANY
            self._seen[signature] = now
            return None


# Whether a body has the shape of what Slack sends, as far as Bolt and the listeners rely on it.

Json = Mapping[str, Any]


def is_slacks(body: bytes, content_type: str) -> bool:
    """Whether Bolt and the listeners can read a body."""
    try:
        text = body.decode("utf-8")
        if content_type.split(";", 1)[0].strip().lower() == "application/json":
            return _is_event(json.loads(text))
        fields = {name: values[-1] for name, values in parse_qs(text, strict_parsing=True).items()}
        if "payload" in fields:
            return _is_interaction(json.loads(fields["payload"]))
    except (ValueError, RecursionError):
        return False
    return fields.get("ssl_check") == "1" or bool(fields.get("command", "").startswith("/") and fields.get("user_id"))


def _is_event(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    if body.get("type") == "url_verification":
        return isinstance(body.get("challenge"), str)
    event = body.get("event")
    return isinstance(event, dict) and isinstance(event.get("type"), str) and _are_objects(body, "authorizations")


def _is_interaction(payload: Any) -> bool:
    if not isinstance(payload, dict) or not _is_person(payload.get("user")):
        return False
    if not all(payload.get(name) is None or isinstance(payload[name], dict) for name in _OBJECTS):
        return False
    kind = payload.get("type")
    check = _KINDS.get(kind) if isinstance(kind, str) else None
    return check is not None and check(payload)


_OBJECTS = ("team", "enterprise", "channel", "container", "message", "state")


def _is_person(user: Any) -> bool:
    return isinstance(user, dict) and isinstance(user.get("id"), str) and bool(user["id"])


def _are_objects(payload: Json, name: str) -> bool:
    found = payload.get(name)
    return found is None or (isinstance(found, list) and all(isinstance(one, dict) for one in found))


def _are_actions(payload: Json) -> bool:
    actions = payload.get("actions")
    if not (isinstance(actions, list) and actions and _are_objects(payload, "actions")):
        return False
    named = all(isinstance(one.get("action_id"), str) and isinstance(one.get("type"), str) for one in actions)
    return named and (payload.get("view") is None or _is_view(payload))


def _is_view(payload: Json) -> bool:
    view = payload.get("view")
    if not isinstance(view, dict) or not isinstance(view.get("id"), str) or not _are_objects(view, "blocks"):
        return False
    state = view.get("state")
    values = state.get("values", {}) if isinstance(state, dict) else {}
    shaped = isinstance(values, dict) and all(_is_block_state(one) for one in values.values())
    return shaped and (state is None or isinstance(state, dict)) and isinstance(view.get("callback_id", ""), str)


def _is_block_state(actions: Any) -> bool:
    return isinstance(actions, dict) and all(isinstance(one, dict) for one in actions.values())


def _is_shortcut(payload: Json) -> bool:
    return isinstance(payload.get("callback_id"), str)


_KINDS: dict[str, Callable[[Json], bool]] = {
    "block_actions": _are_actions,
    "view_submission": _is_view,
    "view_closed": _is_view,
    "message_action": _is_shortcut,
    "shortcut": _is_shortcut,
}

# The app's request URL: Slack calls the bot over HTTP.

LARGEST_BODY = 2 * 1024 * 1024  # bytes; a view of 100 blocks with 3,000 characters each, form-encoded, fits twice
_BODY_WITHIN = 3.0  # seconds, as long as Slack waits for the answer
_AT_ONCE = 128  # requests, those whose body is still on its way included
_FAILED = 500
_SSL_CHECK = b"ssl_check=1"

log = structlog.get_logger("hitl_bot.web")


class RequestUrl:
    """Takes Slack's signed requests and hands them to Bolt, each in a thread: Bolt's ``App`` blocks.

    Bolt's own check of the signature is off (``bootstrap``): it raises for a timestamp that is not a number, lets a
    replay pass, and logs the bodies that it refuses (slack_bolt 1.30, ``request_verification.py``).

    Parameters
    ----------
    app : App
        Gets what Slack sends.
    signatures : Signatures
        Tells what Slack sends from what others do.
    refused : Callable[[str], None]
        Told why, each time that a request is not taken.
    threads : int
        Requests in Bolt's hands at once; each is held until its listener has acknowledged.
    acks : AcksFirst, optional
        Shared with the listeners. Default: one of its own.
    """

    def __init__(
        self,
        app: App,
        signatures: Signatures,
        *,
        refused: Callable[[str], None],
        threads: int,
        acks: AcksFirst | None = None,
    ) -> None:
        self._app = app
        self._acks = acks or AcksFirst()
        self._signatures = signatures
        self._refused = refused
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._open = False
        self._here = 0  # requests; the event loop's thread alone counts them

    # How the bot opens and closes it, as it does a Socket Mode connection.

    def open(self, stopping: Event) -> None:  # noqa: ARG002 - there is nobody to wait for
        """Take requests from now on."""
        self._open = True

    @property
    def is_open(self) -> bool:
        """Whether Slack's requests are taken now."""
        return self._open

    def give_up(self) -> None:
        """Take nothing more."""
        self._open = False

    def drain(self) -> None:
        """Wait until everything that was taken is acknowledged."""
        self._threads.shutdown(wait=True)

    def close(self) -> None:
        """Have nothing left to close: the answers are the web server's to send."""

    # One request.

    async def answer(self, request: Request) -> Response:
        """Answer a POST."""
        if not self._open or self._here >= _AT_ONCE:
            return self._refuse("not open" if not self._open else "too many at once", 503)
        self._here += 1
        try:
            return await self._take(request)
        finally:
            self._here -= 1

    async def _take(self, request: Request) -> Response:
        try:
            body = await asyncio.wait_for(_body(request), _BODY_WITHIN)
        except _TooLargeError:
            return self._refuse("too large", 413)
        except (asyncio.TimeoutError, ClientDisconnect):
            return self._refuse("too slow", 408)
        if body == _SSL_CHECK or body.startswith(_SSL_CHECK + b"&"):
            return Response()  # Slack looks whether the certificate is good, and does nothing else
        refusal = self._signatures.take(request.headers, body)
        if refusal is not None:
            return self._refuse(refusal.value, 503 if refusal is Refusal.TOO_MANY else 401)
        try:
            response = await self._dispatch(request, body)
        except BaseException:
            self._signatures.forget(request.headers)
            raise
        if response.status_code >= _FAILED:
            self._signatures.forget(request.headers)
        return response

    async def _dispatch(self, request: Request, body: bytes) -> Response:
        if not is_slacks(body, request.headers.get("content-type", "")):
            return self._refuse("not what Slack sends", 400)
        try:
            taken = self._threads.submit(self._bolt, to_bolt_request(request, body))
        except RuntimeError:  # shut down while the body was on its way
            return self._refuse("not open", 503)
        return to_starlette_response(await asyncio.wrap_future(taken))

    def _bolt(self, request: BoltRequest) -> BoltResponse:
        with self._acks.pending():
            return self._app.dispatch(request)

    def _refuse(self, reason: str, status: int) -> Response:
        # What came is not logged: who can send anything could fill the log with it.
        log.warning("a request was refused", reason=reason, status=status)
        self._refused(reason)
        return Response(status_code=status)


class _TooLargeError(Exception):
    """The body is larger than any that Slack sends."""


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST_BODY:
        raise _TooLargeError
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise _TooLargeError
    return bytes(body)
