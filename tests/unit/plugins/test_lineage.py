"""What a decision leaves in Metaflow: a card, metadata, tags; and what happens where that fails."""

from __future__ import annotations

import importlib
import json
import warnings
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

from metaflow_extensions.hitl.approvals.record import CLOCK, Where
from tests.fixtures.approvals import ALICE, BOB, approval, approving, pathspec, rejecting


@pytest.fixture(scope="module")
def lineage():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.lineage")


@pytest.mark.parametrize(
    ("decision", "tags"),
    [
        (None, []),
        (approving(ALICE), ["hitl:approved", "hitl:approved-by:Alice Adams"]),
        (
            approving(ALICE, voters=(ALICE, BOB)),
            ["hitl:approved", "hitl:approved-by:Alice Adams", "hitl:approved-by:Bob Brown"],
        ),
        (approving(CLOCK, where=Where.TIMEOUT), ["hitl:approved", "hitl:approved-by:timeout"]),
        (approving(replace(ALICE, name="x" * 999)), ["hitl:approved", "hitl:approved-by:" + "x" * 383]),
        (approving(replace(ALICE, name="\ud800")), ["hitl:approved", "hitl:approved-by:\\ud800"]),
        (rejecting(), ["hitl:rejected"]),
    ],
)
def test_a_run_is_found_by_who_approved_it(lineage, decision, tags):
    """Everybody whose vote made it, in tags that Metaflow takes; a rejection has no name."""
    assert lineage.tags_of(replace(approval(), decision=decision)) == tags


def test_what_can_not_be_left_is_said_and_nothing_fails(lineage, capsys):
    """No card, no metadata, no tags: the step goes on, and the log says what is missing."""

    class Down:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("the service is down")

    task = SimpleNamespace(datastore=("tape", None), pathspec=pathspec(), flow=SimpleNamespace(name="F"), run_id="1")
    lineage.leave(task, replace(approval(), decision=approving()), Down(), 0)
    said = capsys.readouterr().out
    assert [line.split(" about ")[0] for line in said.splitlines()] == [
        "The card",
        "The task's metadata",
        "The run's tags",
    ]
    assert "the service is down" in said


class Service(BaseHTTPRequestHandler):
    """Metaflow's metadata service, as far as tags go."""

    def do_GET(self) -> None:
        self._answer(b"pong")

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))  # type: ignore[attr-defined]
        self._answer(json.dumps({"tags": body["tags_to_add"]}).encode(), self.server.status)  # type: ignore[attr-defined]

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("METADATA_SERVICE_VERSION", "2.4.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch):
    """The real provider of Metaflow, with a service on loopback."""
    from metaflow.plugins.metadata_providers.service import ServiceMetadataProvider  # noqa: PLC0415 - loads Metaflow

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.asked, server.status, server.provider = [], 200, ServiceMetadataProvider
        monkeypatch.setattr(ServiceMetadataProvider, "_INFO", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setattr(ServiceMetadataProvider, "_supports_tag_mutation", None)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        ServiceMetadataProvider._session.close()


def task_17() -> SimpleNamespace:
    return SimpleNamespace(flow=SimpleNamespace(name="TrainFlow"), run_id="17")


def test_the_service_gets_the_tags(lineage, service):
    """By the call that Metaflow's own client makes."""
    lineage._tag(task_17(), replace(approval(), decision=approving()), service.provider)
    ((path, body),) = service.asked
    assert path == "/flows/TrainFlow/runs/17/tag/mutate"
    assert body["tags_to_add"] == ["hitl:approved", "hitl:approved-by:Alice Adams"]


def test_a_service_that_refuses_tags_does_not_hold_the_step(lineage, service, monkeypatch):
    """Metaflow's client would try for a minute; the step waits ten seconds at most, here for none."""
    service.status = 403
    monkeypatch.setattr(lineage, "_PATIENCE", 0.2)
    with pytest.raises(TimeoutError, match="did not accept them"):
        lineage._in_time(lambda: lineage._tag(task_17(), replace(approval(), decision=approving()), service.provider))
