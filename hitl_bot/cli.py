"""``hitl-bot``: serve, manifest, doctor, policy, key, audit, demo, sandbox."""

import sys
from collections.abc import Mapping
from importlib import import_module

import click

from metaflow_extensions.hitl import __version__
from metaflow_extensions.hitl.approvals.errors import HitlError

# Where the click command of each is. They are imported when they are asked for: the manifest must not
# wait for boto3, and the demo may miss what only it needs.
COMMANDS: Mapping[str, str] = {
    "serve": "hitl_bot.serve:command",
    "manifest": "hitl_bot.manifest:command",
    "doctor": "hitl_bot.doctor:command",
    "policy": "hitl_bot.policy.file:command",
    "key": "hitl_bot.keys:command",
    "audit": "hitl_bot.audit:command",
    "demo": "hitl_bot.demo.command:demo",
    "sandbox": "hitl_bot.demo.command:sandbox",
}


class LateGroup(click.Group):
    """A group whose commands are imported when they are called, or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command; None if there is none of this name."""
        place = COMMANDS.get(cmd_name)
        return None if place is None else _command(place)


def _command(place: str) -> click.Command:
    module, _, name = place.partition(":")
    found = getattr(import_module(module), name)
    if not isinstance(found, click.Command):
        raise TypeError(f"{place} is not a click command")
    return found


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hitl-bot", message="%(prog)s %(version)s")
def cli() -> None:
    """Answer Metaflow's questions in Slack."""


def main() -> None:
    """Run the command line; say what is wrong in one line, without a traceback, where a person can fix it."""
    try:
        cli()
    except HitlError as error:
        click.echo(f"hitl-bot: {error}", err=True)
        sys.exit(1)
