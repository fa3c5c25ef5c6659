"""``hitl-bot doctor``: what is wrong, and how to fix it."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import click

from hitl_bot.settings import Settings, read_settings

from .attack import attack
from .checks import (
    Finding,
    Health,
    check_clock,
    check_cluster,
    check_events,
    check_keys,
    check_policy,
    check_slack,
    check_store,
)
from .prove.command import prove_slack

_SIGNS = {Health.GOOD: "✓", Health.BAD: "✗", Health.UNKNOWN: "–"}
_WORDS = {Health.GOOD: "ok", Health.BAD: "BAD", Health.UNKNOWN: "--"}  # for a terminal that can't show the signs
_COLOURS = {Health.GOOD: "green", Health.BAD: "red", Health.UNKNOWN: "yellow"}


@click.command("doctor")
@click.option(
    "--json", "as_json", is_flag=True, help="Write JSON: a list of objects with check, health, detail and fix."
)
@click.option(
    "--prove", is_flag=True, help="Also have Slack check every message and view that the bot can build; see --with."
)
@click.option(
    "--with",
    "person",
    metavar="PERSON",
    help="With --prove: take this member (id or email address) through one question in a direct message. "
    "Stop other bots of the same app first.",
)
@click.option(
    "--recording",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --prove: write what Slack answered and sent, names and types only, to this file.",
)
@click.option(
    "--attack",
    "attacks",
    is_flag=True,
    help="Only try what somebody who is here could do to bucket, policy and cluster. Run it where flows run. "
    "Leaves nothing behind.",
)
def command(*, as_json: bool, prove: bool, person: str | None, recording: Path | None, attacks: bool) -> None:
    """Check tokens, scopes, channel, store and cluster, and say what to fix. Ends with 1 if anything is bad."""
    settings = read_settings()
    findings = []
    proof = prove_slack(settings, person, recording) if prove else iter(())
    for finding in attack(settings) if attacks else chain(examine(settings), proof):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    if any(finding.health is Health.BAD for finding in findings):
        sys.exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one after the other; a bad finding stops none of the others."""
    yield from check_slack(settings)
    yield check_store(settings)
    yield check_clock(settings)
    yield check_keys(settings)
    yield check_policy(settings)
    yield from check_events(settings)
    yield from check_cluster(settings)


def _show(finding: Finding) -> None:
    sign = _SIGNS[finding.health]
    try:
        sign.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        sign = _WORDS[finding.health]
    click.echo(f"{click.style(sign, fg=_COLOURS[finding.health])} {finding.check:10} {finding.detail}")
    if finding.fix:
        click.echo(f"  {'':10} {finding.fix}")
