"""docs/api.md, docs/scripts.md and docs/testing.md are true: what they show runs, and their tables are complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.record import State, Where
from metaflow_extensions.hitl.approvals.schema import fields, normalise
from metaflow_extensions.hitl.commands import looking
from metaflow_extensions.hitl.commands.context import ExitCode
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.slack import FORM
from metaflow_extensions.hitl.stores import open_store
from metaflow_hitl import Approvals
from metaflow_hitl.ports import Notifier
from tests.fixtures.approvals import ALICE, Bench, approval, approving, pathspec, rejecting
from tests.fixtures.flows import REPOSITORY, clean_environment

DOCS = REPOSITORY / "docs"
SCHEMA = normalise({"target": "str"}, FORM)


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


@pytest.fixture
def world(tmp_path):
    """A store in a directory, in the place of the bucket that the pages name."""
    return Bench(store=open_store(str(tmp_path / "records")), check_input=validate)


def shell(script, world, folder, **environment):
    """Run a script as CI does, with the installed commands."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    root = {"METAFLOW_HITL_ROOT": world.store.url, "METAFLOW_HOME": str(folder)}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=clean_environment(PATH=path, **{**environment, **root}),
        capture_output=True,
        text=True,
        check=False,
    )


# docs/scripts.md


def test_the_exit_codes_of_the_page_are_those_of_the_commands():
    """Each code, with its name."""
    table = re.findall(r"^\| (\d+) \| ([\w ]+) \|", page("scripts.md"), re.MULTILINE)
    assert {int(code): name.upper().replace(" ", "_") for code, name in table} == {
        int(code): code.name for code in ExitCode
    }


def test_every_name_of_the_json_is_on_the_page():
    """Of an approval, its decision and a field."""
    decided = looking.approval_document(approval(schema=SCHEMA))
    decision = looking.approval_document(transitions.decide(approval(), approving()))["decision"]
    (field,) = map(looking.field_document, fields(SCHEMA))
    text = page("scripts.md").split("## JSON")[1].split("\n## ")[0]
    assert [name for name in [*decided, *decision, *field] if f"`{name}`" not in text] == []
    assert [state.value for state in State if f"`{state.value}`" not in text] == []


def test_the_scripts_of_the_page_run(world, tmp_path):
    """Approving all of a run but one, one with an input, listing IDs, and going on by the exit code."""
    many = [world.ask(pathspec(task=str(task))) for task in range(3)]
    left_out = world.ask(pathspec(task="9"), schema=SCHEMA)
    _, approve, case, ids = blocks("scripts.md", "sh")
    done = shell(ids, world, tmp_path)
    assert set(done.stdout.split()) == {one.id for one in (*many, left_out)}
    names = {"RUN": "17", "ID": left_out.id}
    done = shell(approve, world, tmp_path, **names)
    assert done.returncode == 0, done.stderr
    assert {world.ledger.read(one.id).approval.state for one in (*many, left_out)} == {State.APPROVED}
    assert shell(f"set +e\n{case}", world, tmp_path, **names).stdout.endswith("Approved.\n")


def test_the_workflow_waits_and_goes_on_with_the_input(world, tmp_path):
    """The steps that this project has a part in run as they are written; a rejection fails the job."""
    (text,) = blocks("scripts.md", "yaml")
    (job,) = yaml.safe_load(text)["jobs"].values()
    wait, release = (step["run"] for step in job["steps"] if "name" in step)
    world.clock.now = datetime.now(timezone.utc)  # of a run, answers of the last week are found
    asked = world.ask(schema=SCHEMA)
    world.cases.decide(asked.id, approving(input={"target": "production"}), who=ALICE, where=Where.FORM)
    waited = shell(wait, world, tmp_path, RUN=asked.pathspec.run)
    assert waited.returncode == 0, waited.stderr
    assert shell(release, world, tmp_path).stdout == "Releasing to production\n"
    refused = world.ask(pathspec(run="18"))
    world.cases.decide(refused.id, rejecting(), who=ALICE, where=Where.FORM)
    assert shell(wait, world, tmp_path, RUN="18").returncode == ExitCode.REJECTED


# docs/testing.md


def test_the_tests_of_the_page_pass(tmp_path):
    """A test suite of these files, and the script without pytest."""
    conftest, flow, tests, script = blocks("testing.md", "python")
    for name, text in {"conftest.py": conftest, "train_flow.py": flow, "test_train_flow.py": tests}.items():
        (tmp_path / name).write_text(text)
    environment = clean_environment(METAFLOW_HOME=str(tmp_path), PYTHONPATH=str(REPOSITORY))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "0\n", done.stderr


# docs/api.md


def test_the_first_example_says_what_waits(world, monkeypatch, tmp_path, capsys):
    """With a store of ours in the place of the bucket."""
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    example = blocks("api.md", "python")[0].replace("s3://my-bucket/metaflow/hitl", world.store.url)
    waiting = world.ask()
    exec(compile(example, "api.md", "exec"), {})  # noqa: S102 - our own page
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{waiting.id} {waiting.question.message}"
    assert "No approval deploy-7f3k2m9qx4" in said[1]


def test_the_methods_of_the_page_are_those_of_the_class():
    """All public ones, with their arguments by name."""
    table = page("api.md").split("| method of")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)\(", table))
    assert named == {one for one in vars(Approvals) if not one.startswith("_")} - {"close", "url", "who"}


def test_a_bot_of_your_own_asks_and_takes_answers(world, monkeypatch, tmp_path):
    """Each question once; an answer that does not fit is said in words, one that does is recorded with the name."""
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    names = {}
    exec(compile(blocks("api.md", "python")[1], "api.md", "exec"), names)  # noqa: S102 - our own page
    said = []
    bot = names["Bot"](world.store.url, said.append)
    asked = world.ask(schema=SCHEMA)
    bot.ask()
    bot.ask()
    assert said == [f"{asked.question.message} ({asked.id}, asks for: target)"]
    bot.hear("carol", f"approve {asked.id} where=moon")
    assert "where is not a field" in said[-1]
    bot.hear("carol", f"approve {asked.id} target=staging")
    assert said[-1] == f"{asked.id}: approved"
    decision = world.ledger.read(asked.id).approval.decision
    assert (decision.by.name, decision.input) == ("carol", {"target": "staging"})
    named = world.ask(pathspec(run="2"), approvers=("U0ALICE",))
    bot.hear("carol", f"reject {named.id} not today")
    assert said[-1] == "carol, please confirm this in Slack."


def test_a_notifier_of_another_package_is_one(world, capsys):
    """It has what the port promises, and is asked as any other."""
    names = {}
    exec(compile(blocks("api.md", "python")[2], "api.md", "exec"), names)  # noqa: S102 - our own page
    notifier: Notifier = names["notifier"]({"METAFLOW_HITL_TICKET_PROJECT": "ML"})
    world.cases.posting.notifiers = {"ticket": notifier}
    asked = world.ask(notifiers=("ticket",))
    assert capsys.readouterr().out == f"[ML] {asked.question.message}\n"
