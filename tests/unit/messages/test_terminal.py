"""What a terminal shows."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from hypothesis import given, settings

from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.question import Shard
from metaflow_extensions.hitl.approvals.record import Post, State, TrailEvent, Verdict
from metaflow_extensions.hitl.approvals.transitions import posted
from metaflow_extensions.hitl.messages import terminal
from tests.unit.messages.examples import LATER, NOW, SCHEMA, approvals, decided, expired, pending

CET = timezone(timedelta(hours=1), "CET")


def test_question_gives_the_command():
    """The question, the exact commands with the flow's own file, and the deadline in the reader's time zone."""
    approval = pending(schema=SCHEMA, channel="#ml-approvals")
    assert terminal.question_text(approval, script="my flow.py", zone=CET).splitlines() == [
        "Waiting for approval: Deploy fraud v7?  Accuracy 94.0%",
        f"  answer     python 'my flow.py' hitl approve {approval.id} --set deploy_target=...",
        f"  or reject  python 'my flow.py' hitl reject {approval.id} --reason ...",
        "  until      2026-11-24 17:00 CET, else rejected",
    ]


def test_question_names_the_message_in_slack():
    """Once it is posted, the message comes first."""
    post = Post(notifier="slack", at=NOW, channel="C0A", ts="1.2", url="https://s.example/p1")
    lines = terminal.question_text(posted(pending(channel="#ml-approvals"), post)).splitlines()
    assert lines[1] == "  in Slack   #ml-approvals https://s.example/p1"
    assert lines[2].startswith("  or here ")


def test_the_first_shard_says_that_not_all_can_ask_at_once():
    """Only the first, only where there are more shards than workers, and only while somebody waits."""
    first, second = (pending(shard=Shard(place=place, counts=(30, 2))) for place in ((0, 0), (0, 1)))
    (said,) = terminal.waves(first, shards=60, workers=16)
    assert said.startswith("The foreach has 60 shards, and at most 16 of them can ask at a time (--max-workers)")
    assert "--max-workers 60" in said
    for asked, workers in ((second, 16), (first, 60), (first, 0), (decided(first), 16), (pending(), 16)):
        assert terminal.waves(asked, shards=60, workers=workers) == []


def test_ending_is_one_line():
    """Who, after how long, and what was entered or why; an expiry names nobody."""
    approval = decided(pending(), input={"deploy_target": "staging"})
    assert terminal.decided(approval) == "Approved by bob after 3 min: deploy_target=staging"
    assert terminal.decided(decided(pending(), Verdict.REJECT)) == 'Rejected by bob after 3 min: "drift too high"'
    assert terminal.decided(expired(pending())) == "Expired and rejected: no one answered in 1 d"


@pytest.mark.slow
@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(approvals())
def test_terminal_obeys_nothing_of_a_value(approval):
    """No control character but the line break and no override of direction reaches the terminal."""
    trail = [Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=NOW, approval=approval)]
    shown = [
        terminal.question_text(approval),
        terminal.table([approval], now=LATER),
        terminal.shown(approval, trail, now=LATER),
        terminal.verified(trail, "ab" * 32),
    ]
    if approval.state is not State.PENDING:
        shown.append(terminal.decided(approval))
    for text in shown:
        text.encode()  # no half pair
        assert all(char == "\n" or char.isprintable() or ord(char) > 0x9F for char in text)
        assert not any(char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for char in text)
        assert len(text) < 60_000


def test_escape_sequence_is_written_out():
    """A value that would colour the terminal shows its letters instead."""
    assert "\\x1b[31mred" in terminal.question_text(pending(message="\x1b[31mred"))


def test_table_is_aligned():
    """Each column begins at the same place in every line, wide characters counted as two."""
    lines = terminal.table([pending(message="部署?"), pending()], now=LATER, each_shard=True).splitlines()
    assert len(lines) == 3
    assert len({line.index("TrainAndDeploy/gate/1732") for line in lines[1:]}) == 1
    assert lines[0].startswith("ID  ")


def test_empty_table_is_a_sentence():
    """Nothing to list is said in words."""
    assert terminal.table([], now=LATER) == "Nothing is waiting for an answer."
