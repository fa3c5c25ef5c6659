"""``hitl check`` and ``hitl preview``: what an author asks before anybody else is asked."""

import sys
from typing import Any

from metaflow._vendor import click


@click.command(
    help="Find mistakes in the gates: names that no step assigns, people, channels and settings that don't exist."
)
@click.pass_obj
def check(obj: Any) -> None:
    from .checking import check_flow  # noqa: PLC0415 - every command imports this module

    gated, problems, notes = check_flow(obj.flow)
    for line in notes:
        click.echo(line)
    for problem in problems:
        click.echo(f"{problem.place}: {problem.what}")
    steps = ", ".join(gated) or "none"
    click.echo(
        f"Gated steps: {steps}. {len(problems) or 'No'} {'problem' if len(problems) == 1 else 'problems'} found."
    )
    sys.exit(1 if problems else 0)


@click.command(help="Show what STEP would ask, with the artifacts of a past run. Nobody is asked.")
@click.argument("step")
@click.option("--run", metavar="RUN", help="The run's id. Default: the last one here.")
@click.pass_obj
def preview(obj: Any, step: str, run: str | None) -> None:
    from metaflow.exception import MetaflowException  # noqa: PLC0415 - as above

    from metaflow_extensions.hitl.approvals.errors import HitlError  # noqa: PLC0415
    from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415

    from . import checking, root  # noqa: PLC0415

    try:
        approval = checking.preview(obj, step, run)
    except HitlError as error:
        raise MetaflowException(terminal.words(error)) from error
    click.echo(f"Preview of {step} with run {approval.pathspec.run}. Nothing is recorded, and nobody is asked.\n")
    click.echo(terminal.preview(approval, zone=root.local_zone()))
