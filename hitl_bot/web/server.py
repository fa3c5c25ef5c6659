"""The web server, in a thread of its own."""

from __future__ import annotations

import socket
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

from hitl_bot.slack.transport import Transport
from hitl_bot.web.guarded import GuardedProtocol
from hitl_bot.web.readiness import Readiness
from hitl_bot.web.request_url import RequestUrl
from metaflow_extensions.hitl.approvals.errors import HitlError

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
