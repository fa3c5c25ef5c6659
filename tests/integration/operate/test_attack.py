"""``hitl-bot doctor --attack``, with the rights of a run on a real S3 server, and on a machine without any bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hitl_bot.cli import cli
from hitl_bot.doctor.attack import attack
from hitl_bot.doctor.checks import Health
from hitl_bot.keys import PrivateKey
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.bucket import Role
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.contract.test_rights import accounts, give
from tests.fixtures.approvals import approval
from tests.fixtures.s3 import S3

__all__ = ["accounts"]  # a fixture
KEY = PrivateKey(bytes(32))


def test_without_bounds_everything_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the open mode, with the bot's own rights, each line is red and says what to do; nothing is left behind."""
    store = DirectoryStore(tmp_path / "hitl")
    Ledger(store).begin(approval())
    (tmp_path / "policy.yaml").write_text("rules: []")
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("METAFLOW_HITL_ROOT", str(tmp_path / "hitl"))
    monkeypatch.setenv("METAFLOW_HITL_POLICY", str(tmp_path / "policy.yaml"))
    monkeypatch.setenv("METAFLOW_HITL_SIGNING_KEY", KEY.text)
    before = {key: store.read(key) for key in store.list("")}
    result = CliRunner().invoke(cli, ["doctor", "--attack", "--json"])
    assert result.exit_code == 1, result.output
    found = [one for one in json.loads(result.output) if one["health"] == "bad"]
    assert [one["check"] for one in found] == ["forgery", "signing key", "bucket", "policy"]
    assert all(one["fix"] for one in found)
    assert "approvals/, open/, changes/" in found[2]["detail"]
    assert {key: store.read(key) for key in store.list("")} == before


def test_a_run_with_the_page_s_rights_can_do_nothing(
    s3_versitygw: S3, accounts: dict[Role, tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rights of docs/bucket.md and the bot's public key nothing is red."""
    owner = s3_versitygw.store()
    Ledger(owner).begin(approval())
    give("sealed", s3_versitygw, accounts)
    before = {key: owner.read(key) for key in owner.list("")}
    name, _ = accounts[Role.RUN]
    as_run = {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": name}
    for variable, value in {**s3_versitygw.environment(), **as_run}.items():
        monkeypatch.setenv(variable, value)
    found = list(attack(Settings(root=s3_versitygw.root, public_keys=str(KEY.public_key))))
    assert [one for one in found if one.health is Health.BAD] == []
    (refused,) = [one for one in found if one.check == "bucket" and one.health is Health.GOOD]
    assert "approvals/" in refused.detail
    assert {key: owner.read(key) for key in owner.list("")} == before
