"""``METAFLOW_HITL_LOCAL=leave``: a run ends at its gates, and ``resume`` goes on with the answers given meanwhile.

A gate that has asked ends its task with the exit code that Metaflow's scheduler takes for "no more attempts": it goes
on with everything else, so that all that can ask have asked before the run ends (the same in Metaflow 2.19.0 and
2.19.39, ``NativeRuntime._poll_workers``).
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Approval

EXIT_CODE = 75
"""Of a run that left: EX_TEMPFAIL of sysexits.h, "try again later"."""

_FOLDER = "_METAFLOW_HITL_ENDED_GATES"  # where the tasks of a run tell their scheduler how their gates ended
_LEFT, _REFUSED = "left", "refused"
_MARK = "_knows_who_leaves"


class Leaves(HitlError):
    """The question is asked, and the run does not wait for the answer."""

    def __init__(self, approval: Approval) -> None:
        resume = approval.question.resume or "resume"
        super().__init__(f"{approval.id} has been asked, and the run does not wait. With the answer: {resume}")
        self.approval = approval


def note_left(approval_id: str) -> None:
    """Tell the scheduler that a task has left."""
    _note(_LEFT, approval_id)


def note_refused() -> None:
    """Tell the scheduler that a gate stays closed, so that the run fails."""
    _note(_REFUSED, str(os.getpid()))


def _note(how: str, name: str) -> None:
    if folder := os.environ.get(_FOLDER):
        Path(folder, f"{how}-{name}").touch()


def let_run_leave(write: Callable[[str], object]) -> None:
    """Let the run of this process end with an exit code of its own when its gates have left.

    Parameters
    ----------
    write : Callable[[str], object]
        Told what the run has left behind.
    """
    from metaflow.exception import MetaflowInternalError  # noqa: PLC0415 - as below
    from metaflow.runtime import NativeRuntime  # noqa: PLC0415 - heavy, and not for tasks
    from metaflow.util import write_latest_run_id  # noqa: PLC0415 - as above

    if hasattr(NativeRuntime.execute, _MARK):
        return
    execute = NativeRuntime.execute
    run_exit_hooks: Callable[[Any], None] = NativeRuntime._run_exit_hooks

    @wraps(execute)
    def execute_and_leave(runtime: Any) -> None:
        with _folder_for_tasks() as folder:
            try:
                execute(runtime)
            except (
                MetaflowInternalError
            ):  # the last step has not been reached; a task that failed raises something else
                left = _ids(folder, _LEFT)
                if not left or _ids(folder, _REFUSED):
                    raise
                write(_said(runtime, left))
                # Metaflow's `resume` goes on with the run that this names, and does not note the runs that it starts.
                write_latest_run_id(SimpleNamespace(echo=write, flow=runtime._flow), runtime.run_id)
                raise SystemExit(EXIT_CODE) from None

    def run_exit_hooks_unless_left(runtime: Any) -> None:
        folder = Path(os.environ.get(_FOLDER, os.devnull))
        # A run that has left has neither succeeded nor failed.
        if not _ids(folder, _LEFT) or _ids(folder, _REFUSED):
            run_exit_hooks(runtime)

    setattr(execute_and_leave, _MARK, True)
    NativeRuntime.execute = execute_and_leave
    NativeRuntime._run_exit_hooks = run_exit_hooks_unless_left


@contextmanager
def _folder_for_tasks() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="metaflow-hitl-") as name:
        os.environ[_FOLDER] = name
        try:
            yield Path(name)
        finally:
            del os.environ[_FOLDER]


def _ids(folder: Path, how: str) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(file.name.removeprefix(f"{how}-") for file in folder.glob(f"{how}-*"))


def _said(runtime: Any, left: list[str]) -> str:
    from . import resuming, root  # noqa: PLC0415 - only when a run leaves

    gates = "1 gate waits" if len(left) == 1 else f"{len(left)} gates wait"
    return (
        f"The run has left: {gates} for an answer, and nothing is running (exit code {EXIT_CODE}).\n"
        f"Waiting: {', '.join(left)}\n"
        f"To continue with the answers: {resuming.resume_command(root.script(), str(runtime.run_id))}"
    )
