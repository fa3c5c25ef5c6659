"""The command line: which commands there are, and what each takes."""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

from metaflow_extensions.hitl import __version__
from metaflow_extensions.hitl.approvals.errors import HitlError

from .context import Context, ExitCode, code_of_error

_EXIT_CODES = """\
exit codes:
  0 done (wait: approved)   1 failed   2 wrong arguments   3 pending   4 rejected   5 expired   6 closed
  7 not allowed   8 bad input   9 no such ID   10 already answered"""


_LONGEST_WAIT = 86_400  # seconds: for so long an answer can be confirmed
_ROOT = "where approvals are kept: s3://bucket/prefix or a path (METAFLOW_HITL_ROOT)"


class CommandScope(Enum):
    """What the commands are about."""

    STORE = "all flows in a store"
    FLOW = "this flow"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. Its module is imported when it is called."""

    help: str
    run: str  # module:function
    add: Callable[[ArgumentParser, CommandScope], None]


def _list(parser: ArgumentParser, scope: CommandScope) -> None:
    parser.add_argument("--all", action="store_true", help="include what has ended, newest first")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="with --all: how many that ended (50)")
    parser.add_argument("--shards", action="store_true", help="list each shard of a foreach, and not all in one row")
    _groups(parser, scope)
    _json(parser)


def _one(parser: ArgumentParser, scope: CommandScope) -> None:  # noqa: ARG001 - the same for both
    parser.add_argument("id", metavar="ID", help="an ID, a unique beginning of one, or FLOW/RUN/STEP/TASK")
    _json(parser)


def _approve(parser: ArgumentParser, scope: CommandScope) -> None:
    _several(parser, scope)
    parser.add_argument(
        "--input", metavar="JSON|@FILE", help="the whole input as a JSON object, or @FILE to read it from a file"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one input value; can be repeated"
    )
    parser.add_argument("--owes", metavar="TEXT", help="with --due: what somebody owes for this approval")
    parser.add_argument("--due", metavar="DAY", help="with --owes: by when, such as 2026-12-31")
    parser.add_argument("--owner", metavar="NAME", help="with --owes: who, by user name or email address (you)")
    parser.add_argument("--reason", default="", help="the reason; required if the operator's policy demands one")
    _json(parser)


def _refuse(parser: ArgumentParser, scope: CommandScope) -> None:
    _several(parser, scope)
    parser.add_argument("--reason", required=True, help="the reason; the requester will see it")
    _json(parser)


def _obligations(parser: ArgumentParser, scope: CommandScope) -> None:
    _groups(parser, scope)
    _json(parser)


def _done(parser: ArgumentParser, scope: CommandScope) -> None:  # noqa: ARG001 - the same for both
    parser.add_argument("ids", nargs="+", metavar="ID", help="approvals, as `obligations` lists them")
    parser.add_argument("--number", type=int, metavar="N", help="which obligation, if one approval has several")
    parser.add_argument("--comment", required=True, help="what was done; it becomes part of the record")
    _confirmed(parser)
    _json(parser)


def _wait(parser: ArgumentParser, scope: CommandScope) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--run", help="wait until this run has asked and all its questions are answered")
    _flow(parser, scope)
    parser.add_argument("--timeout", help='how long, such as "30m"; 0 looks once (default: as long as it takes)')
    _json(parser)


def _stats(parser: ArgumentParser, scope: CommandScope) -> None:
    parser.add_argument(
        "about", nargs="?", choices=["rules"], help="rules: how often rules in shadow mode agreed with people"
    )
    _flow(parser, scope)
    parser.add_argument("--since", default="30d", metavar="SPAN", help="how far to look back, such as 90d (30d)")
    _json(parser)


def _several(parser: ArgumentParser, scope: CommandScope) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="IDs, unique beginnings of them, or FLOW/RUN/STEP/TASK")
    parser.add_argument("--all", action="store_true", help="everything that is waiting")
    _groups(parser, scope)
    parser.add_argument(
        "--except", action="append", default=[], dest="excepted", metavar="ID", help="leave one out; can be repeated"
    )
    _confirmed(parser)


def _confirmed(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        type=_patience,
        default=60,
        metavar="SECONDS",
        help="how long to wait for you to confirm this in Slack, if your identity has to be confirmed (60); after "
        "that the exit code is 3, and you can still confirm it for a day",
    )


def _patience(text: str) -> int:
    seconds = int(text)
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise ValueError(text)
    return seconds


def _groups(parser: ArgumentParser, scope: CommandScope) -> None:
    _flow(parser, scope)
    parser.add_argument("--run", help="only of this run")
    parser.add_argument("--step", help="only of this step")


def _flow(parser: ArgumentParser, scope: CommandScope) -> None:
    if scope is CommandScope.STORE:
        parser.add_argument("--flow", help="only of this flow")
    else:
        parser.set_defaults(flow=None)


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, with everything in the record")


_HERE = "metaflow_extensions.hitl.commands"
COMMANDS: Mapping[str, Command] = {
    "list": Command(help="list the approvals that are waiting", run=f"{_HERE}.looking:list_", add=_list),
    "show": Command(help="show one approval and its history", run=f"{_HERE}.looking:show", add=_one),
    "approve": Command(
        help="approve, with the input that the step needs", run=f"{_HERE}.answering:approve", add=_approve
    ),
    "reject": Command(help="reject: the run fails with the reason", run=f"{_HERE}.answering:reject", add=_refuse),
    "request-changes": Command(
        help="request changes, if the step allows it: the run fails with them",
        run=f"{_HERE}.answering:request_changes",
        add=_refuse,
    ),
    "obligations": Command(
        help="list what is owed with approvals, the first due first",
        run=f"{_HERE}.looking:obligations",
        add=_obligations,
    ),
    "done": Command(help="close an obligation, with a comment", run=f"{_HERE}.answering:done", add=_done),
    "wait": Command(help="wait until approvals have ended", run=f"{_HERE}.looking:wait", add=_wait),
    "stats": Command(
        help="count what was decided, or compare rules in shadow mode with people",
        run=f"{_HERE}.looking:stats",
        add=_stats,
    ),
    "verify": Command(
        help="check every version and hash of the record, to prove that nobody changed it",
        run=f"{_HERE}.looking:verify",
        add=_one,
    ),
}


def run(
    words: Sequence[str],
    *,
    command: str,
    scope: CommandScope,
    open_context: Callable[[Namespace], Context],
) -> int:
    """Run a command, and return its exit code.

    Parameters
    ----------
    words : Sequence[str]
        What was typed after ``command``.
    command : str
        As people type it: ``hitl``, or ``python flow.py hitl``.
    scope : CommandScope
        What the commands are about.
    open_context : Callable[[Namespace], Context]
        Opens the store, for the options that were given.
    """
    try:
        options = _parser(command, scope).parse_args(words)
    except SystemExit as stop:  # --help, or arguments that can't be read: argparse has said what
        return int(stop.code or 0)
    module, _, name = COMMANDS[options.command].run.partition(":")
    try:
        context = open_context(options)
        code: ExitCode = getattr(import_module(module), name)(context, options)
    except HitlError as error:
        from metaflow_extensions.hitl.messages import terminal  # noqa: PLC0415 - only to fail

        print(terminal.words(error), file=sys.stderr)  # noqa: T201 - a command line's errors go there
        return code_of_error(error)
    return code


def _parser(command: str, scope: CommandScope) -> ArgumentParser:
    parser = ArgumentParser(
        prog=command,
        description=f"Look at and answer the approvals of {scope.value}.",
        epilog=_EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if scope is CommandScope.STORE:
        parser.add_argument("--root", help=_ROOT)
        parser.add_argument("--version", action="version", version=f"hitl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, one in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=one.help,
            description=f"{one.help[:1].upper()}{one.help[1:]}.",
            epilog=_EXIT_CODES,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if scope is CommandScope.STORE:
            # Also after the command; without a default of its own, which would undo what stands before it.
            sub.add_argument("--root", default=SUPPRESS, help=_ROOT)
        one.add(sub, scope)
    return parser
