"""uvicorn's HTTP/1.1 with bounds: a request that is never finished holds neither a connection nor a descriptor.

uvicorn (0.54) waits for the rest of a header without end, and takes as many connections as the process has
descriptors. Whoever opens a thousand and sends half a request on each would stop health, metrics and the sweeper.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_WITHIN = 5.0  # seconds from a connection, or from the first byte of another request on it
CONNECTIONS = 256  # of all clients; beyond, the one that has waited longest for the rest of its header gives way


class GuardedProtocol(H11Protocol):
    """One connection. Those whose request is not there yet give way to newer ones, so a probe always gets in."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def _waiting(self) -> OrderedDict[GuardedProtocol, None]:
        """The server's connections without a request yet, the oldest first."""
        found: OrderedDict[GuardedProtocol, None] = self.server_state.__dict__.setdefault("waiting", OrderedDict())
        return found

    def connection_made(self, transport: Any) -> None:
        """Take a connection, if need be in place of one that only waits."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            oldest = next((one for one in self._waiting if one is not self), self)
            oldest.transport.abort()
            self._waiting.pop(oldest, None)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._header_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what belongs to a request whose header is there has no deadline here."""
        super().data_received(data)
        if self._is_answering():
            self._header_is_there()
        elif self._deadline is None:
            self._await_header()

    def on_response_complete(self) -> None:
        """Wait for another request, or for the end."""
        super().on_response_complete()
        if not self._is_answering() and not self.transport.is_closing():
            self._await_header()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_header(self) -> None:
        self._header_is_there()
        self._waiting[self] = None
        self._deadline = self.loop.call_later(HEADER_WITHIN, self._give_up)

    def _header_is_there(self) -> None:
        self._waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self._waiting.pop(self, None)
        if not self._is_answering():
            self.transport.abort()
