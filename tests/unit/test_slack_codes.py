"""What Slack's error codes mean: one table, complete, and the only place that judges a code."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from metaflow_extensions.hitl.notifiers.slack.codes import METHODS, Meaning, is_decided, meaning

ROOT = Path(__file__).parents[2]
REFERENCE = json.loads((ROOT / "hitl_bot/sandbox/web_api/reference.json").read_text(encoding="utf-8"))
DOCUMENTED = [(method, code) for method in sorted(METHODS) for code in REFERENCE["methods"][method]["errors"]]
FINAL = {
    "cannot_reply_to_message",
    "cant_delete_message",
    "cant_update_message",
    "edit_window_closed",
    "message_not_found",
    "thread_not_found",
}
TABLE = {"codes.py", "webhook.py"}  # the last one says in words what the codes mean to an operator


def test_every_documented_error_has_a_decided_meaning() -> None:
    """Each error that Slack documents for a method in use has a line in the table, not just the default."""
    assert [one for one in DOCUMENTED if not is_decided(*one)] == []
    assert [code for code in REFERENCE["common_errors"] if not is_decided("chat.update", code)] == []


def test_few_errors_are_final() -> None:
    """Only what says that a message is gone, or can no longer be changed, ends anything."""
    found = {code for method, code in DOCUMENTED if meaning(method, code) is Meaning.FINAL}
    assert found <= FINAL


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("code", ["something_new", "", "Received a response in a non-JSON format: <html>"])
def test_what_nobody_knows_passes(method: str, code: str) -> None:
    """A new code, no code, and a proxy's page in place of Slack's JSON are tried again."""
    assert meaning(method, code) is Meaning.PASSING


def test_a_server_error_passes_whatever_it_says() -> None:
    """With a 5xx the words are not to be trusted."""
    assert meaning("chat.update", "message_not_found", status=503) is Meaning.PASSING


def test_no_code_is_judged_outside_the_table() -> None:
    """No module but the table's names one of Slack's codes, the local Slack apart, which answers them."""
    codes = {code for _, code in DOCUMENTED} | set(REFERENCE["common_errors"])
    codes -= {"not_found", "internal_error"}  # words that others have too
    codes -= {"is_archived", "is_bot"}  # fields of a channel and of a user
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value}"
        for package in ("hitl_bot", "metaflow_extensions")
        for path in (ROOT / package).rglob("*.py")
        if "sandbox" not in path.parts and not (path.parent.name == "slack" and path.name in TABLE)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in codes
    ]
    assert found == []
