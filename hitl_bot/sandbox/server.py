"""The sandbox's server, and the handle that starts and stops it."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.typedefs import Handler

from .acts import use_response_url
from .changes import Clock
from .control_api import ControlApi
from .delivery import Delivery
from .manifest import DEFAULT_MANIFEST, AppManifest
from .people import Population, default_population
from .web_api.endpoint import Endpoint, Tokens
from .web_api.files import is_picture
from .web_api.method import SlackError
from .workspace import Workspace

if TYPE_CHECKING:
    from typing_extensions import Self

Json = dict[str, Any]
HOST = "127.0.0.1"
LARGEST_BODY = 8 * 2**20
PAGE = Path(__file__).parent / "page"
BOT_TOKEN = "xoxb-sandbox"  # noqa: S105 - it opens nothing but the sandbox
APP_TOKEN = "xapp-sandbox"  # noqa: S105
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105


class Sandbox:
    """A local Slack on loopback, in a thread of its own.

    Use it as a context manager, or `start` and `stop` it. A `slack_sdk.WebClient(base_url=sandbox.api_url)` and a Bolt
    app with that client work against it unchanged.

    Parameters
    ----------
    port : int
        Where to listen on 127.0.0.1; 0 picks a free one.
    population : Population, optional
        Who is in the workspace; without one, `default_population`.
    manifest : dict, optional
        The app's manifest: its scopes are enforced, and people have its commands and shortcuts.
    clock : Clock, optional
        The sandbox's clock.
    bot_token, app_token, signing_secret : str
        What the app has to show, and what signs HTTP requests.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        population: Population | None = None,
        manifest: Json | None = None,
        clock: Clock | None = None,
        bot_token: str = BOT_TOKEN,
        app_token: str = APP_TOKEN,
        signing_secret: str = SIGNING_SECRET,
    ) -> None:
        self.bot_token = bot_token
        self.app_token = app_token
        self.signing_secret = signing_secret
        self.url = ""
        self._port = port
        self._population = population or default_population()
        self._app = AppManifest.parse(manifest or DEFAULT_MANIFEST)
        self._clock = clock
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._workspace: Workspace | None = None
        self._delivery: Delivery | None = None
        self._thread = threading.Thread(target=self._run, name="slack-sandbox", daemon=True)

    @property
    def api_url(self) -> str:
        """The ``base_url`` for a `WebClient`."""
        return f"{self.url}/api/"

    @property
    def deviations(self) -> list[str]:
        """Where calls or answers have differed from Slack's reference so far."""
        return [] if self._workspace is None else list(self._workspace.deviations)

    def start(self) -> Self:
        """Start listening, and return once it does; raises OSError if the port is taken."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; stopping twice is fine."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._workspace = workspace = Workspace(self._population, self._app, self._clock or Clock())
        self._delivery = delivery = Delivery(workspace, self.signing_secret)
        tokens = Tokens(self.bot_token, self.app_token)
        runner = web.AppRunner(build(workspace, delivery, tokens), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, self._port)
            await site.start()
            self.url = f"http://{HOST}:{runner.addresses[0][1]}"
            workspace.url = self.url
            self._started.set()
            await self._stopping.wait()
            await delivery.close()
        finally:
            await runner.cleanup()


def build(workspace: Workspace, delivery: Delivery, tokens: Tokens) -> web.Application:
    """Put the addresses of the sandbox together: Slack's own, and those under /sandbox and /page."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_refuse_other_sites])
    endpoint, doors = Endpoint(workspace, tokens), Doors(workspace)
    app.add_routes(
        [
            web.route("*", "/api/{method}", endpoint.serve),
            web.get("/link/", delivery.socket_mode.connect),
            web.post("/{kind:actions|commands|app}/{ticket:.+}", doors.response_url),
            web.post("/upload/v1/{file}", doors.upload),
            web.get("/files/{file}", doors.file),
            web.get("/archives/{channel}/{message}", doors.permalink),
            web.get("/", doors.page),
            web.static("/page", PAGE),
            *ControlApi(workspace, delivery).routes(),
        ]
    )
    return app


class Doors:
    """Slack's addresses besides the Web API, and the page."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def response_url(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        fault = self._workspace.pending_faults.take("response_url", body)
        if fault is not None and request.transport is not None:
            request.transport.abort()
            return web.Response()
        try:
            use_response_url(self._workspace, request.match_info["ticket"], body)
        except SlackError as error:
            status = 404 if error.code in {"invalid_url", "expired_url", "used_url"} else 400
            return web.json_response({"ok": False, "error": error.code, **error.extra}, status=status)
        return web.Response(text="ok", content_type="text/plain")

    async def upload(self, request: web.Request) -> web.Response:
        """Take a file's bytes, as the whole body or as a form's one file."""
        file = self._workspace.files.get(request.match_info["file"])
        if file is None:
            return web.Response(status=404, text="no such upload")
        if request.content_type == "multipart/form-data":
            parts = [part for part in (await request.post()).values() if isinstance(part, web.FileField)]
            content = parts[0].file.read() if parts else b""
        else:
            content = await request.read()
        if len(content) != file.length:
            return web.Response(status=400, text="the length is not the one announced")
        file.content = content
        return web.Response(text=f"OK - {len(content)}")

    async def file(self, request: web.Request) -> web.Response:
        file = self._workspace.files.get(request.match_info["file"])
        if file is None or file.content is None:
            return web.Response(status=404)
        ending = file.filename.lower().rsplit(".", 1)[-1].replace("jpg", "jpeg")
        # Only pictures are shown; anything else is handed over as bytes, so that no upload becomes a page.
        kind = f"image/{ending}" if is_picture(file.filename) else "application/octet-stream"
        return web.Response(body=file.content, content_type=kind, headers={"X-Content-Type-Options": "nosniff"})

    async def permalink(self, request: web.Request) -> web.Response:
        channel, message = request.match_info["channel"], request.match_info["message"]
        raise web.HTTPFound(f"/#{channel}/{message}")

    async def page(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": _POLICY})


_POLICY = "default-src 'self'; img-src 'self' data: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@web.middleware
async def _refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep web pages of other origins from using a sandbox on this machine."""
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    name = host.rsplit(":", 1)[0]
    if name not in {"127.0.0.1", "localhost"} or (origin is not None and origin != f"http://{host}"):
        return web.Response(status=403, text="the sandbox talks to this machine only")
    # A picture or a link on another page is a GET without an Origin, and would bring its query along as arguments.
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in {"none", "same-origin"} and not (request.method == "GET" and request.path == "/"):
        return web.Response(status=403, text="the sandbox takes no requests from other pages")
    return await handler(request)
