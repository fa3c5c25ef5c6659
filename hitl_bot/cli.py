"""``hitl-bot``: serve, manifest, doctor, policy, key, audit, demo, sandbox."""

import sys
from collections.abc import Mapping
from importlib import import_module

import click

from metaflow_extensions.hitl import __version__
from metaflow_extensions.hitl.approvals.errors import HitlError

# What each does, as the list of them says it, and where its click command is: that is imported when it is called.
# The list and the manifest must not wait for boto3, and the demo may miss what only it needs.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("Answer people in Slack, and finish what is open.", "hitl_bot.serve:command"),
    "manifest": ("Print the manifest of the Slack app.", "hitl_bot.manifest:command"),
    "doctor": ("Check tokens, scopes, channel, store and cluster.", "hitl_bot.doctor:command"),
    "policy": ("Look at the operator's policy.", "hitl_bot.policy.file:command"),
    "key": ("Make, show and replace the key that the bot signs with.", "hitl_bot.keys:command"),
    "audit": ("Check all records, and export them for auditors.", "hitl_bot.audit:command"),
    "demo": ("Try it: a local Slack, the bot and two gated runs.", "hitl_bot.demo.command:demo"),
    "sandbox": ("Run a local Slack and the bot for your own flows.", "hitl_bot.demo.command:sandbox"),
}


class LateGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command; None if there is none of this name."""
        known = COMMANDS.get(cmd_name)
        return None if known is None else _command(known[1])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (help_text, _) in COMMANDS.items()])


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
