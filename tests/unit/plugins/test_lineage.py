"""What a decision leaves in Metaflow: a card, metadata, tags; and what happens where that fails."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
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
    assert said.count("the service is down") == 1 or "the service is down" in said
