"""`hitl list`, `show` and `verify` from the store alone."""

from __future__ import annotations

import re
from datetime import date

import pytest

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.question import PolicyRule, RuleMode, Shard
from metaflow_extensions.hitl.approvals.record import Where
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.commands.context import ExitCode
from metaflow_extensions.hitl.slack import FORM
from tests.fixtures.approvals import ALICE, Bench, approving, pathspec, rejecting

SCHEMA = normalise(
    {
        "target": {"type": "choice", "choices": ["staging", "production"]},
        "share": {"type": "int", "min": 1, "max": 100, "default": 10, "help": "Percent of the traffic."},
        "notes": {"type": "str", "optional": True},
    },
    FORM,
)


def reject(bench: Bench, approval_id: str) -> None:
    said = rejecting()
    bench.cases.decide(approval_id, said, who=ALICE, where=Where.BUTTON)


def test_list_shows_what_waits_of_every_flow(terminal):
    """Without a flow's file: one line for each approval, of any flow, and `--flow`, `--run` and `--step` choose."""
    first = terminal.bench.ask(pathspec(flow="TrainFlow", run="17"))
    second = terminal.bench.ask(pathspec(flow="ScoreFlow", run="18", step="publish"))
    assert terminal.hitl("list") == 0
    assert first.id in terminal.out
    assert second.id in terminal.out
    for chosen in (("--flow", "ScoreFlow"), ("--run", "18"), ("--step", "publish")):
        assert [one["id"] for one in terminal.json("list", *chosen)] == [second.id]


def test_list_all_shows_who_decided_and_what_was_closed_unanswered(terminal):
    """The newest first; a question that nobody answered before its run ended is there with the reason."""
    answered = terminal.bench.ask(pathspec(run="1"))
    reject(terminal.bench, answered.id)
    terminal.bench.clock.forward(60)
    closed = terminal.bench.ask(pathspec(run="2"))
    terminal.bench.cases.close(terminal.bench.ledger.read(closed.id), "the run was stopped")
    assert terminal.hitl("list") == 0
    assert terminal.out == "Nothing is waiting for an answer.\n"
    assert [(one["id"], one["state"]) for one in terminal.json("list", "--all")] == [
        (closed.id, "closed"),
        (answered.id, "rejected"),
    ]
    terminal.hitl("list", "--all")
    assert "Alice Adams" in terminal.out
    assert "the run was stopped" in terminal.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("list", "Nothing that can be read is waiting for an answer."),
        ("list --all", "Nothing that can be read was asked."),
        ("obligations", "No obligation that can be read is open."),
        ("stats", "What could not be read is not counted:"),
        ("approve --all", "Nothing that can be read waits for an answer there."),
    ],
)
def test_what_can_not_be_read_is_not_denied(terminal, typed, said):
    """Beside a record that can't be read no command says that there is nothing; it says why, and ends with 1."""
    bench = terminal.bench
    asked = bench.ask()
    bench.store.create(f"approvals/{asked.id}/00003.json", b"{")
    bench.store.mark(bucket.owed_key(bucket.Owed(day=date(2030, 1, 1), approval_id=asked.id, number=1)))
    assert terminal.hitl(*typed.split()) == ExitCode.FAILED
    assert said in terminal.out + terminal.err
    assert f"approvals/{asked.id}/00003.json can't be trusted" in terminal.err
    terminal.json(*typed.split())
    assert terminal.code == ExitCode.FAILED


def test_the_others_are_answered_beside_one_that_can_not_be_read(terminal):
    """`approve --all` answers what it can read, names the record that it can't, and ends with 1."""
    good, bad = terminal.bench.ask(pathspec(task="1")), terminal.bench.ask(pathspec(task="2"))
    terminal.bench.store.create(f"approvals/{bad.id}/00003.json", b"{")
    assert terminal.hitl("approve", "--all") == ExitCode.FAILED
    assert terminal.bench.ledger.read(good.id).approval.lets_run
    assert bad.id in terminal.err


def test_list_has_one_row_for_a_foreach(terminal):
    """How many of all shards it is about, and how they stand; `--shards` and `--json` have each of them."""
    alone = terminal.bench.ask(pathspec(run="9"))
    asked = [
        terminal.bench.ask(
            pathspec(run="17", task=str(task)),
            shard=Shard(place=(task,), value=f"shard {task}", counts=(60,)),
            message=f"Deploy shard {task}?",
        )
        for task in range(4)
    ]
    terminal.hitl("list")
    rows = {cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line) for line in terminal.out.splitlines()[1:])}
    assert set(rows) == {alone.id, "4 of 60 shards"}
    state, place, *_, question = rows["4 of 60 shards"]
    assert (state, place) == ("pending", "TrainFlow/deploy/17")
    assert re.fullmatch(r"Deploy shard \d\? and others", question)
    everything = {alone.id, *(one.id for one in asked)}
    assert {one["id"] for one in terminal.json("list")} == everything
    terminal.hitl("list", "--shards")
    assert {line.split()[0] for line in terminal.out.splitlines()[1:]} == everything
    reject(terminal.bench, asked[0].id)
    terminal.hitl("list", "--all")
    assert "3 pending, 1 rejected" in terminal.out


def test_show_lists_fields_with_types_choices_bounds_and_defaults(terminal):
    """What the form asks for is on the terminal, and word for word in the JSON."""
    asked = terminal.bench.ask(schema=SCHEMA)
    terminal.hitl("show", asked.id)
    rows = [line.split(maxsplit=1)[1] for line in terminal.out.splitlines() if line.startswith("  field")]
    assert rows == [
        "target: one of staging, production",
        "share: a whole number from 1 to 100; default 10; Percent of the traffic.",
        "notes: text; optional",
    ]
    target, share, notes = terminal.json("show", asked.id)["fields"]
    assert (target["type"], target["choices"], target["required"]) == ("choice", ["staging", "production"], True)
    assert (share["type"], share["min"], share["max"], share["default"]) == ("int", 1, 100, 10)
    assert (notes["type"], notes["required"]) == ("str", False)


def test_show_offers_the_commands_that_work_for_this_gate_alone(terminal):
    """No request for changes where the step takes none."""
    plain = terminal.bench.ask(pathspec(run="1"))
    changing = terminal.bench.ask(pathspec(run="2"), allow_changes=True)
    assert list(terminal.json("show", plain.id)["commands"]) == ["approve", "reject"]
    assert list(terminal.json("show", changing.id)["commands"]) == ["approve", "reject", "changes"]
    assert terminal.json("show", plain.id)["commands"]["approve"] == f"hitl approve {plain.id}"
    reject(terminal.bench, plain.id)
    assert terminal.json("show", plain.id)["commands"] == {}


def test_a_command_that_is_shown_names_the_root_that_was_given(terminal):
    """What `show --root` prints can be pasted."""
    asked = terminal.bench.ask()
    root = terminal.bench.store.url
    shown = terminal.json("--root", root, "show", asked.id)
    assert shown["commands"]["reject"] == f"hitl --root {root} reject {asked.id} --reason ..."
    assert terminal.json("show", asked.id, "--root", root)["commands"] == shown["commands"]


def test_an_approval_has_exactly_these_keys(terminal):
    """A script relies on their names: a new one is added here and to docs/scripts.md, and none goes away."""
    asked = terminal.bench.ask()
    listed, shown = terminal.json("list")[0], terminal.json("show", asked.id)
    assert list(listed) == [
        *("id", "state", "pathspec", "flow", "run", "step", "task", "message", "requested_at", "requested_by"),
        *("deadline", "approvers", "fields", "url", "decision", "obligations", "closed", "vouched_by", "record"),
    ]
    assert list(shown) == [*listed, "commands", "trail"]


def test_json_tells_all_that_the_record_tells(terminal):
    """Every field of the record is below `record`; what people look for has a name of its own above it."""
    asked = terminal.bench.ask(approvers=("U0ALICE", "@ml-leads"), timeout=3600, links={"Card": "https://c.example/1"})
    shown = terminal.json("show", asked.id)
    record = shown["record"]
    assert record["question"]["links"] == {"Card": "https://c.example/1"}
    assert record["question"]["timeout"] == 3600
    assert record["requester"]["id"] == "rita"
    assert shown["approvers"] == ["U0ALICE", "@ml-leads"]
    assert [one["event"] for one in shown["trail"]] == ["requested", "posted"]
    assert terminal.json("list")[0]["record"] == record


def test_verify_proves_the_record_from_the_store_alone(terminal):
    """A record that was changed afterwards is found, and ends with code 1."""
    asked = terminal.bench.ask()
    assert terminal.hitl("verify", asked.id) == 0
    assert f"{asked.id} is intact" in terminal.out
    file = terminal.bench.store._root / "approvals" / asked.id / "00001.json"
    file.write_bytes(file.read_bytes().replace(b"93.1%", b"99.9%"))
    assert terminal.hitl("verify", asked.id) == 1
    assert "can't be trusted" in terminal.err
    assert f"approvals/{asked.id}/00001.json: the hash at its end is not that of its bytes" in terminal.err


def test_verify_says_who_vouches_for_each_version(terminal):
    """In the open mode nobody does, or there is a name that is only claimed; JSON has the same."""
    asked = terminal.bench.ask()
    assert terminal.hitl("verify", asked.id) == 0
    assert "requested, vouched for by only a claim (rita)" in terminal.out
    assert "posted, vouched for by nobody" in terminal.out
    checked = terminal.json("verify", asked.id)
    assert [(one["vouched_by"], one["claimed_by"]) for one in checked["trail"]] == [(None, "rita"), (None, None)]
    assert checked["faults"] == []


def test_verify_names_a_marker_that_is_missing(terminal):
    """A record that lists leave out is not whole."""
    asked = terminal.bench.ask()
    terminal.bench.store.unmark(f"open/{asked.id}")
    assert terminal.hitl("verify", asked.id) == 1
    assert f"open/{asked.id}: this marker is missing" in terminal.err


def test_without_a_root_the_nearest_datastore_is_looked_at(terminal, monkeypatch, tmp_path):
    """In the folder of a local run nothing has to be set; elsewhere the error says what to give."""
    monkeypatch.delenv("METAFLOW_HITL_ROOT")
    assert terminal.hitl("list") == 1
    assert "--root s3://bucket/prefix" in terminal.err
    (tmp_path / ".metaflow").mkdir()
    asked = Bench(store=type(terminal.bench.store)(tmp_path / ".metaflow" / "hitl")).ask()
    assert [one["id"] for one in terminal.json("list")] == [asked.id]


def test_a_root_in_metaflow_s_configuration_is_found(terminal, monkeypatch, tmp_path):
    """The profile's file counts, and the environment comes before it."""
    monkeypatch.delenv("METAFLOW_HITL_ROOT")
    monkeypatch.setenv("METAFLOW_PROFILE", "work")
    assert terminal.hitl("list") == 1
    assert "METAFLOW_PROFILE is 'work'" in terminal.err
    asked = terminal.bench.ask()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config_work.json").write_text(f'{{"METAFLOW_HITL_ROOT": "{tmp_path}/records"}}')
    assert [one["id"] for one in terminal.json("list")] == [asked.id]


def test_where_the_policy_takes_no_answer_from_a_command_line_none_is_offered(terminal):
    """In place of commands there is why, and where to answer."""
    terminal.bench.policy.rule = PolicyRule(name="production", command_line_counts=False)
    asked = terminal.bench.ask()
    assert terminal.json("show", asked.id)["commands"] == {}
    terminal.hitl("show", asked.id)
    (why,) = [line for line in terminal.out.splitlines() if line.startswith("  not here")]
    assert "the rule “production” of the operator's policy" in why
    assert terminal.hitl("approve", asked.id) == ExitCode.NOT_ALLOWED


def test_stats_rules_names_every_decision_where_a_rule_in_shadow_mode_disagreed(terminal):
    """How often it agreed, and each miss with its ID and what people did; the same in the JSON."""
    for run, (accuracy, says_yes) in enumerate(((0.95, True), (0.5, False), (0.97, False))):
        evidence = Evidence(metrics=(Metric(name="accuracy", value=accuracy),))
        shadow = {"auto_approve": "accuracy > 0.9", "auto_approve_mode": RuleMode.SHADOW, "evidence": evidence}
        asked = terminal.bench.ask(pathspec(run=str(run)), **shadow)
        said = approving() if says_yes else rejecting()
        terminal.bench.cases.decide(asked.id, said, who=ALICE, where=Where.BUTTON)
    assert terminal.hitl("stats", "rules", "--since", "366d") == 0
    assert terminal.out.splitlines() == [
        "TrainFlow / deploy: accuracy > 0.9",
        "  agreed with people 2 of 3 times; would have approved 1 that people did not approve",
        f"    {asked.id}: the rule would have approved it; Alice Adams did not",
    ]
    (score,) = terminal.json("stats", "rules", "--since", "366d")
    assert (score["agreed"], score["compared"], [miss["id"] for miss in score["misses"]]) == (2, 3, [asked.id])
    assert terminal.json("stats", "--since", "366d")[0]["rejected"] == 2
    terminal.hitl("stats", "rules", "--flow", "OtherFlow")
    assert "no rule in shadow mode was compared with people" in terminal.out
