"""What ``--prove`` adds to the doctor's findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from hitl_bot.bootstrap import utc_now
from hitl_bot.doctor.finding import Finding, bad, unknown
from hitl_bot.doctor.prove.recording import Recording, RecordingClient
from hitl_bot.doctor.prove.validation import check_blocks
from hitl_bot.doctor.prove.walk import Walk
from hitl_bot.settings import Mode, Settings, SettingsError, mode_of, needed
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.errors import HitlError


def prove_slack(settings: Settings, person: str | None, file: Path | None) -> Iterator[Finding]:
    """Have Slack check everything that the bot can build, and walk with a person if one is named."""
    recording = Recording()
    try:
        client = RecordingClient(needed(settings, "slack_bot_token"), settings.slack_api_url, recording)
    except SettingsError as error:
        yield unknown("prove", str(error))
        return
    yield from check_blocks(client, utc_now())
    if person is None:
        yield unknown("walk", "name someone with --with to go through one question in Slack")
    elif mode_of(settings) is Mode.HTTP:
        yield unknown("walk", "needs Socket Mode: METAFLOW_HITL_SLACK_APP_TOKEN of a test app")
    else:
        yield from _walked(settings, client, person)
    if file is not None:
        recording.write(file)


def _walked(settings: Settings, client: RecordingClient, person: str) -> Iterator[Finding]:
    try:
        found = SlackPeople(client, utc_now).find(person)
        if found is None:
            yield bad("walk", f"No one in Slack matches {person}", "Use a member ID (U…) or an email address.")
            return
        walk = Walk(who=found.id, say=lambda what: click.echo(f"→ {what}", err=True))
        yield from walk.through(settings, client)
    except HitlError as error:
        yield bad("walk", str(error), "Run `hitl-bot doctor` without --prove first.")
