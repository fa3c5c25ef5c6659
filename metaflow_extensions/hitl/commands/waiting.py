"""``wait``: until approvals have ended, for a script that goes on by how they ended."""

from __future__ import annotations

from argparse import Namespace

from metaflow_extensions.hitl.api import StillWaiting
from metaflow_extensions.hitl.approvals.duration import parse_duration
from metaflow_extensions.hitl.commands import as_json
from metaflow_extensions.hitl.commands.context import Context
from metaflow_extensions.hitl.commands.exit_codes import BadUsage, ExitCode, code_of_state, worst
from metaflow_extensions.hitl.messages import terminal


def wait(context: Context, options: Namespace) -> ExitCode:
    """Wait for some approvals, or for those of a run, and end with a code that says how they ended."""
    if bool(options.ids) == bool(options.run):
        raise BadUsage("Say what to wait for: give IDs, or --run.")
    timeout = None if options.timeout is None else _seconds(options.timeout)
    approvals = context.approvals
    try:
        if options.run:
            ended = approvals.wait_for_run(options.run, flow=options.flow, timeout=timeout)
        else:
            ended = approvals.wait_for_all(options.ids, timeout=timeout)
    except StillWaiting as error:
        if options.json:
            context.write(as_json.written([as_json.document(approval) for approval in error.approvals]))
        context.warn(terminal.words(error))
        return ExitCode.PENDING
    if options.json:
        context.write(as_json.written([as_json.document(approval) for approval in ended]))
    else:
        for approval in ended:
            context.write(f"{approval.id}  {terminal.decided(approval)}")
    return worst(code_of_state(approval) for approval in ended)


def _seconds(text: str) -> int:
    """Read ``--timeout``; 0 looks once."""
    return 0 if text.strip() == "0" else parse_duration("--timeout", text)
