"""The bot's settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hitl_bot.bootstrap import _store
from hitl_bot.settings import LogFormat, Settings, SettingsError, needed, read_settings
from tests.fixtures.engines import utc_now


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that says nothing, and a folder for Metaflow's configuration."""
    for name in list(os.environ):
        if name.startswith(("METAFLOW_", "SLACK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    return monkeypatch


def test_the_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    """Every setting has a variable."""
    for name, value in {
        "ROOT": "s3://bucket/hitl",
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_APP_TOKEN": "xapp-1",
        "SLACK_CHANNEL": "#approvals",
        "SLACK_API_URL": "https://slack.example.com/api",
        "LOG_FORMAT": "JSON",
        "LOG_LEVEL": "warning",
    }.items():
        environment.setenv(f"METAFLOW_HITL_{name}", value)
    settings = read_settings()
    assert settings.root == "s3://bucket/hitl"
    assert needed(settings, "slack_bot_token") == "xoxb-1"
    assert needed(settings, "slack_app_token") == "xapp-1"
    assert settings.slack_channel == "#approvals"
    assert settings.slack_api_url == "https://slack.example.com/api/"
    assert settings.log_format is LogFormat.JSON
    assert settings.log_level.value == "warning"


def test_slacks_own_names_come_last(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SLACK_BOT_TOKEN counts where neither the environment nor Metaflow's configuration has one of ours."""
    environment.setenv("SLACK_BOT_TOKEN", "xoxb-slack")
    environment.setenv("SLACK_APP_TOKEN", "xapp-slack")
    assert needed(read_settings(), "slack_bot_token") == "xoxb-slack"
    assert needed(read_settings(), "slack_app_token") == "xapp-slack"
    (tmp_path / "config.json").write_text(json.dumps({"METAFLOW_HITL_SLACK_BOT_TOKEN": "xoxb-file"}))
    assert needed(read_settings(), "slack_bot_token") == "xoxb-file"
    environment.setenv("METAFLOW_HITL_SLACK_BOT_TOKEN", "xoxb-ours")
    assert needed(read_settings(), "slack_bot_token") == "xoxb-ours"


def test_metaflows_configuration_serves_both(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile's file is read like Metaflow reads it, and the records are below its datastore by default."""
    config = {"METAFLOW_DATASTORE_SYSROOT_S3": "s3://bucket/metaflow/", "METAFLOW_HITL_SLACK_CHANNEL": "#c"}
    (tmp_path / "config_prod.json").write_text(json.dumps(config))
    assert read_settings().root is None
    environment.setenv("METAFLOW_PROFILE", "prod")
    settings = read_settings()
    assert (settings.root, settings.slack_channel) == ("s3://bucket/metaflow/hitl", "#c")


def test_workflows_are_where_metaflow_deploys_them(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The namespace is our setting's, from variable or file; else Metaflow's own for Kubernetes; else argo."""
    assert read_settings().argo_namespace == "argo"
    (tmp_path / "config.json").write_text(json.dumps({"METAFLOW_KUBERNETES_NAMESPACE": "file"}))
    assert read_settings().argo_namespace == "file"
    environment.setenv("METAFLOW_KUBERNETES_NAMESPACE", "variable")
    assert read_settings().argo_namespace == "variable"
    (tmp_path / "config.json").write_text(json.dumps({"METAFLOW_HITL_ARGO_NAMESPACE": "ours-in-file"}))
    assert read_settings().argo_namespace == "ours-in-file"
    environment.setenv("METAFLOW_HITL_ARGO_NAMESPACE", "ours")
    assert read_settings().argo_namespace == "ours"


def test_the_bot_uses_the_s3_server_that_metaflow_uses(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From Metaflow's file or variable; what boto3 itself is told comes first."""
    environment.setenv("METAFLOW_HITL_ROOT", "s3://bucket/hitl")

    def server() -> str:
        return str(_store(read_settings(), utc_now)._client.meta.endpoint_url)

    assert "amazonaws.com" in server()
    (tmp_path / "config.json").write_text(json.dumps({"METAFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:1"}))
    assert server() == "http://127.0.0.1:1"
    environment.setenv("METAFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:2")
    assert server() == "http://127.0.0.1:2"
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:3")
    assert server() == "http://127.0.0.1:3"


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_a_broken_configuration_is_named(tmp_path: Path, content: str) -> None:
    """A file that is not a JSON object is refused with its path, not passed over."""
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match=r"config\.json"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SLACK_BOT_TOKEN", "xapp-mixed-up", "begins with xoxb-"),
        ("SLACK_APP_TOKEN", "xoxb-mixed-up", "begins with xapp-"),
        ("SLACK_API_URL", "slack.example/api", "https://slack.com/api/"),
        ("ARGO_SERVER_URL", "argo-server:2746", "https://argo-server.argo:2746"),
        ("ARGO_SERVER_CA_FILE", "/nowhere/ca.pem", "path of a PEM file"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_bad_value_is_named_and_not_shown(environment: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    """The error names the variable and what is accepted; the value may be a secret, so it is left out."""
    environment.setenv(f"METAFLOW_HITL_{name}", value)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert f"METAFLOW_HITL_{name}" in str(refused.value)
    assert words in str(refused.value)
    assert value not in str(refused.value)


@pytest.mark.parametrize("field", ["root", "slack_bot_token", "slack_app_token"])
def test_a_missing_setting_says_how_to_set_it(field: str) -> None:
    """What a command can't do without is asked for by its variable."""
    with pytest.raises(SettingsError, match=f"METAFLOW_HITL_{field.upper()} is not set. Set it to"):
        needed(read_settings(), field)


def test_an_empty_variable_is_not_set(environment: pytest.MonkeyPatch) -> None:
    """Kubernetes and CI like to set empty variables; they count as none."""
    environment.setenv("METAFLOW_HITL_ROOT", "")
    assert read_settings().root is None


def test_tokens_do_not_show(environment: pytest.MonkeyPatch) -> None:
    """Neither repr nor JSON of the settings shows a token."""
    environment.setenv("METAFLOW_HITL_SLACK_BOT_TOKEN", "xoxb-secret")
    environment.setenv("METAFLOW_HITL_ARGO_SERVER_TOKEN", "Bearer a-secret")
    settings = read_settings()
    assert "a-secret" not in repr(settings) + settings.model_dump_json()
    assert "xoxb-secret" not in repr(settings) + settings.model_dump_json()


def test_what_is_handed_in_wins(environment: pytest.MonkeyPatch) -> None:
    """A value given by name is stronger than the environment: tests and the demo depend on it."""
    environment.setenv("METAFLOW_HITL_ROOT", "elsewhere")
    assert Settings(root="here").root == "here"
