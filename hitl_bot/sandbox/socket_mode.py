"""Socket Mode: the connections of the app, and envelopes over them.

Source: docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from hitl_bot.sandbox.changes import Kind
from hitl_bot.sandbox.envelopes import Envelope
from hitl_bot.sandbox.people import APP_ID

if TYPE_CHECKING:
    from hitl_bot.sandbox.workspace import Workspace

Json = dict[str, Any]
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
        """Send an envelope over the next connection; return its ack to be, or None where nobody is connected."""
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
