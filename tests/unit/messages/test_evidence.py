"""How evidence reads: a table in Slack, lines everywhere else, worst first, and never more than a phone shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from hitl_bot.sandbox.blocks import complaints_about_blocks
from metaflow_extensions.hitl.approvals.evidence.collected import Baseline, Better, Code, Evidence, Metric
from metaflow_extensions.hitl.approvals.question import Question, Shard
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.messages import batch, evidence, plain, single, terminal, views
from tests.fixtures.approvals import approval as make_approval, pathspec

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
METRICS = (
    Metric(name="accuracy", value=0.94, format=".1%", better=Better.HIGHER),
    Metric(name="latency_ms", value=41, better=Better.LOWER, warn_above=40),
    Metric(name="loss", problem="is NaN"),
)
BASELINE = Baseline(
    approval_id="gate-7f3k2m9qx4",
    run="1698",
    at=NOW,
    run_url="https://runs.example.com/1698",
    metrics={"accuracy": 0.929, "latency_ms": 38, "loss": 0.2},
    parameters={"learning_rate": "0.01", "model": "fraud"},
    code=Code(commit="0" * 40),
)
EVIDENCE = Evidence(
    metrics=METRICS,
    parameters={"learning_rate": "0.003", "model": "fraud"},
    code=Code(commit="4f2c1d9" + "0" * 33, changed=False),
    baseline=BASELINE,
)


def asks(found: Evidence | None, **parts: Any) -> Approval:
    approval = make_approval()
    return replace(approval, question=replace(approval.question, evidence=found, **parts))


def table_of(blocks: list[dict[str, Any]]) -> list[list[str]]:
    (table,) = [block for block in blocks if block["type"] == "table"]
    return [[cell["text"] for cell in row] for row in table["rows"]]


def context_of(blocks: list[dict[str, Any]]) -> str:
    return " | ".join(block["elements"][0]["text"] for block in blocks if block["type"] == "context")


def test_the_message_shows_what_changed_since_the_last_approval() -> None:
    """A table, worst first: now, the change with its sign and in words, and the last approved value."""
    blocks = single.render(asks(EVIDENCE), now=NOW).blocks
    assert table_of(blocks) == [
        ["metric", "now", "change", "last approved"],
        ["loss", "is NaN", "–", "0.2"],
        ["latency_ms", "41", "+3, worse · above the limit 40", "38"],
        ["accuracy", "94.0%", "+1.1 points, better", "92.9%"],
    ]
    assert complaints_about_blocks(blocks) == []


def test_what_else_differs_is_named_beside_a_link_to_what_it_is_compared_with() -> None:
    """Parameters that differ, the commit, and a button for each link of the step."""
    blocks = single.render(asks(EVIDENCE, links={"Card": "https://cards.example.com/1732"}), now=NOW).blocks
    said = context_of(blocks)
    assert "Compared with <https://runs.example.com/1698|run 1698>, approved <!date" in said
    assert "learning_rate 0.01 → 0.003 · code 4f2c1d9, no local changes (0000000 was approved)" in said
    assert "model" not in said
    (card,) = [one for block in blocks for one in block.get("elements", ()) if one.get("url")]
    assert (card["text"]["text"], card["url"]) == ("Card", "https://cards.example.com/1732")


def test_the_first_time_says_so() -> None:
    """Without an approved run there are two columns, and a sentence that says why."""
    blocks = single.render(asks(replace(EVIDENCE, baseline=None)), now=NOW).blocks
    assert table_of(blocks)[0] == ["metric", "now", "limit"]
    assert "No earlier approval of this step was found" in context_of(blocks)


def test_five_rows_are_shown_and_the_rest_is_under_details() -> None:
    """A table of forty metrics leaves room for the buttons; Details has all of them."""
    many = Evidence(metrics=tuple(Metric(name=f"metric_{number}", value=number) for number in range(40)))
    approval = asks(many)
    blocks = single.render(approval, now=NOW).blocks
    assert len(table_of(blocks)) == 1 + evidence.ROWS
    assert "and 35 more metrics under Details" in context_of(blocks)
    shown = str(views.details_view(approval, now=NOW))
    assert all(f"metric_{number}" in shown for number in range(40))


def test_without_metrics_the_message_is_as_it_was() -> None:
    """What is only recorded to bind the answer does not stand in anybody's way."""
    only_bound = Evidence(parameters={"rate": "1"}, code=Code(commit="a" * 40))
    assert single.render(asks(only_bound), now=NOW).blocks == single.render(asks(None), now=NOW).blocks


def test_media_without_tables_say_the_same_in_lines() -> None:
    """The notification, an email, a terminal and a webhook."""
    approval = asks(EVIDENCE, links={"Card": "https://cards.example.com/1732"})
    worse = "41 (last approved 38; +3, worse · above the limit 40)"
    assert single.notification(approval).endswith("· loss is NaN, latency_ms 41 (+3, worse · above the limit 40)")
    assert f"latency_ms: {worse}" in plain.render(approval).text
    assert "Card: https://cards.example.com/1732" in plain.render(approval).text
    assert worse in plain.render_letter(approval).html
    assert f"latency_ms {worse}" in terminal.question_text(approval)
    assert table_of(plain.render_webhook(approval)["blocks"])[2][0] == "latency_ms"


def test_show_says_what_the_answer_is_bound_to_or_that_nothing_was_recorded() -> None:
    """Parameters, artifacts and the hash of the question; a record without evidence is never shown as fine."""
    assert "evidence   nothing was recorded" in terminal.shown(asks(None), now=NOW)
    shown = terminal.shown(asks(EVIDENCE), now=NOW)
    assert "parameter  learning_rate = 0.003" in shown
    assert "code       code 4f2c1d9, no local changes" in shown
    assert "question   SHA-256 " in shown


def test_what_a_metric_says_can_neither_ring_nor_break_out() -> None:
    """Names and values are text of the flow's: no mention, no escape sequence, no broken table."""
    hostile = Metric(name="<!channel> *x*", value="\x1b[31m<@U0BOB>\n|`")
    found = Evidence(metrics=(hostile,), parameters={"<!here>": "`"}, baseline=replace(BASELINE, parameters={}))
    rendered = single.render(asks(found), now=NOW)
    assert complaints_about_blocks(rendered.blocks) == []
    assert "<!channel>" not in rendered.text
    assert "<!here>" not in context_of(rendered.blocks)
    assert "\x1b" not in terminal.question_text(asks(found))


def test_many_shards_share_one_table_with_a_row_each_the_worst_first() -> None:
    """Of six shards the five worst are shown, beside each other, metric by metric."""
    members = [_shard(number, value) for number, value in enumerate((0.93, 0.2, 0.95, 0.5, 0.94, 0.1))]
    blocks = batch.render(batch.Batch(id="b", pathspec="F/1/s", members=members), now=NOW).blocks
    assert table_of(blocks) == [
        ["shard", "accuracy"],
        ["region 5", "10.0% (−82.9 points, worse)"],
        ["region 1", "20.0% (−72.9 points, worse)"],
        ["region 3", "50.0% (−42.9 points, worse)"],
        ["region 0", "93.0% (+0.1 points, better)"],
        ["region 4", "94.0% (+1.1 points, better)"],
    ]
    assert "The 5 worst of 6, worst first · Compared with" in context_of(blocks)
    assert complaints_about_blocks(blocks) == []


def _shard(number: int, accuracy: float) -> Approval:
    found = replace(EVIDENCE, metrics=(replace(METRICS[0], value=accuracy),))
    approval = make_approval(pathspec(task=str(number)))
    asked: Question = replace(
        approval.question, evidence=found, shard=Shard(place=(number,), value=f"region {number}"), message="Deploy?"
    )
    return replace(approval, question=asked)
