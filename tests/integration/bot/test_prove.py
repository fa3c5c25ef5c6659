"""``hitl-bot doctor --prove``, end to end against the local Slack, with somebody who does what they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from hitl_bot.cli import cli
from hitl_bot.clock import utc_now
from hitl_bot.doctor.checks import Health
from hitl_bot.doctor.prove.command import check_blocks
from hitl_bot.doctor.prove.walk import Recording, RecordingClient, Walk, differences, shape
from hitl_bot.listeners import forms
from hitl_bot.sandbox import Sandbox
from hitl_bot.sandbox.control import Control
from hitl_bot.sandbox.driver import Person
from hitl_bot.settings import Settings
from tests.fixtures.patience import PATIENCE


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def client(sandbox: Sandbox, recording: Recording) -> RecordingClient:
    return RecordingClient(sandbox.bot_token, sandbox.api_url, recording)


def obedient(bob: Person) -> Callable[[str], None]:
    """Return a person who reads what the doctor says and does it."""

    def do(said: str) -> None:
        if "Traffic" in said:
            view = bob.open(bob.wait_for_message("@app"), "Approve…")
            view.fill({"Deploy target": "staging"}).submit()
        else:
            message = bob.wait_for_message("@app", lambda one: "120" in one.plain)
            view = bob.open(message, "Approve all except…")
            bob.click(view, "Next page")
            bob.wait_for_view(lambda one: one.shape["hash"] != view.shape["hash"]).submit()

    return do


def test_a_walk_through_a_slack_that_does_what_it_should(
    settings: Settings,
    client: RecordingClient,
    bob: Person,
    recording: Recording,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every step is good, and what was seen is written without a value of it."""
    monkeypatch.setattr(forms, "ANSWERING_TAKES", 0.5)  # less than the walk's store takes: the form says "Saving"
    walk = Walk(who="U0BOB", say=obedient(bob), patience=PATIENCE)
    found = list(walk.through(settings, client))
    assert [(one.check, one.health) for one in found] == [
        (name, Health.GOOD) for name in ("post", "form", "update", "thread", "many gates", "deletion")
    ], found
    recording.write(tmp_path / "recording.json")
    text = (tmp_path / "recording.json").read_text()
    assert {"chat.update message_not_found", "payload view_submission", "payload block_actions"} <= set(
        json.loads(text)
    )
    assert not any(secret in text for secret in ("xoxb", "xapp", "staging", "U0BOB", "Doctor", "gates of"))
    assert differences(Recording.read(tmp_path / "recording.json").shapes, recording.shapes) == []


def test_a_slack_that_refuses_blocks_is_reported(control: Control, settings: Settings, client: RecordingClient) -> None:
    """What Slack would not take is named, with Slack's own words."""
    control.fault("blocks.validate", error="invalid_view", times=1, where={})
    found = list(check_blocks(client, utc_now()))
    assert [one.health for one in found] == [Health.BAD, Health.GOOD]
    assert "Slack would refuse the" in found[0].detail


def test_the_command_says_how_to_go_on(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a person the blocks are checked, and the doctor says how to walk."""
    for name, value in {
        "METAFLOW_HITL_ROOT": str(tmp_path / "records"),
        "METAFLOW_HITL_SLACK_BOT_TOKEN": sandbox.bot_token,
        "METAFLOW_HITL_SLACK_APP_TOKEN": sandbox.app_token,
        "METAFLOW_HITL_SLACK_API_URL": sandbox.api_url,
    }.items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(cli, ["doctor", "--prove", "--recording", str(tmp_path / "recording.json")]).output
    assert "Slack would accept" in said
    assert "name someone with --with" in said
    assert "blocks.validate" in json.loads((tmp_path / "recording.json").read_text())


def test_what_the_local_slack_invents_is_seen() -> None:
    """A field that only the local Slack sends is a difference; one that it lacks is Slack's own affair."""
    real = {"payload block_actions": shape({"user": {"id": "U1"}, "team": {"id": "T1"}})}
    local = {"payload block_actions": shape({"user": {"id": "U1", "nick": "b"}})}
    assert differences(real, local) == ["payload block_actions: /user/nick"]
