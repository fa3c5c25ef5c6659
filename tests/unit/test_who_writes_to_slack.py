"""Who changes what people see: every place is known, and says how its surface follows the record."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITING = {
    "chat.postMessage": {
        "SlackNotifier.post_message": "takes the turn for _send",
        "SlackNotifier._send": "a question: the record names it, or Finder finds it",
        "SlackNotifier.reply": "a line in a thread: the store has a marker for each, and the message its names",
        "OwnerReminders._remind": "a direct message: the record has each reminder before it is sent",
        "Confirming._send": "a direct message: claimed in the store before it is sent",
        "_tell": "an answer to a person's own act, which shows nothing that could change",
        "_answers_all": "likewise",
        "_tell_later": "likewise",
    },
    "chat.update": {"SlackNotifier.show": "called by Posting.show and Batches alone, which note what it shows"},
    "chat.delete": {
        "SlackNotifier.withdraw": "a second message, which no record names, or one without gates",
        "Walk._deleted": "the doctor's own message",
    },
    "views.publish": {"HomeTabs._send": "drawn afresh after every change"},
    "views.open": {"Opening.show": "what a person just asked for"},
    "views.update": {"replace_view": "the same view, further on"},
}
UPDATING = {
    "Posting.show": "the only one that decides to; it notes what came of it",
    "ReportingNotifier.update": "passes on, and logs",
    "BatchingNotifier.update": "passes on, alone or to the shared message",
    "OnDemand.update": "passes on, once it is built",
    "Foreign.update": "passes on",
    "Walk._deleted": "the doctor's own message, which is no surface of a record",
}
SHOWING = {
    "Batches._show": "the shared message: notes in `visible` what it shows",
    "SlackNotifier.update": "for Posting.show",
}


@cache
def calls() -> tuple[tuple[str, ast.Call], ...]:
    """Return each call in the product with the function that it is in, by class and name."""
    return tuple(_calls())


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for package in ("hitl_bot", "metaflow_extensions", "metaflow_hitl"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "sandbox" not in path.parts:
                yield from _calls_in(ast.parse(path.read_text(encoding="utf-8")), "")


def _calls_in(node: ast.AST, where: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = where
        if isinstance(child, ast.ClassDef):
            inner = child.name
        elif isinstance(child, ast.FunctionDef):
            in_class = isinstance(node, ast.ClassDef)
            inner = f"{node.name}.{child.name}" if in_class else (where or child.name)
        if isinstance(child, ast.Call):
            yield where, child
        yield from _calls_in(child, inner)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _names_method(call: ast.Call, method: str) -> bool:
    by_text = any(isinstance(one, ast.Constant) and one.value == method for one in call.args)
    return _name(call) == method.replace(".", "_") or (by_text and _name(call) in {"call", "call_in_turn", "take_turn"})


@pytest.mark.parametrize("method", WRITING)
def test_every_place_that_writes_to_slack_is_known(method: str) -> None:
    """A new place that posts or changes something fails here until somebody says how it follows the record."""
    assert {where for where, call in calls() if _names_method(call, method)} == set(WRITING[method])


def test_no_message_is_updated_without_being_noted() -> None:
    """Only Posting.show asks a notifier to update a message; the others on the way pass its call on."""
    updates = {
        where
        for where, call in calls()
        if _name(call) == "update" and len(call.args) == 2 and not call.keywords and ast.unparse(call.args[1]) == "post"
    }
    assert updates == set(UPDATING)


def test_no_message_is_shown_without_being_noted() -> None:
    """SlackNotifier.show is called where it is noted what the message shows, and nowhere else."""
    shown = {
        where
        for where, call in calls()
        if _name(call) == "show" and len(call.args) == 2 and ast.unparse(call.args[1]).endswith("post")
    }
    assert shown == set(SHOWING)
