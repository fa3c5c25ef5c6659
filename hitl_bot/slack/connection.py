"""The Socket Mode connections: Slack calls the bot without an address of its own."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from threading import Condition, Event, Lock, Thread, local
from typing import Any, Protocol

import structlog
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, is_busy, meaning_of, pause_of

from .client import SLACK_FAILED, honour_no_proxy

# How Slack reaches the bot.


_ACKS_WITHIN = 0.25  # seconds that what follows an acknowledgement waits at most for those of others


class AcksFirst:
    """Lets work that follows an acknowledgement wait until what else has come is acknowledged, for a moment at most.

    Where fifty people click at once, the work for the first of them would otherwise take the processor from the
    acknowledgements of the last, for which Slack waits three seconds. Threads share it.
    """

    def __init__(self) -> None:
        self._unacknowledged = 0
        self._changed = Condition()
        self._here = local()

    @contextmanager
    def pending(self) -> Iterator[None]:
        """Hold a request until it is acknowledged."""
        with self._changed:
            self._unacknowledged += 1
        self._here.dispatches = True
        try:
            yield
        finally:
            self._here.dispatches = False
            with self._changed:
                self._unacknowledged -= 1
                if self._unacknowledged <= 1:
                    self._changed.notify_all()

    def wait_for_others(self) -> None:
        """Wait for them, unless this is the thread that an acknowledgement is on its way through."""
        if getattr(self._here, "dispatches", False):
            return
        with self._changed:
            self._changed.wait_for(lambda: self._unacknowledged <= 1, _ACKS_WITHIN)


class Transport(Protocol):
    """One of the two ways: a Socket Mode connection that the bot opens, or a request URL that Slack calls.

    To stop: ``give_up``, ``drain``, ``close``, in this order.
    """

    def open(self, stopping: Event) -> None:
        """Take what Slack sends from now on. Return when it is so, or when it is time to stop.

        Raises
        ------
        CantConnect
            Slack refuses: trying again would not help.
        """
        ...

    @property
    def is_open(self) -> bool:
        """Whether Slack can reach the bot now."""
        ...

    def give_up(self) -> None:
        """Take nothing more. What came before can still be acknowledged."""
        ...

    def drain(self) -> None:
        """Wait until everything that was taken is acknowledged."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


# The Socket Mode connections: Slack calls the bot without an address of its own.

THREADS = 32  # envelopes at once; each is held until its listener has acknowledged
CONNECTIONS = 2  # of one bot: while one is replaced, or found dead, Slack reaches it over the other
_PING_EVERY = 2.0  # seconds; a connection that died without a word is given up after five of them
_AGAIN_AFTER = 5.0  # seconds
_LEFT_OPEN = 10.0  # seconds in which Slack closes a connection that it has asked to be replaced
_LAST_CONNECT = 2.0  # seconds for a connection that is being opened when the bot stops
_BUFFER = 65_536  # bytes; slack_sdk takes a level of recursion for each buffer of a message

log = structlog.get_logger("hitl_bot.transport")


class CantConnect(HitlError):
    """Slack refuses the connection until an operator fixes what the message names."""


class _HearsTheEnd:
    """A socket on which the end of the stream is an error.

    slack_sdk takes it for silence (3.48, ``builtin/internals.py``): it would read nothing, again and again, until five
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
    """slack_sdk's client for one connection, which is replaced by another client when Slack asks for it.

    slack_sdk (3.48) replaces the connection within the client, in the thread that reads it: what Slack sends meanwhile
    on the old one is not read, and lost when it is closed.

    Parameters
    ----------
    asked_to_leave : Callable[[_Client], object]
        Called once when Slack says that it will close this connection. It is read until then.
    stopping : Event
        Ends the waiting for Slack's patience.
    """

    def __init__(self, asked_to_leave: "Callable[[_Client], object]", stopping: Event, **arguments: Any) -> None:
        self._asked_to_leave = asked_to_leave
        self._stopping = stopping
        super().__init__(**arguments)

    def issue_new_wss_url(self) -> str:
        """Ask for an address. slack_sdk (3.48) sleeps for as long as Slack asks, and SIGTERM with it."""
        while not self._stopping.is_set():
            address = self._address()
            if isinstance(address, str):
                return address
            log.warning("slack asks to wait before it is connected to", seconds=address)
            self._stopping.wait(address)
        raise ConnectionAbortedError("The bot is stopping")

    def _address(self) -> str | float:
        """Return an address, or for how many seconds Slack wants to be left alone."""
        try:
            return str(self.web_client.apps_connections_open(app_token=self.app_token)["url"])
        except SlackApiError as error:
            if not is_busy(error):
                raise
            return pause_of(error)

    def connect(self) -> None:
        super().connect()
        session = self.current_session
        if session is not None and session.sock is not None:
            session.sock = _HearsTheEnd(session.sock)  # type: ignore[assignment] # does what slack_sdk asks of it

    def enqueue_message(self, message: str) -> None:
        # Here, in the thread that reads this connection, it is known which one shall be replaced.
        if '"disconnect"' in message and json.loads(message).get("type") == "disconnect":
            if not self.closed:
                self._asked_to_leave(self)
        else:
            super().enqueue_message(message)

    def stay_only_until_closed(self) -> None:
        """Read on until Slack closes this connection, and let no other take its place."""
        self.auto_reconnect_enabled = self.default_auto_reconnect_enabled = False

    def _run_current_session(self) -> None:
        was_open = self.is_connected()
        super()._run_current_session()  # type: ignore[no-untyped-call] # slack_sdk's
        if was_open and not self.is_connected():
            self._monitor_current_session()  # type: ignore[no-untyped-call] # else it looks every two seconds

    def _on_error(self, error: Exception) -> None:
        if not self.closed and self.auto_reconnect_enabled and not self._stopping.is_set():
            log.warning("the connection broke", why=repr(error))

    def end(self) -> None:
        """Close the connection; what is in the workers' hands goes on."""
        self.closed = True
        self.stay_only_until_closed()
        self.message_queue.put(None)  # which the loop that takes envelopes may be waiting for
        self.current_session_state.terminated = True
        session = self.current_session
        sock = None if session is None else session.sock
        if sock is not None:
            # slack_sdk waits for up to 3 s until the thread that reads has a lock to spare (3.48, ``connection.py``).
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
        # These end what they find broken. slack_sdk looks for a socket before it holds the lock to close it, so of two
        # threads that end one session at once the second fails.
        for runner in (self.current_session_runner, self.current_app_monitor, self.message_processor):
            if runner.is_alive():
                runner.shutdown()  # type: ignore[no-untyped-call] # slack_sdk's
        self.disconnect()


class _Handler(SocketModeHandler):
    """Bolt's handler with a client of our own."""

    def __init__(self, app: App, client: _Client, acks: AcksFirst) -> None:
        self.app = app
        self.client = client
        self._acks = acks
        client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type] # as in Bolt's own

    def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override] # as in Bolt's own
        with self._acks.pending():
            super().handle(client, req)


class Connection:
    """The Socket Mode connections of one bot, which come back by themselves when they break.

    Parameters
    ----------
    app : App
        Gets what Slack sends.
    web_client : WebClient
        Asks for the addresses.
    app_token : str
        ``xapp-…`` with the scope connections:write.
    acks : AcksFirst, optional
        Shared with the listeners. Default: one of its own.
    """

    def __init__(
        self, app: App, web_client: WebClient, app_token: str, api_url: str, acks: AcksFirst | None = None
    ) -> None:
        self._app = app
        self._acks = acks or AcksFirst()
        self._web_client = web_client
        self._app_token = app_token
        self._api_url = api_url
        self._workers = ThreadPoolExecutor(THREADS, thread_name_prefix="envelope")
        self._lock = Lock()
        self._clients: list[_Client] = []
        self._leaving: list[_Client] = []
        self._connecting: list[Thread] = []
        self._stopping = Event()
        self._given_up = False
        self._refused_with = ""  # Slack's code at the last attempt

    def open(self, stopping: Event) -> None:
        """Connect, however long Slack is away; return with the first connection, or when it is time to stop.

        Raises
        ------
        CantConnect
            Slack refuses: trying again would not help.
        """
        self._stopping = stopping
        first = self._new_client()
        while not stopping.is_set() and not self._connects(first):
            stopping.wait(_AGAIN_AFTER)
        if not self._add(first):
            return
        log.info("connected")
        for number in range(1, CONNECTIONS):
            self._later(self._add_another, name=f"connection-{number}")

    @property
    def is_open(self) -> bool:
        """Whether Slack can reach the bot now."""
        with self._lock:
            clients = (*self._clients, *self._leaving)
        return any(client.is_connected() for client in clients)

    def give_up(self) -> None:
        """Take nothing more from the connections. What came before can still be acknowledged on them."""
        with self._lock:
            self._given_up = True
            clients = (*self._clients, *self._leaving)
        self._stopping.set()
        for client in clients:
            client.stay_only_until_closed()
            client.closed = True  # ends the loop that takes envelopes; Slack sends those left to another connection
            client.message_queue.put(None)  # which it may be waiting for

    def drain(self) -> None:
        """Wait until everything that was taken is acknowledged."""
        self._workers.shutdown(wait=True)

    def close(self) -> None:
        """Close them."""
        with self._lock:
            clients = (*self._clients, *self._leaving)
            self._clients, self._leaving = [], []
        for thread in self._connecting:
            thread.join(_LAST_CONNECT)  # what is half open would be left so
        for client in clients:
            client.end()

    # One connection.

    def _new_client(self) -> _Client:
        client = _Client(
            self._replace,
            self._stopping,
            app_token=self._app_token,
            logger=self._app.logger,
            web_client=self._web_client,
            proxy=self._web_client.proxy,
            ping_interval=_PING_EVERY,
            concurrency=1,
            receive_buffer_size=_BUFFER,
        )
        client.message_workers.shutdown(wait=False)
        client.message_workers = self._workers  # all connections share them, so that none outlives the bot
        honour_no_proxy(client, self._api_url)
        _Handler(self._app, client, self._acks)
        return client

    def _connects(self, client: _Client) -> bool:
        try:
            client.connect_to_new_endpoint()
        except SLACK_FAILED as error:
            if meaning_of(error) is Meaning.OPERATOR:
                client.end()
                raise CantConnect(
                    f"Slack refuses METAFLOW_HITL_SLACK_APP_TOKEN for Socket Mode ({code_of(error)}). Make "
                    "an app-level token with the scope connections:write under Basic Information, and turn Socket "
                    "Mode on; `hitl-bot doctor` checks both."
                ) from error
            if (code := code_of(error)) and code != self._refused_with:  # an outage is said once, for all calls
                log.warning("slack does not connect", code=code)
            self._refused_with = code
        return client.is_connected()

    def _add(self, client: _Client) -> bool:
        """Keep a client that is connected; close it where the bot is stopping."""
        with self._lock:
            wanted = not self._given_up and client.is_connected()
            if wanted:
                self._clients.append(client)
        if not wanted:
            client.end()
        return wanted

    def _add_another(self) -> None:
        client = self._new_client()
        try:
            while not self._stopping.is_set() and not self._connects(client):
                self._stopping.wait(_AGAIN_AFTER)
        except CantConnect as error:
            log.error("a connection is missing", why=str(error))  # noqa: TRY400 - the words say what to do
            return
        self._add(client)

    def _replace(self, client: _Client) -> None:
        """Open another connection in place of one that Slack is about to close, and read that one until then."""
        with self._lock:
            if client not in self._clients or self._given_up:
                return
            self._clients.remove(client)
            self._leaving.append(client)
        client.stay_only_until_closed()
        self._later(lambda: self._replace_now(client), name="replace-connection")

    def _replace_now(self, client: _Client) -> None:
        self._add_another()
        until = time.monotonic() + _LEFT_OPEN
        while client.is_connected() and time.monotonic() < until and not self._stopping.wait(0.1):
            pass
        with self._lock:
            if client not in self._leaving:
                return
            self._leaving.remove(client)
        client.end()

    def _later(self, act: Callable[[], object], *, name: str) -> None:
        self._connecting = [thread for thread in self._connecting if thread.is_alive()]
        thread = Thread(target=act, name=name, daemon=True)
        self._connecting.append(thread)
        thread.start()
