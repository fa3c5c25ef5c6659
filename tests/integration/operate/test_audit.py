"""``hitl-bot audit``: exit codes and lines for a scheduled job, on a copy of the records and without a bot."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from hitl_bot.audit import NOT_WHOLE
from hitl_bot.cli import cli
from hitl_bot.keys import PrivateKey, SigningKeys
from metaflow_extensions.hitl.approvals.auditing import COLUMNS
from metaflow_extensions.hitl.approvals.record import Answer, Verdict, Where
from metaflow_extensions.hitl.approvals.sealed import Trust
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.fixtures.approvals import BOB, Bench

KEY = PrivateKey(bytes(32))


ROOT = "s3://my-bucket/metaflow/hitl"
PAGE = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
TYPED = [line for line in PAGE.splitlines() if line.startswith("hitl-bot audit ")]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of signed records, one of them decided; the options that it is checked with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("METAFLOW_HITL_ROOT", raising=False)
    bench = Bench(trust=Trust.of((), SigningKeys([KEY])))
    bench.store.url = ROOT
    asked = bench.ask(message="Deploy?")
    answer = Answer(verdict=Verdict.APPROVE, reason="looks good")
    bench.cases.decide(asked.id, answer, who=BOB, where=Where.BUTTON)
    store = DirectoryStore(tmp_path / "copy")
    for key in bench.store.list(""):
        store.create(key, bench.store.read(key))
    (tmp_path / "keys.txt").write_text(f"{KEY.public_key}\n")
    where = ["--root", str(tmp_path / "copy"), "--copy-of", ROOT]
    return tmp_path / "copy", [*where, "--public-keys", "@keys.txt"], asked.id


def run(*arguments: str):
    return CliRunner().invoke(cli, ["audit", *arguments])


def test_verify_ends_with_0_or_3(copy):
    """Whole records end with 0 and name their key; a changed byte ends with 3 and names the object."""
    folder, options, approval_id = copy
    whole = run("verify", *options)
    assert whole.exit_code == 0, whole.output
    assert f"the bot's key {KEY.public_key.id}" in whole.output
    assert whole.output.splitlines()[-1] == "1 record was checked: no problems were found."
    first = folder / "approvals" / approval_id / "00001.json"
    first.write_bytes(first.read_bytes().replace(b"Deploy?", b"Delete?"))
    bad = run("verify", "--quiet", *options)
    assert bad.exit_code == NOT_WHOLE
    assert f"approvals/{approval_id}/00001.json" in bad.output


def test_verify_says_what_was_not_checked(copy):
    """Without the public key nothing is vouched for, and the summary says so."""
    _, options, _ = copy
    unchecked = run("verify", *options[:-2])
    assert unchecked.exit_code == 0
    assert unchecked.output.endswith("No signature was checked, so nobody vouches for this; give --public-keys.\n")


def test_export_writes_lines(copy):
    """One JSON object, or one row below the names of the columns, for each decision of the span."""
    _, options, approval_id = copy
    (line,) = run("export", *options).stdout.splitlines()
    assert json.loads(line)["reason"] == "looks good"
    (row,) = csv.DictReader(run("export", "--format", "csv", *options).stdout.splitlines())
    assert (row["id"], row["question"], row["vouched_by"]) == (approval_id, "Deploy?", KEY.public_key.id)
    assert run("export", "--since", "2026-03-03", *options).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify"], "METAFLOW_HITL_ROOT is not set"),
        (["verify", "--root", "x", "--public-keys", "x"], "--public-keys: 'x' is not a public key"),
        (["verify", "--root", "x", "--public-keys", "@nowhere"], "nowhere can't be read"),
        (["verify", "--root", "x", "--since", "soon"], "--since"),
    ],
)
def test_what_can_not_be_checked_is_an_error(arguments, said, tmp_path, monkeypatch):
    """Bad options are named; nothing is reported as whole."""
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("METAFLOW_HITL_ROOT", raising=False)
    done = run(*arguments)
    assert done.exit_code == 1
    assert said in str(done.exception)


def test_nothing_is_written(copy):
    """The files are the same before and after."""
    folder, options, _ = copy
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    run("verify", *options)
    run("export", *options)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


@pytest.mark.parametrize("line", TYPED)
def test_every_command_of_the_page_runs(line, copy, monkeypatch):
    """On records that nobody signed for the place where they are, too: the open mode."""
    folder, _, _ = copy
    monkeypatch.setenv("METAFLOW_HITL_ROOT", str(folder))
    arguments = shlex.split(line.partition(" > ")[0])[2:]
    assert run(*arguments).exit_code == 0


def test_the_page_names_every_column():
    """What an export holds is on the page, in order."""
    columns = PAGE.split("One line for each decision: ")[1].split(". A record")[0]
    assert tuple(re.findall(r"`(\w+)`", columns)) == COLUMNS
