"""``hitl-bot policy check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from hitl_bot.policy.model import Naming, Reason, RuleOfFile, Subject, Word
from hitl_bot.policy.reading import read_policy
from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.reminding import NEVER
from metaflow_extensions.hitl.approvals.requirements import Automatic, OnVeto


@click.group("policy")
def command() -> None:
    """Look at the operator's policy."""


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--flow", required=True, help="The name of a flow.")
@click.option("--step", required=True, help="The name of a step of it.")
@click.option("--tag", "tags", multiple=True, help="A tag of the run; may be repeated.")
@click.option("--namespace", default="", help="The Kubernetes namespace of the workflow.")
def check(file: Path, flow: str, step: str, tags: tuple[str, ...], namespace: str) -> None:
    """Say which rule of FILE applies to a step, why the others don't, and what it demands."""
    policy = read_policy(file)
    subject = Subject(flow=flow, step=step, tags=tags, namespace=namespace)
    applies = policy.rule_of(subject)
    for rule in policy.rules:
        if rule is applies:
            click.echo(f"{rule.name}: applies and requires")
            for line in demanded(rule):
                click.echo(f"  - {line}")
            click.echo("The step's own arguments also apply where they are stricter.")
            break
        click.echo(f"{rule.name}: no, {rule.match.misses(subject)}")
    if applies is None:
        click.echo("No rule applies: the step's own arguments decide.")
    if (hours := policy.quiet_hours_of(subject)) != NEVER:
        click.echo(f"Nobody is reminded during {hours}, in their own time zone.")


def demanded(rule: RuleOfFile) -> Iterator[str]:
    """Say what a rule demands, a line a demand."""
    said = list(_of_people(rule)) + list(_of_the_rest(rule))
    yield from said or ["nothing more than the step does"]


def _of_people(rule: RuleOfFile) -> Iterator[str]:
    if rule.quorum > 1:
        yield f"at least {rule.quorum} different people agree"
    for approvers in rule.approvers:
        yield f"{approvers.quorum} of {approvers.group} among them"
    if rule.named_approvers is Naming.REQUIRED:
        yield "the step names its approvers"
    if rule.deciders:
        yield f"only {', '.join(rule.deciders)} decide"
    if rule.self_approval is Word.REFUSED:
        yield "nobody approves their own run"
    if rule.claimed_requester is Word.ALLOWED:
        yield "a local run may say itself who started it"
    if rule.delegation is Word.REFUSED:
        yield "nobody decides for others"
    if rule.outsiders:
        yield f"of guests and people from other workspaces, these may decide: {', '.join(rule.outsiders)}"
    if rule.on_veto is OnVeto.COUNT:
        yield "as many rejections as approvals are needed to reject"


def _of_the_rest(rule: RuleOfFile) -> Iterator[str]:
    if rule.reason is Reason.REQUIRED:
        yield "an approval has a reason"
    if rule.command_line is Word.REFUSED:
        yield "answers from command lines don't count"
    if not rule.demands.timeout_approves:
        yield "no deadline approves"
    if rule.demands.automatic is Automatic.REFUSED:
        yield "no condition over metrics approves"
    elif rule.demands.automatic is Automatic.SHADOW:
        yield "conditions over metrics only record what they would approve"
    if rule.continue_on_reject is Word.REFUSED:
        yield "a rejection ends the run"
    if rule.longest_timeout is not None:
        yield f"it waits {in_words(rule.longest_timeout)} at most"
    if rule.channel is not None:
        yield f"the bot asks in {rule.channel}"
