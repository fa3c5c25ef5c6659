"""Delivers envelopes to the app, over Socket Mode or signed HTTP, and retries where Slack would."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from . import limits
from .changes import Kind
from .faults import DeliveryFault as Trouble
from .people import APP_ID
from .workspace import Workspace

# What the sandbox sends to the app, whichever way it travels.

Json = dict[str, Any]
KEPT = 2_000


class EnvelopeKind(str, Enum):
    """What is in an envelope, as Socket Mode names it."""

    INTERACTIVE = "interactive"
    COMMAND = "slash_commands"
    EVENT = "events_api"


@dataclass(kw_only=True)
class Envelope:
    """One thing to deliver.

    Attributes
    ----------
    id : str
        ``envelope_id``; it also names the person's act in the changes.
    attempts : int
        How often it was sent, copies included.
    acknowledged : bool
        Whether the app acknowledged it in time.
    answer : dict, optional
        What the app sent with its ack.
    """

    kind: EnvelopeKind
    payload: Json
    accepts_response_payload: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    acknowledged: bool = False
    answer: Json | None = None

    def socket_shape(self, retry: int, reason: str) -> Json:
        """Like a Socket Mode message (docs.slack.dev/apis/events-api/using-socket-mode)."""
        shape: Json = {
            "envelope_id": self.id,
            "type": self.kind.value,
            "accepts_response_payload": self.accepts_response_payload,
            "payload": self.payload,
        }
        if self.kind is EnvelopeKind.EVENT or retry:
            shape |= {"retry_attempt": retry, "retry_reason": reason}
        return shape

    def http_body(self) -> tuple[str, str]:
        """Return content type and body as Slack posts them to a request URL."""
        if self.kind is EnvelopeKind.EVENT:
            return "application/json", json.dumps(self.payload)
        fields = {"payload": json.dumps(self.payload)} if self.kind is EnvelopeKind.INTERACTIVE else self.payload
        return "application/x-www-form-urlencoded", urlencode(fields)

    def shape(self) -> Json:
        return {
            "envelope_id": self.id,
            "type": self.kind.value,
            "attempts": self.attempts,
            "acknowledged": self.acknowledged,
            "answer": self.answer,
            "payload": self.payload,
        }


class EnvelopeLog:
    """The latest envelopes, so that one can be looked at or delivered again."""

    def __init__(self) -> None:
        self._envelopes: deque[Envelope] = deque(maxlen=KEPT)

    def add(self, envelope: Envelope) -> None:
        if envelope not in self._envelopes:
            self._envelopes.append(envelope)

    def find(self, envelope_id: str) -> Envelope | None:
        return next((one for one in self._envelopes if one.id == envelope_id), None)

    def shape(self) -> list[Json]:
        return [one.shape() for one in self._envelopes]


# Signed HTTP: the same payloads, posted to the app's request URL.

OK = 200


def signature(secret: str, timestamp: str, body: str) -> str:
    """Return the value of X-Slack-Signature: ``v0=`` and a hex HMAC-SHA256 over ``v0:timestamp:body``."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()


def signed_headers(secret: str, now: float, body: str) -> dict[str, str]:
    """Return the headers with which Slack signs a body, for a request sent at that second."""
    timestamp = str(int(now))
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature(secret, timestamp, body)}


@dataclass(frozen=True)
class Posted:
    """How a request URL answered.

    Attributes
    ----------
    answer : dict, optional
        The body of a 200, {} if it was empty; None if the request failed.
    reason : str
        Slack's X-Slack-Retry-Reason if it failed.
    final : bool
        Whether the app asked for no retry (X-Slack-No-Retry: 1).
    """

    answer: Json | None
    reason: str = ""
    final: bool = False


async def post(url: str, secret: str, envelope: Envelope, now: float, *, retry: int, reason: str) -> Posted:
    """Post an envelope's payload as Slack does, and wait three seconds for a 200."""
    content_type, body = envelope.http_body()
    headers = {"Content-Type": content_type, "User-Agent": "Slackbot 1.0", **signed_headers(secret, now, body)}
    if retry:
        headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason}
    timeout = aiohttp.ClientTimeout(total=limits.ACKNOWLEDGE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            text = await answer.text()
            final = answer.headers.get("X-Slack-No-Retry") == "1"
            return Posted(_decoded(text), final=final) if answer.status == OK else Posted(None, "http_error", final)
    except asyncio.TimeoutError:
        return Posted(None, "http_timeout")
    except aiohttp.ClientError:
        return Posted(None, "connection_failed")


def _decoded(text: str) -> Json:
    if not text:
        return {}
    try:
        decoded = json.loads(text)
    except ValueError:
        return {"text": text}
    return decoded if isinstance(decoded, dict) else {"text": text}


# Socket Mode: the connections of the app, and envelopes over them.

MOST_CONNECTIONS = 10  # of one app, says the documentation


class Manner(str, Enum):
    """How a connection ends."""

    POLITE = "polite"  # a disconnect message that asks to connect again, then a close frame
    ABRUPT = "abrupt"  # the TCP connection is gone
    ANNOUNCED = "announced"  # the disconnect message alone: Slack closes the connection some seconds later


class SocketMode:
    """The app's open connections. Each envelope goes over one of them, in turn."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._connections: list[web.WebSocketResponse] = []
        self._turn = 0
        self._acks: dict[str, asyncio.Future[Json]] = {}

    @property
    def count(self) -> int:
        return len(self._connections)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends."""
        expires = self._workspace.tickets.pop(request.query.get("ticket", ""), 0.0)
        if expires < self._workspace.clock.now():
            return web.Response(status=404, text="no such link, or used before")
        if len(self._connections) >= MOST_CONNECTIONS:
            return web.Response(status=429, text="too_many_websockets")
        socket = web.WebSocketResponse(max_msg_size=1_000_000)
        await socket.prepare(request)
        self._connections.append(socket)
        await self._send(socket, self._hello())
        self._workspace.feed.add(Kind.CONNECTED)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._heard(message.data)
        finally:
            if socket in self._connections:
                self._connections.remove(socket)
            self._workspace.feed.add(Kind.DISCONNECTED)
        return socket

    async def send(self, envelope: Envelope, retry: int, reason: str) -> asyncio.Future[Json] | None:
        """Send an envelope over the next connection; return a future of its ack, or None if nobody is connected."""
        ack = self._acks.setdefault(envelope.id, asyncio.get_running_loop().create_future())
        for _ in range(len(self._connections)):
            self._turn += 1
            socket = self._connections[self._turn % len(self._connections)]
            if await self._send(socket, envelope.socket_shape(retry, reason)):
                return ack
        self.forget(envelope)
        return None

    def forget(self, envelope: Envelope) -> None:
        self._acks.pop(envelope.id, None)

    async def drop(self, manner: Manner) -> int:
        """End all connections; return how many there were."""
        if manner is Manner.ANNOUNCED:
            for socket in self._connections:
                await self._send(socket, {"type": "disconnect", "reason": "warning", "debug_info": _DEBUG})
            return len(self._connections)
        connections, self._connections = self._connections, []
        for socket in connections:
            if manner is Manner.POLITE:
                await self._send(socket, {"type": "disconnect", "reason": "refresh_requested", "debug_info": _DEBUG})
                await socket.close()
            elif socket._req is not None and socket._req.transport is not None:  # noqa: SLF001 - aiohttp has no other way to cut it
                socket._req.transport.abort()  # noqa: SLF001
        return len(connections)

    async def close(self) -> None:
        for socket in list(self._connections):
            await socket.close()

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._connections),
            "debug_info": {**_DEBUG, "build_number": 1, "approximate_connection_time": 18_060},
            "connection_info": {"app_id": APP_ID},
        }

    async def _send(self, socket: web.WebSocketResponse, message: Json) -> bool:
        try:
            await socket.send_str(json.dumps(message))
        except (ConnectionError, RuntimeError):  # it went away between two looks
            return False
        return True

    def _heard(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        ack = self._acks.get(message.get("envelope_id", "")) if isinstance(message, dict) else None
        if ack is not None and not ack.done():
            ack.set_result(message.get("payload") or {})


_DEBUG = {"host": "sandbox"}

# Getting an envelope to the app: over Socket Mode or signed HTTP, again where Slack would try again.

_RETRY_REASONS = {"operation_timeout": "timeout", "dispatch_failed": "timeout"}


@dataclass(frozen=True)
class Receipt:
    """How a delivery ended.

    Attributes
    ----------
    answer : dict, optional
        What came with the ack, {} if nothing; None if the app did not acknowledge.
    error : str
        What the person is told otherwise: ``dispatch_failed`` (not connected), ``operation_timeout`` (no ack in time).
    """

    answer: Json | None
    error: str = ""
    final: bool = False  # the app asked for no retry


class Delivery:
    """The way to the app. With a request URL it is signed HTTP, without one Socket Mode."""

    def __init__(self, workspace: Workspace, signing_secret: str) -> None:
        self._workspace = workspace
        self.socket_mode = SocketMode(workspace)
        self.signing_secret = signing_secret
        self.request_url = ""
        self.log = EnvelopeLog()
        self._retries: set[asyncio.Task[Receipt]] = set()

    async def deliver(self, envelope: Envelope) -> Receipt:
        """Send an envelope and wait for its ack.

        What a person waits for (an interaction, a command) is tried once. An event is retried at once, after a
        minute and after five minutes, in the background; the receipt is that of the first attempt.
        """
        self.log.add(envelope)
        receipt = await self._attempt(envelope, 0, "")
        if receipt.answer is None and envelope.kind is EnvelopeKind.EVENT and not receipt.final:
            task = asyncio.create_task(self._retry(envelope, receipt.error))
            self._retries.add(task)
            task.add_done_callback(self._retries.discard)
        return receipt

    async def deliver_again(self, envelope: Envelope) -> Receipt:
        """Send an earlier envelope again, as a retry."""
        return await self._attempt(envelope, max(1, envelope.attempts), "timeout")

    async def close(self) -> None:
        for task in list(self._retries):
            task.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        await self.socket_mode.close()

    async def _retry(self, envelope: Envelope, reason: str) -> Receipt:
        began = self._workspace.clock.now()
        receipt = Receipt(None, reason)
        for retry, delay in enumerate(limits.RETRY_DELAYS, start=1):
            await self._workspace.clock.sleep_until(began + delay)
            receipt = await self._attempt(envelope, retry, _RETRY_REASONS.get(receipt.error, receipt.error))
            if receipt.answer is not None or receipt.final:
                break
        return receipt

    async def _attempt(self, envelope: Envelope, retry: int, reason: str) -> Receipt:
        copies = 1 + self._workspace.pending_faults.take_delivery(Trouble.TWICE)
        unheard = self._workspace.pending_faults.take_delivery(Trouble.UNHEARD)
        self._workspace.feed.add(Kind.DELIVERED, envelope=envelope.id)
        if self.request_url:
            receipt = await self._post(envelope, copies, retry, reason)
        else:
            receipt = await self._send(envelope, copies, retry, reason, unheard)
        if unheard and receipt.answer is not None:
            receipt = Receipt(None, "operation_timeout")
        if receipt.answer is not None:
            envelope.acknowledged, envelope.answer = True, receipt.answer
        kind = Kind.NOT_ACKNOWLEDGED if receipt.answer is None else Kind.ACKNOWLEDGED
        self._workspace.feed.add(kind, envelope=envelope.id)
        return receipt

    async def _post(self, envelope: Envelope, copies: int, retry: int, reason: str) -> Receipt:
        posted = Posted(None)
        for _ in range(copies):
            envelope.attempts += 1
            # How old a signature may be is judged by the app's clock, which does not move with the sandbox's.
            now = time.time()
            posted = await post(self.request_url, self.signing_secret, envelope, now, retry=retry, reason=reason)
        return Receipt(posted.answer, posted.reason, posted.final)

    async def _send(self, envelope: Envelope, copies: int, retry: int, reason: str, unheard: int) -> Receipt:
        ack: asyncio.Future[Json] | None = None
        until = self._workspace.clock.now() + limits.ACKNOWLEDGE
        for _ in range(copies):
            envelope.attempts += 1
            ack = await self.socket_mode.send(envelope, retry, reason)
        if ack is None:
            return Receipt(None, "dispatch_failed")
        heard: asyncio.Future[Json] = asyncio.get_running_loop().create_future() if unheard else ack
        deadline = asyncio.create_task(self._workspace.clock.sleep_until(until))
        waiting: set[asyncio.Future[Any]] = {heard, deadline}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        deadline.cancel()
        self.socket_mode.forget(envelope)
        return Receipt(heard.result()) if heard.done() else Receipt(None, "operation_timeout")
