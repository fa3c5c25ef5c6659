"""The app's request URL: Slack calls the bot over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import structlog
from slack_bolt import App
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hitl_bot.web.bodies import is_slacks
from hitl_bot.web.signatures import Refusal, Signatures

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
    """

    def __init__(self, app: App, signatures: Signatures, *, refused: Callable[[str], None], threads: int) -> None:
        self._app = app
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
            taken = self._threads.submit(self._app.dispatch, to_bolt_request(request, body))
        except RuntimeError:  # shut down while the body was on its way
            return self._refuse("not open", 503)
        return to_starlette_response(await asyncio.wrap_future(taken))

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
