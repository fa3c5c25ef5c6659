"""The web server, in a thread of its own."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from hitl_bot.slack.connection import Transport
from metaflow_extensions.hitl.approvals.errors import HitlError

from .readiness import Readiness
from .request_url import RequestUrl

# uvicorn's HTTP/1.1 with bounds: a request that is never finished holds neither a connection nor a descriptor.

HEADER_WITHIN = 5.0  # seconds from a connection, or from the first byte of another request on it
CONNECTIONS = 256  # of all clients; beyond, the one that has waited longest for the rest of its header gives way


class GuardedProtocol(H11Protocol):
    """One connection. Those whose request is not there yet give way to newer ones, so a probe always gets in."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def _waiting(self) -> "OrderedDict[GuardedProtocol, None]":
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


# The web server, in a thread of its own.

SLACK_PATH = "/slack/events"
_BACKLOG = 128
_LAST_ANSWERS = 2  # seconds for those under way when it is told to stop


class CantListen(HitlError):
    """The address is taken, or not this machine's."""


def application(
    readiness: Readiness,
    registry: CollectorRegistry,
    slack: Transport,
    notices: Mapping[str, Callable[[], str]] | None = None,
    facts: Mapping[str, Callable[[], str]] | None = None,
) -> Starlette:
    """Put the addresses together; over a connection that the bot made, Slack needs none here.

    Parameters
    ----------
    notices : Mapping[str, Callable[[], str]], optional
        By name: what an operator should know and fix although the bot does its work; empty while there is nothing.
    facts : Mapping[str, Callable[[], str]], optional
        By name: what holds here, such as which policy.
    """

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok")

    def readyz(_request: Request) -> Response:
        problems = readiness.problems()
        ready = not any(problems.values())
        checks = {name: problem or "ok" for name, problem in problems.items()}
        told = {name: said for name, say in (notices or {}).items() if (said := say())}
        body: dict[str, Any] = {"ready": ready, "checks": checks}
        body |= {name: say() for name, say in (facts or {}).items()} | ({"notices": told} if told else {})
        return JSONResponse(body, status_code=200 if ready else 503)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    if isinstance(slack, RequestUrl):
        routes.append(Route(SLACK_PATH, slack.answer, methods=["POST"]))
    return Starlette(routes=routes)


class WebServer:
    """Serves until it is stopped.

    Parameters
    ----------
    app : Starlette
        What is served.
    host : str
        The address to listen at; 127.0.0.1 is reached from this machine alone.
    port : int
        0 picks a free one.
    """

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.url = ""  # http://host:port, once it listens
        self._sockets: list[socket.socket] = []
        config = uvicorn.Config(
            app,
            access_log=False,  # probes would drown everything else
            lifespan="off",
            log_config=None,  # the bot's own
            loop="asyncio",
            http=GuardedProtocol,
            ws="none",
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_LAST_ANSWERS,
        )
        self._server = uvicorn.Server(config)
        # uvicorn leaves signals alone in any thread but the main one (0.54, ``server.py``, ``capture_signals``).
        self._thread = Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises
        ------
        CantListen
            The address can't be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise CantListen(
                f"The bot can't listen at {self._host}, port {self._port}: {error.strerror or error}. "
                "Set METAFLOW_HITL_PORT to a free one (0 picks it), or correct METAFLOW_HITL_HOST."
            ) from error
        host, port = listening.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._sockets.append(listening)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Send the answers that are under way, end, and say whether that was done in so many seconds."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)
