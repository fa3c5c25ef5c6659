"""The Socket Mode connection: Slack calls the bot without an address of its own."""

from __future__ import annotations

import select
from contextlib import suppress
from socket import SHUT_RDWR
from threading import Event, Thread
from typing import TYPE_CHECKING

import structlog
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackApiError

from hitl_bot.slack.client import SLACK_FAILED, honour_no_proxy
from metaflow_extensions.hitl.approvals.errors import HitlError

if TYPE_CHECKING:
    from slack_bolt import App
    from slack_sdk.socket_mode.builtin.connection import Connection as Session

THREADS = 32  # envelopes at once; each is held until its listener has acknowledged
_PING_EVERY = 2.0  # seconds; a connection that died without a word is given up after five of them
_AGAIN_AFTER = 5.0  # seconds
_WATCHED_FOR = 500  # milliseconds, until a new socket is watched
_BUFFER = 65_536  # bytes; slack_sdk takes a level of recursion for each buffer of a message
_HANGS_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)  # the last is Linux's own
_NEEDS_AN_OPERATOR = frozenset(
    {
        "account_inactive",
        "forbidden_team",
        "invalid_auth",
        "missing_scope",
        "not_allowed_token_type",
        "not_authed",
        "no_permission",
        "token_expired",
        "token_revoked",
    }
)

log = structlog.get_logger("hitl_bot.connection")


class CantConnect(HitlError):
    """Slack refuses the connection until an operator mends what the message names."""


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
        handler = SocketModeHandler(
            app, app_token, ping_interval=_PING_EVERY, concurrency=THREADS, receive_buffer_size=_BUFFER
        )
        honour_no_proxy(handler.client, api_url)
        self._handler = handler
        self._closing = Event()
        self._watch = Thread(target=self._watch_socket, name="socket watch", daemon=True)

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
            self._handler.connect()  # type: ignore[no-untyped-call] # Bolt's
        except SLACK_FAILED as error:
            code = str(error.response.get("error", "")) if isinstance(error, SlackApiError) else ""
            if code in _NEEDS_AN_OPERATOR:
                raise CantConnect(
                    f"Slack refuses METAFLOW_HITL_SLACK_APP_TOKEN for Socket Mode ({code}). Make an app-level token "
                    "with the scope connections:write under Basic Information, and turn Socket Mode on; "
                    "`hitl-bot doctor` checks both."
                ) from error
            log.warning("slack is away", why=repr(error))
            return False
        log.info("connected")
        self._watch.start()
        return True

    def _watch_socket(self) -> None:
        """Connect again as soon as the other side hangs up.

        slack_sdk takes the end of the stream for silence (3.47, ``builtin/internals.py``): it reads nothing, again and
        again, until five pings have failed.
        """
        client = self._handler.client
        while not self._closing.is_set():
            session = client.current_session
            if not self._hangs_up(session) or session is None or self._closing.is_set():
                continue
            log.warning("the connection broke")
            session.disconnect()
            try:
                client.connect_to_new_endpoint()
            except SLACK_FAILED as error:
                log.warning("slack is away", why=repr(error))  # slack_sdk's own monitor tries again
                self._closing.wait(_AGAIN_AFTER)

    def _hangs_up(self, session: Session | None) -> bool:
        """Wait a moment for the other side to hang up."""
        sock = None if session is None else session.sock
        if sock is None or sock.fileno() < 0:
            self._closing.wait(_WATCHED_FOR / 1000)  # nothing to watch until there is a new one
            return False
        poll = select.poll()
        poll.register(sock, _HANGS_UP)
        return bool(poll.poll(_WATCHED_FOR))

    def give_up(self) -> None:
        """Take nothing more from the connection. What came before can still be acknowledged on it."""
        self._closing.set()
        client = self._handler.client
        client.auto_reconnect_enabled = client.default_auto_reconnect_enabled = False
        client.closed = True  # ends the loop that takes envelopes; Slack sends those left to another connection
        client.message_queue.put(None)  # which it may be waiting for

    def drain(self) -> None:
        """Wait until everything that was taken is acknowledged."""
        self._handler.client.message_workers.shutdown(wait=True)

    def close(self) -> None:
        """Close it."""
        session = self._handler.client.current_session
        if session is not None and session.sock is not None:
            # slack_sdk waits for up to 3 s until the thread that reads has a lock to spare (3.47, ``connection.py``).
            with suppress(OSError):
                session.sock.shutdown(SHUT_RDWR)
        self._handler.close()  # type: ignore[no-untyped-call] # Bolt's
