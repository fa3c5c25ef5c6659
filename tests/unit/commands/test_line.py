"""The two doors to the commands, and what they cost."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pkgutil import resolve_name

import pytest

from hitl_bot import cli
from metaflow_extensions.hitl.commands.context import ExitCode, worst
from metaflow_extensions.hitl.commands.line import COMMANDS

HEAVY = ("metaflow", "boto3", "botocore", "jsonschema", "requests", "slack_sdk", "click", "asyncio", "email")


def test_both_doors_have_the_same_commands():
    """`python flow.py hitl --help` lists what `hitl --help` does; the others are typed by machines, and hidden."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Metaflow's own
        from metaflow_extensions.hitl.plugins import hitl_cli  # noqa: PLC0415 - loads Metaflow

    assert {name: f"{one.help[:1].upper()}{one.help[1:]}." for name, one in COMMANDS.items()} == hitl_cli.NAMES
    shown = {name for name, command in hitl_cli.hitl.commands.items() if not command.hidden}
    assert shown - {"check", "preview"} == set(COMMANDS)  # these two need the code of a flow


@pytest.mark.parametrize(
    "place", [*(one.run for one in COMMANDS.values()), *(place for _, place in cli.COMMANDS.values())]
)
def test_every_command_leads_to_a_function(place):
    """Commands are imported when they are typed; each place in the two tables is one that can be imported."""
    assert callable(resolve_name(place))


def test_a_command_imports_what_it_needs_and_no_more(terminal):
    """Approving what asks for no input on a directory loads none of the heavy packages."""
    asked = terminal.bench.ask()
    code = (
        "import sys; from metaflow_extensions.hitl.commands.standalone import main; "
        f"code = main(['approve', {asked.id!r}]); print(sorted(set(sys.modules) & set({HEAVY!r}))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_ended_badly_comes_before_what_has_not_ended():
    """Of many codes a script gets the one that it must not overlook."""
    assert worst([]) is ExitCode.DONE
    assert worst([ExitCode.DONE, ExitCode.PENDING]) is ExitCode.PENDING
    assert worst([ExitCode.PENDING, ExitCode.EXPIRED, ExitCode.DONE]) is ExitCode.EXPIRED
    assert worst([ExitCode.NO_SUCH_ID, ExitCode.FAILED, ExitCode.PENDING]) is ExitCode.FAILED


def test_the_list_of_the_bot_s_commands_imports_none_of_them():
    """`hitl-bot --help` loads neither boto3 nor slack_sdk nor Metaflow."""
    code = (
        "import sys; from hitl_bot.cli import cli; "
        f"cli(['--help'], standalone_mode=False); print(sorted(set(sys.modules) & (set({HEAVY!r}) - {{'click'}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *listed, loaded = done.stdout.splitlines()
    assert [name for name in cli.COMMANDS if not any(line.startswith(f"  {name} ") for line in listed)] == []
    assert loaded == "[]"
