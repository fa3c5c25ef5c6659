"""A proxy in front of an API server that makes it fail as servers and networks do, one request at a time."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass(frozen=True)
class Answer:
    """Answer this; the server hears nothing."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"kind": "Status", "message": "as the test wants it"}'


@dataclass(frozen=True)
class Hang:
    """Take the request and say nothing until the proxy ends."""


@dataclass(frozen=True)
class LoseAnswer:
    """Let the server do it, and drop the connection instead of passing the answer on."""


@dataclass(frozen=True)
class First:
    """Do something before the server hears of the request."""

    act: Callable[[], object]


Fault = Answer | Hang | LoseAnswer | First


@dataclass
class Proxy:
    """The faults to come, by HTTP method, and what passed: (method, path, status), in the order of the answers."""

    url: str
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    down: bool = False  # every request gets a 503
    _faults: dict[str, deque[Fault]] = field(default_factory=dict)

    def fail(self, method: str, *faults: Fault) -> None:
        """Let the next requests of this method meet these faults, one each."""
        self._faults.setdefault(method, deque()).extend(faults)

    def next_fault(self, method: str) -> Fault | None:
        """Take the fault that the next request of this method meets."""
        if self.down:
            return Answer(503)
        waiting = self._faults.get(method)
        return waiting.popleft() if waiting else None

    def requests(self) -> list[tuple[str, int]]:
        """The methods and statuses of what passed."""
        return [(method, status) for method, _, status in self.seen]


@contextmanager
def proxy_before(url: str, certificate: Path | None = None) -> Iterator[Proxy]:
    """Run a proxy on loopback in front of a server, which is checked against a certificate if it speaks TLS."""
    server = _Server(url, certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client may keep its connection open for longer than the test

    def __init__(self, url: str, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = urlsplit(url)
        self.trust = ssl.create_default_context(cafile=str(certificate)) if certificate else None
        self.proxy = Proxy(url=f"http://127.0.0.1:{self.server_port}")
        self.ending = threading.Event()

    def connect(self) -> HTTPConnection:
        if self.trust is None:
            return HTTPConnection(self.target.netloc, timeout=60)
        return HTTPSConnection(self.target.netloc, timeout=60, context=self.trust)


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.proxy.next_fault(self.command)
        if isinstance(fault, Hang):
            self.server.ending.wait()
            self.close_connection = True
            return
        if isinstance(fault, Answer):
            self.answer(fault.status, {"content-type": "application/json", **fault.headers}, fault.body)
            return
        if isinstance(fault, First):
            fault.act()
        status, headers, answer = self.forward(body)
        if isinstance(fault, LoseAnswer):
            self.server.proxy.seen.append((self.command, self.path, status))
            self.close_connection = True
            return
        self.answer(status, headers, answer)

    do_GET = do_PUT = do_PATCH = do_POST = do_any  # noqa: N815  (http.server finds them by these names)

    def forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = self.server.connect()
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"host"}}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        # Before it is sent: whoever has the answer may look.
        self.server.proxy.seen.append((self.command, self.path, status))
        self.send_response_only(status)
        for name, value in headers.items():
            if name not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # whoever asked did not wait for it
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def as_json(content: object) -> bytes:
    """A body for an Answer."""
    return json.dumps(content).encode()
