"""``python flow.py hitl …``: the commands of ``hitl`` for one flow, and those that machines type."""

import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from metaflow._vendor import click
from metaflow.exception import MetaflowException

from .author_commands import check, preview
from .task_commands import notify, wait_and_run

# As in commands/line.py, which every command of every flow would import here; a test compares the two.
NAMES = {
    "list": "List the approvals that are waiting.",
    "show": "Show one approval and its history.",
    "approve": "Approve, with the input that the step needs.",
    "reject": "Reject: the run fails with the reason.",
    "request-changes": "Request changes, if the step allows it: the run fails with them.",
    "obligations": "List what is owed with approvals, the first due first.",
    "done": "Close an obligation, with a comment.",
    "wait": "Wait until approvals have ended.",
    "stats": "Count what was decided, or compare rules in shadow mode with people.",
    "verify": "Check every version and hash of the record, to prove that nobody changed it.",
}


class CantOpen(MetaflowException):
    """There is no store to look at."""

    headline = "Not done"


@click.group()
def cli() -> None:
    pass


@cli.group(name="hitl", help="Answer questions of steps that wait for a person.")
@click.pass_context
def hitl(ctx: click.Context) -> None:
    from metaflow_extensions.hitl.approvals.errors import HitlError  # noqa: PLC0415 - every command imports this module
    from metaflow_extensions.hitl.messages.terminal import words  # noqa: PLC0415

    from . import root  # noqa: PLC0415
    from .models import checked_by  # noqa: PLC0415

    datastore = ctx.obj.flow_datastore
    try:
        store = root.build_store(datastore.TYPE, datastore.datastore_root)
        ctx.obj.hitl = cases = root.build_use_cases(store, click.echo)
        cases.check_input = checked_by(ctx.obj.flow, cases.check_input)
    except HitlError as error:
        raise CantOpen(words(error)) from error


hitl.add_command(check)
hitl.add_command(preview)
hitl.add_command(notify)
hitl.add_command(wait_and_run)


def _add(name: str) -> None:
    # Everything after the name is read by commands/line.py, --help too.
    @hitl.command(
        name=name,
        help=NAMES[name],
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("words", nargs=-1, type=str)
    @click.pass_obj
    def command(obj: Any, words: tuple[str, ...]) -> None:
        from metaflow_extensions.hitl.commands import line  # noqa: PLC0415 - as above

        from . import root  # noqa: PLC0415

        typed = f"python {shlex.quote(root.script())} hitl"
        code = line.run([name, *words], command=typed, scope=line.CommandScope.FLOW, open_context=_opener(obj, typed))
        sys.exit(code)


def _opener(obj: Any, typed: str) -> Callable[[Namespace], Any]:
    def open_context(_: Namespace) -> Any:
        from metaflow_extensions.hitl.api import Approvals  # noqa: PLC0415
        from metaflow_extensions.hitl.commands.context import Context  # noqa: PLC0415

        from . import root  # noqa: PLC0415

        return Context(
            approvals=Approvals(obj.hitl, root.local_person(), flow=obj.flow.name),
            command=typed,
            write=click.echo,
            warn=lambda text: click.echo(text, err=True),
            now=root.utc_now(),
            zone=root.local_zone(),
        )

    return open_context


for _name in NAMES:
    _add(_name)
