"""The Slack app's manifest."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from slack_sdk.errors import SlackApiError

import hitl_bot
from hitl_bot.cli import cli
from hitl_bot.manifest import FILES, HISTORY, SCOPES, WITHOUT_SCOPE, Files, app_manifest, as_yaml
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.manifest import AppManifest
from hitl_bot.slack.client import slack_client
from metaflow_extensions.hitl.notifiers import slack as notifier

BOT = Path(hitl_bot.__file__).parent
METHOD = re.compile(r'"((?:chat|conversations|views|users|usergroups|files|auth)\.[a-zA-Z.]+)"')
CALL = re.compile(r"client\.((?:chat|conversations|views|users|usergroups|files|auth)_[a-zA-Z_]+)\(")


def used_methods() -> set[str]:
    """Return the Web API methods that the bot's and the notifiers' code calls."""
    own = [path for path in BOT.rglob("*.py") if "sandbox" not in path.parts and path.name != "manifest.py"]
    own += [path for path in Path(notifier.__path__[0]).rglob("*.py") if path.name != "codes.py"]
    text = "\n".join(path.read_text("utf-8") for path in own)
    return set(METHOD.findall(text)) | {snake_to_method(name) for name in CALL.findall(text)}


def snake_to_method(name: str) -> str:
    """Turn slack_sdk's name of a method into Slack's: chat_postMessage, views_open."""
    return name.replace("_", ".")


def test_every_method_in_use_has_its_scope() -> None:
    """No call in the code lacks a scope in the manifest, and no scope is asked for without a use."""
    granted = {method for scope in SCOPES for method in scope.methods}
    used = used_methods()
    assert {"chat.postMessage", "views.open", "users.info", "usergroups.list"} <= used
    assert used - granted - set(WITHOUT_SCOPE) == set()
    assert granted - used == set()


def test_yaml_and_json_say_the_same() -> None:
    """Both forms that Slack takes carry the same manifest; the YAML also says why each scope is needed."""
    text = as_yaml(app_manifest())
    assert yaml.safe_load(text) == app_manifest()
    assert json.loads(CliRunner().invoke(cli, ["manifest", "--json"]).output) == app_manifest()
    assert all(f"{scope.name} # {scope.why}" in text for scope in SCOPES)


def test_history_can_be_left_out() -> None:
    """Without the three *:history scopes the manifest is otherwise the same."""
    output = CliRunner().invoke(cli, ["manifest", "--json", "--without-history"]).output
    scopes = json.loads(output)["oauth_config"]["scopes"]["bot"]
    assert set(app_manifest()["oauth_config"]["scopes"]["bot"]) - set(scopes) == set(HISTORY)
    assert not any(scope.endswith(":history") for scope in scopes)


def test_it_asks_for_socket_mode_or_for_an_address() -> None:
    """Without an address the app uses Socket Mode; with one, commands and interactions go there."""
    assert app_manifest()["settings"]["socket_mode_enabled"] is True
    over_http = app_manifest("https://hitl.example.com/slack/events")
    assert over_http["settings"]["socket_mode_enabled"] is False
    assert over_http["settings"]["interactivity"]["request_url"] == "https://hitl.example.com/slack/events"
    assert over_http["features"]["slash_commands"][0]["url"] == "https://hitl.example.com/slack/events"


def test_an_address_that_slack_cant_call_is_refused() -> None:
    """Slack calls https addresses only."""
    result = CliRunner().invoke(cli, ["manifest", "--request-url", "http://hitl.example.com"])
    assert result.exit_code == 2
    assert "https://" in result.output


def test_the_limits_of_a_manifest_are_kept() -> None:
    """Names and descriptions fit into what Slack takes (docs.slack.dev/reference/app-manifest)."""
    manifest = app_manifest()
    assert len(manifest["display_information"]["name"]) <= 35
    assert len(manifest["display_information"]["description"]) <= 140
    assert len(manifest["features"]["bot_user"]["display_name"]) <= 80
    (command,) = manifest["features"]["slash_commands"]
    assert len(command["description"]) <= 2000
    assert len(command["usage_hint"]) <= 1000


def test_every_test_of_the_bot_runs_with_these_scopes(sandbox: Sandbox) -> None:
    """The local Slack enforces the scopes of its manifest, and the bot's tests get this one."""
    manifest = AppManifest.parse(app_manifest())
    assert manifest.scopes == {scope.name for scope in SCOPES}
    client = slack_client(sandbox.bot_token, sandbox.api_url)
    assert set(client.auth_test().headers["x-oauth-scopes"].split(",")) == manifest.scopes


def test_without_files_nothing_can_be_uploaded() -> None:
    """The manifest leaves the one scope out, the local Slack enforces that, and nothing else is lost."""
    manifest = app_manifest(files=Files.NOT_UPLOADED)
    left = {scope.name for scope in SCOPES} - FILES
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == left
    with Sandbox(manifest=manifest) as sandbox, pytest.raises(SlackApiError, match="missing_scope"):
        slack_client(sandbox.bot_token, sandbox.api_url).files_getUploadURLExternal(filename="x", length=1)
