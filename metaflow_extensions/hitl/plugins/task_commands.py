"""``hitl notify`` and ``hitl wait-and-run``: what machines type for a task that may not start yet.

Both take what Metaflow's own ``step`` command takes, whichever version of it is here, so a command that starts a task
becomes one that asks for it by a change of one word.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metaflow._vendor import click
from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY, MetaflowException

from .arguments import StepArguments
from .incoming import GatedTask


class NotAsked(MetaflowException):
    """Nothing was recorded. The step does not start."""

    headline = "The question could not be asked"


class LikeStep(click.Command):
    """A command with the arguments and options of Metaflow's ``step`` before its own."""

    def get_params(self, ctx: click.Context) -> list[Any]:
        from metaflow.cli_components.step_cmd import step  # noqa: PLC0415 - heavy, and only for these commands

        return [*step.params, *super().get_params(ctx)]


@click.command(cls=LikeStep, hidden=True, help="Ask for a task that has not started, and print the approval's id.")
@click.option("--id-file", envvar="METAFLOW_HITL_ID_FILE", help="Write the ID to this file, too.")
@click.option(
    "--settled-file", envvar="METAFLOW_HITL_SETTLED_FILE", help="Write to this file whether it was carried out before."
)
@click.option(
    "--question-file", envvar="METAFLOW_HITL_QUESTION_FILE", help="Write the SHA-256 of what was asked to this file."
)
@click.pass_obj
def notify(
    obj: Any,
    step_name: str,
    id_file: str | None,
    settled_file: str | None,
    question_file: str | None,
    **options: Any,
) -> None:
    from metaflow_extensions.hitl.approvals.errors import StoreUnavailable  # noqa: PLC0415
    from metaflow_extensions.hitl.approvals.proposing import asked_digest  # noqa: PLC0415
    from metaflow_extensions.hitl.approvals.use_cases import passed  # noqa: PLC0415

    from .argo.asking import ask_and_leave  # noqa: PLC0415

    if "ARGO_WORKFLOW_NAME" not in os.environ:
        raise NotAsked("`hitl notify` works only in a pod of an Argo workflow.")
    with _no_more_attempts_where_none_can_help():
        task, arguments = _load(obj, step_name, options)
        try:
            approval = ask_and_leave(task, arguments, obj.hitl, os.environ, time.sleep)
        except StoreUnavailable as error:
            raise NotAsked(
                f"{task.pathspec.approval_id} is not recorded, so {step_name} does not start: {error} "
                "Fix the store, then start a new run."
            ) from error
        settled = approval.settlement is not None
        if settled:
            passed(approval)  # raises what keeps the step from starting
    if id_file:
        Path(id_file).write_text(approval.id, encoding="utf-8")
    if settled_file:
        Path(settled_file).write_text(str(settled).lower(), encoding="utf-8")
    if question_file:
        Path(question_file).write_text(asked_digest(approval.question), encoding="utf-8")
    click.echo(approval.id)


@click.command(
    name="wait-and-run",
    cls=LikeStep,
    hidden=True,
    help="Ask for a task that has not started, wait for the answer, and then run COMMAND in this process's place.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def wait_and_run(obj: Any, step_name: str, command: tuple[str, ...], **options: Any) -> None:
    from . import gate  # noqa: PLC0415

    with _no_more_attempts_where_none_can_help():
        gate.pass_gate(*_load(obj, step_name, options), os.environ)
    # The process stays the same, so that whoever ends it ends the command too.
    obj.monitor.terminate()
    obj.event_logger.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(command[0], list(command))  # noqa: S606 - Metaflow's own command line, which it would have run itself


def _load(obj: Any, step: str, options: dict[str, Any]) -> tuple[GatedTask, StepArguments]:
    from . import incoming  # noqa: PLC0415

    arguments = incoming.arguments_of(obj.flow, step)
    return incoming.load_task(obj, step, incoming.TaskOptions.of_command(options)), arguments


@contextmanager
def _no_more_attempts_where_none_can_help() -> Iterator[None]:
    """Say by the exit code, to Metaflow and to Argo alike, that a refusal or a bad message stays what it is."""
    from metaflow_extensions.hitl.approvals.errors import HitlError, StoreUnavailable  # noqa: PLC0415
    from metaflow_extensions.hitl.messages.terminal import words  # noqa: PLC0415

    from . import leaving  # noqa: PLC0415
    from .message import BadMessage  # noqa: PLC0415

    try:
        yield
    except StoreUnavailable as error:
        raise NotAsked(words(error)) from error
    except (HitlError, BadMessage) as error:
        if isinstance(error, leaving.Leaves):
            leaving.note_left(error.approval.id)
        else:
            leaving.note_refused()
        print(words(error), file=sys.stderr)  # noqa: T201 - a task's log is its standard error
        raise SystemExit(METAFLOW_EXIT_DISALLOW_RETRY) from error
