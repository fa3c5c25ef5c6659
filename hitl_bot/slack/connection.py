"""The Socket Mode connection: Slack calls the bot without an address of its own."""

from __future__ import annotations

import json
from contextlib import suppress
from socket import SHUT_RDWR, socket
from threading import Event
from typing import Any

import structlog
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.socket_mode import SocketModeClient

from hitl_bot.slack.client import SLACK_FAILED, honour_no_proxy
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of

THREADS = 32  # envelopes at once; each is held until its listener has acknowledged
_PING_EVERY = 2.0  # seconds; a connection that died without a word is given up after five of them
_AGAIN_AFTER = 5.0  # seconds
_BUFFER = 65_536  # bytes; slack_sdk takes a level of recursion for each buffer of a message

log = structlog.get_logger("hitl_bot.transport")


class CantConnect(HitlError):
    """Slack refuses the connection until an operator mends what the message names."""


class _HearsTheEnd:
    """A socket on which the end of the stream is an error.

    slack_sdk takes it for silence (3.47, ``builtin/internals.py``): it would read nothing, again and again, until five
    pings had failed.
    """

    def __init__(self, sock: socket) -> None:
        self._sock = sock

    def recv(self, size: int) -> bytes:
        received = self._sock.recv(size)
        if not received:
            raise ConnectionResetError("Slack hung up")
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Client(SocketModeClient):
    """slack_sdk's client, which replaces a connection at once and only once.

    slack_sdk (3.47) answers a request to connect again in another thread than the close frame behind it. Whichever of
    the two came second tore down the first one's new connection, with what Slack had sent on it.
    """

    def connect(self) -> None:
        super().connect()
        session = self.current_session
        if session is not None and session.sock is not None:
            session.sock = _HearsTheEnd(session.sock)  # type: ignore[assignment] # does what slack_sdk asks of it

    def enqueue_message(self, message: str) -> None:
        # Here, in the thread that reads this connection, it is known which one shall be replaced.
        if '"disconnect"' in message and json.loads(message).get("type") == "disconnect":
            if not self.closed:
                self.connect_to_new_endpoint(force=True)
        else:
            super().enqueue_message(message)

    def _run_current_session(self) -> None:
        was_open = self.is_connected()
        super()._run_current_session()  # type: ignore[no-untyped-call] # slack_sdk's
        if was_open and not self.is_connected():
            self._monitor_current_session()  # type: ignore[no-untyped-call] # else it looks every two seconds

    def _on_error(self, error: Exception) -> None:
        if not self.closed:
            log.warning("the connection broke", why=repr(error))


class _Handler(SocketModeHandler):
    """Bolt's handler with a client of our own."""

    def __init__(self, app: App, client: _Client) -> None:
        self.app = app
        self.client = client
        client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type] # as in Bolt's own


class Connection:
    """One Socket Mode connection, which comes back by itself when it breaks.

    Parameters
    ----------
    app : App
        Gets what Slack sends.
    app_token : str
        ``xapp-…`` with the scope connections:write.
    """

    def __init__(self, app: App, app_token: str, api_url: str) -> None:
        client = _Client(
            app_token,
            logger=app.logger,
            web_client=app.client,
            proxy=app.client.proxy,
            ping_interval=_PING_EVERY,
            concurrency=THREADS,
            receive_buffer_size=_BUFFER,
        )
        honour_no_proxy(client, api_url)
        self._handler = _Handler(app, client)

    def open(self, stopping: Event) -> None:
        """Connect, however long Slack is away; return when it is done, or when it is time to stop.

        Raises
        ------
        CantConnect
            Slack refuses: trying again would not help.
        """
        while not stopping.is_set() and not self._connects():
            stopping.wait(_AGAIN_AFTER)

    @property
    def is_open(self) -> bool:
        """Whether Slack can reach the bot now."""
        return bool(self._handler.client.is_connected())

    def _connects(self) -> bool:
        try:
            self._handler.client.connect_to_new_endpoint()
        except SLACK_FAILED as error:
            if meaning_of(error) is Meaning.OPERATOR:
                raise CantConnect(
                    f"Slack refuses METAFLOW_HITL_SLACK_APP_TOKEN for Socket Mode ({code_of(error)}). Make "
                    "an app-level token with the scope connections:write under Basic Information, and turn Socket "
                    "Mode on; "
                    "`hitl-bot doctor` checks both."
                ) from error
            log.warning("slack is away", why=repr(error))
        else:
            if self.is_open:
                log.info("connected")
        return self.is_open

    def give_up(self) -> None:
        """Take nothing more from the connection. What came before can still be acknowledged on it."""
        client = self._handler.client
        client.auto_reconnect_enabled = client.default_auto_reconnect_enabled = False
        client.closed = True  # ends the loop that takes envelopes; Slack sends those left to another connection
        client.message_queue.put(None)  # which it may be waiting for

    def drain(self) -> None:
        """Wait until everything that was taken is acknowledged."""
        self._handler.client.message_workers.shutdown(wait=True)

    def close(self) -> None:
        """Close it."""
        client = self._handler.client
        client.current_session_state.terminated = True
        session = client.current_session
        sock = None if session is None else session.sock
        if sock is not None:
            # slack_sdk waits for up to 3 s until the thread that reads has a lock to spare (3.47, ``connection.py``).
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
        # These end what they find broken. slack_sdk looks for a socket before it holds the lock to close it, so of two
        # threads that end one session at once the second fails.
        for runner in (client.current_session_runner, client.current_app_monitor):
            runner.shutdown()  # type: ignore[no-untyped-call] # slack_sdk's
        self._handler.close()  # type: ignore[no-untyped-call] # Bolt's
