"""``hitl-bot doctor`` at the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from hitl_bot.cli import cli
from hitl_bot.doctor import examine
from hitl_bot.doctor.checks import Finding, Health
from hitl_bot.keys import PrivateKey
from hitl_bot.manifest import Files, HistoryAccess, app_manifest
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Driver
from hitl_bot.settings import Mode, Settings


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Settings:
    return settings_for(sandbox, tmp_path)


def settings_for(sandbox: Sandbox, tmp_path: Path) -> Settings:
    return Settings(
        root=str(tmp_path / "records"),
        slack_bot_token=sandbox.bot_token,
        slack_app_token=sandbox.app_token,
        slack_api_url=sandbox.api_url,
        slack_channel="#ml-approvals",
    )


def but(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


def found(settings: Settings, check: str) -> Finding:
    (finding,) = [one for one in examine(settings) if one.check == check]
    return finding


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """The same settings as variables, for the command."""
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    for name, value in settings.model_dump(mode="python", exclude_none=True).items():
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else getattr(value, "value", value)
        monkeypatch.setenv(f"METAFLOW_HITL_{name.upper()}", str(text))
    return monkeypatch


def test_all_is_well(settings: Settings) -> None:
    """With everything in place every check is good and needs no mending. Without a cluster, what that means is said."""
    *findings, keys, policy, cluster = examine(settings)
    assert [finding.check for finding in findings] == ["bot token", "scopes", "app token", "channel", "store", "clock"]
    assert (keys.check, keys.health) == ("keys", Health.UNKNOWN)
    assert "open mode: no one vouches" in keys.detail
    assert (policy.check, policy.health) == ("policy", Health.GOOD)
    assert {finding.health for finding in findings} == {Health.GOOD}
    assert {finding.fix for finding in [*findings, cluster]} == {""}
    assert (cluster.check, cluster.health) == ("cluster", Health.UNKNOWN)
    assert "runs without Argo still work" in cluster.detail


def test_the_keys_are_said(settings: Settings) -> None:
    """In the sealed mode the public key is there to copy; keys that can't work are bad, and no private one is shown."""
    key = PrivateKey.new()
    found = {one.check: one for one in examine(but(settings, signing_key=SecretStr(key.text)))}["keys"]
    assert found.health is Health.GOOD
    assert str(key.public_key) in found.detail
    for wrong in (
        but(settings, public_keys=str(key.public_key)),
        but(settings, signing_key=SecretStr(key.text[:-8])),
        but(settings, signing_key=SecretStr(key.text), public_keys="nonsense"),
    ):
        found = {one.check: one for one in examine(wrong)}["keys"]
        assert found.health is Health.BAD
        assert key.text[-20:] not in found.detail


def test_the_command_ends_with_0_or_1(environment: pytest.MonkeyPatch) -> None:
    """A line for each check; 0 if all is well, 1 if anything is bad, with what to do below it."""
    good = CliRunner().invoke(cli, ["doctor"])
    assert good.exit_code == 0, good.output
    assert good.output.count("✓") == 7
    environment.setenv("METAFLOW_HITL_SLACK_CHANNEL", "#nowhere")
    bad = CliRunner().invoke(cli, ["doctor"])
    assert bad.exit_code == 1
    assert "✗ channel" in bad.output
    assert "\x1b[" not in bad.output  # no colours where nobody sees them


def test_the_command_speaks_json(environment: pytest.MonkeyPatch) -> None:
    """The JSON has the same findings, for a machine to read."""
    environment.setenv("METAFLOW_HITL_SLACK_CHANNEL", "#old")
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    findings = {one["check"]: one for one in json.loads(result.output)}
    assert result.exit_code == 1
    assert findings["channel"]["health"] == "bad"
    assert findings["store"]["health"] == "good"


def test_a_terminal_without_the_signs_gets_words(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the output can't carry a tick, the line says ok."""
    output = CliRunner(charset="ascii").invoke(cli, ["doctor"]).output
    assert output.count("ok ") == 7


def test_nothing_is_set() -> None:
    """Without settings each check says what to set; nothing is tried."""
    findings = {one.check: one for one in examine(Settings(slack_api_url="http://127.0.0.1:9/api/"))}
    assert {name for name, one in findings.items() if one.health is Health.BAD} == {"bot token", "app token", "store"}
    assert "METAFLOW_HITL_SLACK_BOT_TOKEN is not set" in findings["bot token"].detail
    assert findings["scopes"].health is Health.UNKNOWN


def test_a_plan_without_user_groups(settings: Settings, sandbox: Sandbox) -> None:
    """On Slack's free plan nobody is in a group, which is said before a question waits for one; it is no fault."""
    Control(sandbox.url).put_team(plan="free")
    groups = found(settings, "groups")
    assert (groups.health, groups.fix) == (Health.UNKNOWN, "")
    assert "free plan has no user groups" in groups.detail


POLICY = """
rules:
- {name: ordinary, match: {flow: Small*}, deciders: [alice@example.com]}
- {name: production, approvers: [{group: "@night-shift"}], deciders: ["@ml-leads", alice@example.com]}
- {name: partners, outsiders: [S0PARTNERS]}
"""


@pytest.mark.parametrize(
    ("plan", "said", "unsaid"),
    [
        (
            "free",
            ("free plan", "@night-shift (rule production", "@ml-leads (rule production", "S0PARTNERS (rule partners"),
            ("alice",),
        ),
        ("paid", ("@night-shift (rule production", "S0PARTNERS (rule partners"), ("alice", "@ml-leads", "free plan")),
    ],
)
def test_groups_of_the_policy_that_nobody_can_be_in(
    settings: Settings, sandbox: Sandbox, tmp_path: Path, plan: str, said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    """On a plan without groups, or where a group isn't there, each group of the policy is bad, with its rule."""
    Control(sandbox.url).put_team(plan=plan)
    (tmp_path / "policy.yaml").write_text(POLICY)
    groups = found(but(settings, policy=tmp_path / "policy.yaml"), "groups")
    assert groups.health is Health.BAD
    assert all(one in groups.detail for one in said), groups.detail
    assert not any(one in groups.detail for one in unsaid), groups.detail
    assert "email address or member ID" in groups.fix


def test_a_wrong_bot_token(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    """A token that Slack does not know is bad, and what depends on it is not guessed at."""
    wrong = Settings(**{**settings_for(sandbox, tmp_path).model_dump(), "slack_bot_token": "xoxb-wrong"})
    findings = {one.check: one for one in examine(wrong)}
    assert findings["bot token"].health is Health.BAD
    assert "invalid_auth" in findings["bot token"].detail
    assert "METAFLOW_HITL_SLACK_BOT_TOKEN" in findings["bot token"].fix
    assert findings["scopes"].health is findings["channel"].health is Health.UNKNOWN
    assert findings["app token"].health is Health.GOOD


def test_a_wrong_app_token(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    """An app-level token that opens no connection is bad; the fix names its scope."""
    wrong = Settings(**{**settings_for(sandbox, tmp_path).model_dump(), "slack_app_token": "xapp-wrong"})
    finding = found(wrong, "app token")
    assert finding.health is Health.BAD
    assert "connections:write" in finding.fix


def test_http_takes_the_secret_in_place_of_the_app_token(settings: Settings) -> None:
    """Where Slack calls the bot, the signing secret is looked for, and no app-level token."""
    findings = {one.check: one for one in examine(but(settings, mode=Mode.HTTP, slack_app_token=None))}
    assert "app token" not in findings
    assert findings["secret"].health is Health.BAD
    assert "METAFLOW_HITL_SLACK_SIGNING_SECRET" in findings["secret"].detail
    secret = SecretStr("8f742231b10e8888abcd99yyyzzz85a5")
    assert found(but(settings, mode=Mode.HTTP, slack_signing_secret=secret), "secret").health is Health.GOOD


def test_slack_is_out_of_reach(settings: Settings) -> None:
    """If nothing answers, the fix is on the way there, not in the token."""
    finding = found(but(settings, slack_api_url="http://127.0.0.1:9/api/"), "bot token")
    assert finding.health is Health.BAD
    assert "METAFLOW_HITL_SLACK_API_URL" in finding.fix


def test_scopes_that_can_be_left_out_are_no_fault(tmp_path: Path) -> None:
    """What their absence costs is said."""
    manifest = app_manifest(history=HistoryAccess.NOT_READ, files=Files.NOT_UPLOADED)
    with Sandbox(manifest=manifest) as sandbox:
        finding = found(settings_for(sandbox, tmp_path), "scopes")
    assert finding.health is Health.GOOD
    assert "without *:history a question may be asked twice" in finding.detail
    assert "without files:write questions have no pictures" in finding.detail


def test_a_missing_scope_is_named_with_its_reason(tmp_path: Path) -> None:
    """Each scope that the token lacks is named, with what the bot wants it for."""
    manifest = app_manifest()
    manifest["oauth_config"]["scopes"]["bot"].remove("usergroups:read")
    with Sandbox(manifest=manifest) as sandbox:
        finding = found(settings_for(sandbox, tmp_path), "scopes")
    assert finding.health is Health.BAD
    assert "usergroups:read (approvers that are named by user group)" in finding.detail
    assert "hitl-bot manifest" in finding.fix


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("#nowhere", "can't see a channel #nowhere"),
        ("C0NOWHERE", "can't see a channel C0NOWHERE"),
        ("#random", "is not in #random"),
        ("C0RANDOM", "is not in #random"),
        ("#old", "#old is archived"),
    ],
)
def test_a_channel_where_the_bot_cant_ask(settings: Settings, channel: str, words: str) -> None:
    """A channel that is missing, archived or without the bot is bad, and the fix says what to do there."""
    finding = found(but(settings, slack_channel=channel), "channel")
    assert finding.health is Health.BAD
    assert words in finding.detail
    assert "METAFLOW_HITL_SLACK_CHANNEL" in finding.fix


@pytest.mark.parametrize("channel", ["#ml-approvals", "ml-approvals", "C0APPROVALS"])
def test_a_channel_by_name_or_id(settings: Settings, channel: str) -> None:
    """The channel may be written as people and as Slack write it."""
    assert found(but(settings, slack_channel=channel), "channel").health is Health.GOOD


def test_no_channel_is_no_fault(settings: Settings) -> None:
    """Without a default channel every step has to name its own; that is said and is not bad."""
    assert found(but(settings, slack_channel=None), "channel").health is Health.UNKNOWN


def test_a_channel_that_slack_does_not_show(settings: Settings, sandbox: Sandbox) -> None:
    """If Slack fails at the channel, that is reported and the other checks go on."""
    control: Control = Driver(sandbox.url).control
    control.fault("conversations.list", error="fatal_error")
    findings = {one.check: one for one in examine(settings)}
    assert findings["channel"].health is Health.BAD
    assert findings["store"].health is Health.GOOD


def test_a_store_that_cant_be_written(settings: Settings, tmp_path: Path) -> None:
    """A root below a file can't hold records."""
    (tmp_path / "file").write_text("")
    finding = found(but(settings, root=str(tmp_path / "file" / "records")), "store")
    assert finding.health is Health.BAD
    assert "METAFLOW_HITL_ROOT" in finding.fix


def test_a_root_that_names_no_store(settings: Settings) -> None:
    """A scheme that no store has is refused with those that there are."""
    finding = found(but(settings, root="gs://bucket"), "store")
    assert finding.health is Health.BAD
    assert "s3://bucket/prefix" in finding.detail
