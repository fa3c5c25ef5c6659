"""Every event of the trail has its words, and nothing names an event by a bare string."""

from __future__ import annotations

import ast
from pathlib import Path

from structlog.testing import capture_logs

from hitl_bot.telemetry.metrics import Metrics, reports_versions
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import ReminderKind, TrailEvent
from metaflow_extensions.hitl.messages.trail import EVENTS, happened, short
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import NOW, approval

ROOT = Path(__file__).parents[3]
TEXTS = {event.value for event in TrailEvent}


def test_every_event_has_its_words():
    """Slack, the terminal, the log and the metrics have words for each event, and for nothing else."""
    assert set(EVENTS) == set(TrailEvent), "give each event its words in EVENTS, messages/trail.py"
    assert all(words.short for words in EVENTS.values())
    assert (
        len({words.log for words in EVENTS.values()}) == len({words.metric for words in EVENTS.values()}) == len(EVENTS)
    )
    assert all(words.metric.isidentifier() and words.metric.islower() for words in EVENTS.values())


def test_each_version_is_logged_and_counted_once_by_who_writes_it():
    """The log's line and the metric's label are the event's own words; reading a version tells nothing."""
    metrics = Metrics(lambda: NOW, lambda: 0)
    store = MemoryStore()
    ledger = Ledger(store, on_write=reports_versions(metrics))
    with capture_logs() as lines:
        asked = ledger.begin(approval())
        ledger.update(asked.approval.id, TrailEvent.CLOSED, NOW, lambda one: transitions.close(one, "gone", NOW))
        Ledger(store, on_write=reports_versions(metrics)).read(asked.approval.id)
    assert [line["event"] for line in lines] == ["approval requested", "approval closed"]
    for event in ("requested", "closed"):
        assert metrics.registry.get_sample_value("hitl_versions_written_total", {"event": event}) == 1


def test_a_later_release_s_event_is_shown_as_it_is_written():
    """An event that this release does not know is told by its own word."""
    version = Version(number=2, previous="0" * 64, event="countersigned", at=NOW, approval=approval())
    assert (happened(version), short(version)) == ("Countersigned", "countersigned")


def test_a_reminder_names_who_asked_for_it():
    """Each kind of reminder has an event and words of its own."""
    asked = approval()
    for kind in ReminderKind:
        reminded = transitions.remind(asked, kind, NOW, by=asked.requester)
        said = happened(Version(number=2, previous="0" * 64, event=kind.event, at=NOW, approval=reminded))
        assert said.endswith(f"requested by {asked.requester.name}")


def test_no_event_is_a_bare_string():
    """Where a version is written or looked at, its event is a member of the enumeration."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("metaflow_extensions", "hitl_bot")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _compares_or_writes_an_event(node)
    ]
    assert bare == []


def _compares_or_writes_an_event(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(_is_event(side) for side in sides) and any(_has_text(side) for side in sides)
    if isinstance(node, ast.Call):
        named = [keyword.value for keyword in node.keywords if keyword.arg == "event"]
        is_update = isinstance(node.func, ast.Attribute) and node.func.attr == "update"
        return any(_has_text(value) for value in [*named, *(node.args if is_update else ())])
    return False


def _is_event(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "event") or (
        isinstance(node, ast.Name) and node.id == "event"
    )


def _has_text(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Constant) and part.value in TEXTS for part in ast.walk(node))
