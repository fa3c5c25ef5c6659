"""What ``--prove`` adds to the doctor's findings."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from hitl_bot.clock import utc_now
from hitl_bot.doctor.checks import Finding, bad, good, unknown
from hitl_bot.settings import Mode, Settings, SettingsError, mode_of, needed
from hitl_bot.slack.client import SLACK_FAILED
from hitl_bot.slack.people import SlackPeople
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.notifiers.slack.codes import Meaning, code_of, meaning_of

from .gallery import Exhibit, exhibits
from .walk import Recording, RecordingClient, Walk

# Everything that the bot can build, held to Slack's own check: blocks.validate, which shows nothing to anybody.

_METHOD = "blocks.validate"
_REPORT = "This is a defect of metaflow-hitl: report it with these lines. The bot posts a shorter message where it can."
_MOST = 100_000  # characters of an argument


def check_blocks(client: WebClient, now: datetime) -> Iterator[Finding]:
    """Send every message, view and Home; report each that Slack would refuse, and how many it would take."""
    taken, untried = 0, 0
    for exhibit in exhibits(now):
        body = json.dumps(exhibit.body, ensure_ascii=False)
        if len(body) > _MOST:
            untried += 1  # views may have 250 kB
            continue
        try:
            client.api_call(_METHOD, params={exhibit.kind.value: body})
        except SLACK_FAILED as error:
            if meaning_of(error) is not Meaning.DEFECT:
                yield unknown("blocks", f"Slack is not checking blocks right now ({code_of(error) or error})")
                return
            yield bad("blocks", f"Slack would refuse {_named(exhibit, error)}", _REPORT)
        else:
            taken += 1
    more = f"; {untried} are too large for {_METHOD}" if untried else ""
    yield good("blocks", f"Slack would accept {taken} messages, views and Homes{more}")


def _named(exhibit: Exhibit, error: Exception) -> str:
    metadata = error.response.get("response_metadata") if isinstance(error, SlackApiError) else None
    said = "; ".join(map(str, (metadata or {}).get("messages") or ())) or code_of(error)
    return f"the {exhibit.kind.value} “{exhibit.name}”: {said}"


# What ``--prove`` adds to the doctor's findings.


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
