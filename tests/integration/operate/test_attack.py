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
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.approvals.bucket_map import Role
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.cluster.control_plane import Cluster
from tests.cluster.gated import gated
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
    assert [one["check"] for one in found] == ["forgery", "typed name", "signing key", "bucket", "bucket", "policy"]
    assert all(one["fix"] for one in found)
    assert [one["detail"][:19] for one in found[3:5]] == ["can be written from", "can be removed from"]
    assert "approvals/" in found[3]["detail"]
    assert "approvals/, open/, changes/" in found[4]["detail"]
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
    written, removed = [one.detail for one in found if one.check == "bucket" and one.health is Health.GOOD]
    assert written.startswith("can't be written from here: approvals/")
    assert removed.startswith("can't be removed from here: approvals/, open/, changes/")
    assert {key: owner.read(key) for key in owner.list("")} == before


@pytest.mark.parametrize("rights", [(), ("workflows",), ("workflows", "workflowtemplates")])
def test_what_the_cluster_would_let_somebody_do_is_tried(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, rights: tuple[str, ...]
) -> None:
    """Each right that an account has is red and every other is green, with a workflow that nothing happens to."""
    waiting = gated(cluster, namespace)
    account = cluster.service_account(namespace, "somebody")
    for kind in rights:
        cluster.allow(account, kind, ["patch"])
    before = waiting.read()
    config = str(cluster.kubeconfig(account, namespace=namespace))
    monkeypatch.setenv("KUBECONFIG", config)
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config
    )  # the client reads it once
    found = [one for one in attack(Settings(argo_namespace=namespace)) if one.check == "cluster"]
    red = [one.detail.partition(" from here")[0] for one in found if one.health is Health.BAD]
    (green,) = [one.detail for one in found if one.health is Health.GOOD]
    assert red == [f"may patch {kind}" for kind in rights]
    assert "get secrets" in green
    assert ("patch workflows," in green) is (rights == ())
    assert waiting.read() == before


def test_what_is_configured_of_slack_is_tried(sandbox: Sandbox) -> None:
    """Whoever has the bot's tokens can write as the bot, take its clicks, and forge requests; nothing is posted."""
    settings = Settings(
        slack_bot_token=sandbox.bot_token,
        slack_app_token=sandbox.app_token,
        slack_signing_secret="s" * 32,
        slack_api_url=sandbox.api_url,
    )
    found = [one for one in attack(settings) if one.check == "slack"]
    assert [one.health for one in found] == [Health.BAD] * 3
    assert [one.fix.split()[1] for one in found] == [
        f"METAFLOW_HITL_SLACK_{name}" for name in ("BOT_TOKEN", "APP_TOKEN", "SIGNING_SECRET")
    ]
    assert {call["method"] for call in Control(sandbox.url).calls()} == {"auth.test"}
    (none,) = [one for one in attack(Settings()) if one.check == "slack"]
    assert none.health is Health.GOOD
