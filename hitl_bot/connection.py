"""The Socket Mode connection: Slack calls the bot without an address of its own."""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_RDWR
from typing import TYPE_CHECKING

import structlog
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackApiError

from hitl_bot.slack_client import SLACK_FAILED, honour_no_proxy
from metaflow_extensions.hitl.approvals.errors import HitlError

if TYPE_CHECKING:
    from threading import Event

    from slack_bolt import App

THREADS = 32  # envelopes at once; each is held until its listener has acknowledged
_PING_EVERY = 5.0  # seconds; a dead connection is noticed after a few of them
_AGAIN_AFTER = 5.0  # seconds
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
        handler = SocketModeHandler(app, app_token, ping_interval=_PING_EVERY, concurrency=THREADS)
        honour_no_proxy(handler.client, api_url)
        self._handler = handler

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
        return True

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
        session = self._handler.client.current_session
        if session is not None and session.sock is not None:
            # slack_sdk waits for up to 3 s until the thread that reads has a lock to spare (3.47, ``connection.py``).
            with suppress(OSError):
                session.sock.shutdown(SHUT_RDWR)
        self._handler.close()  # type: ignore[no-untyped-call] # Bolt's
