"""``hitl``: the commands from the store alone, without a flow."""

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timezone

from metaflow_extensions.hitl.api import Approvals

from .context import Context
from .line import CommandScope, run

_NAME = "hitl"


def main(words: Sequence[str] | None = None) -> int:
    """Run what was typed, and return the exit code."""
    typed = sys.argv[1:] if words is None else words
    try:
        return run(typed, command=_NAME, scope=CommandScope.STORE, open_context=_open)
    except KeyboardInterrupt:
        return 130  # as a shell says that Ctrl-C ended a command
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has left
        return 1


def _open(options: Namespace) -> Context:
    now = datetime.now(timezone.utc)
    return Context(
        approvals=Approvals.open(options.root),
        # With a root that was given, the commands that are shown need it as well.
        command=_NAME if options.root is None else f"{_NAME} --root {shlex.quote(options.root)}",
        write=_write,
        warn=_warn,
        now=now,
        zone=now.astimezone().tzinfo or timezone.utc,
    )


def _write(text: str) -> None:
    print(text)  # noqa: T201 - a command's output


def _warn(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - likewise
