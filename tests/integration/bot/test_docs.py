"""The words behind /hitl that the Slack page shows: each is typed, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hitl_bot.sandbox.driver import Person
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.messages.replies import help_text

if TYPE_CHECKING:
    from hitl_bot.bootstrap import Bot
    from tests.integration.bot.conftest import Ask

PAGE = (Path(__file__).parents[3] / "docs" / "slack.md").read_text(encoding="utf-8")
TYPED = re.search(r"^```hitl\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1].splitlines()
INPUT = normalise({"traffic": {"type": "int"}, "notes": "str"})
# What is answered where it is not the list, the history or the figures.
ANSWERS = {
    "show": "Approval needed: ",
    "remind": "will be posted in its thread",
    "approve": "Approved",
    "reject": "Rejected",
    "delegate": "decides for you until 2026-12-24",
    "help": "/hitl list",
    "list": "wait",
    "history": "decided in ",
    "stats": "Approvals in ",
    "obligations": "owe",
}


@pytest.fixture
def asked(ask: Ask, bot: Bot) -> None:
    """The approvals that the page names: their ids follow from their pathspecs."""
    ids = {ask("2", schema=INPUT).id, ask("3").id}
    assert ids == set(re.findall(r"\bdeploy-[a-z0-9]{10}\b", "\n".join(TYPED)))


@pytest.mark.parametrize("line", TYPED)
def test_what_the_page_types_is_understood(asked: None, bob: Person, line: str) -> None:
    """No line is answered with how it should have been written."""
    verb = line.split()[1]
    (said,) = bob.command(line)
    answer = f"{said.text}\n{said.plain}"
    if line in {"/hitl delegate", "/hitl delegate end"}:
        assert "Nobody decides for you" in answer
    elif line == "/hitl list overdue":
        assert "Nothing that matches /hitl list overdue is waiting." in answer
    elif line.startswith("/hitl stats rules"):
        assert "No rule in shadow mode was compared" in answer
    elif verb == "history":
        assert "was decided" in answer or "decided in" in answer
    else:
        assert ANSWERS[verb] in answer


def test_the_page_types_every_word() -> None:
    """All that /hitl knows stands on the page."""
    known = {row.split()[1] for row in help_text()["text"].split(", ")}
    assert {line.split()[1] for line in TYPED} == known
