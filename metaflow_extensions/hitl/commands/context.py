"""What a command works with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import IntEnum

from metaflow_extensions.hitl.api import Approvals
from metaflow_extensions.hitl.approvals import refusals
from metaflow_extensions.hitl.approvals.duration import BadDuration
from metaflow_extensions.hitl.approvals.errors import AmbiguousId, HitlError, NoSuchApproval
from metaflow_extensions.hitl.approvals.record import Approval, BadId, DuePassed, State
from metaflow_extensions.hitl.approvals.schema import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Context:
    """The store that a command looks at, and the terminal that it was typed in.

    Attributes
    ----------
    approvals : Approvals
        Of one flow or of all.
    command : str
        What people type before a command: ``hitl``, or ``python flow.py hitl``.
    write, warn : Callable[[str], object]
        Write a line to the standard output, or to the standard error.
    now : datetime
        When the command began.
    zone : tzinfo
        The time zone to show times in.
    """

    approvals: Approvals
    command: str
    write: Callable[[str], object]
    warn: Callable[[str], object]
    now: datetime
    zone: tzinfo


# How a command ends, for scripts. docs/scripts.md has the same table.


class BadEntry(HitlError):
    """What was typed can't be read. Nothing was done."""


class BadUsage(HitlError):
    """The command needs other arguments. Nothing was done."""


class ExitCode(IntEnum):
    """The exit codes. A release may add some; it never gives one another meaning."""

    DONE = 0  # of `wait`: approved
    FAILED = 1  # the store, the record or this program; it may work later
    USAGE = 2
    PENDING = 3  # nobody has decided yet, more people must agree, or the answer has to be confirmed
    REJECTED = 4
    EXPIRED = 5
    CLOSED = 6  # nobody waits any longer, a newer question replaced it, or the policy did not accept the decision
    NOT_ALLOWED = 7
    BAD_INPUT = 8
    NO_SUCH_ID = 9
    ALREADY_ANSWERED = 10


_OF_STATE = {
    State.PENDING: ExitCode.PENDING,
    State.APPROVED: ExitCode.DONE,
    State.REJECTED: ExitCode.REJECTED,
    State.EXPIRED: ExitCode.EXPIRED,
}
_OF_ERROR: tuple[tuple[tuple[type[HitlError], ...], ExitCode], ...] = (
    ((refusals.NotAllowed, refusals.NotYourObligation), ExitCode.NOT_ALLOWED),
    (
        (
            InvalidInput,
            refusals.ReasonMissing,
            refusals.ObligationMissing,
            DuePassed,
            refusals.ChangesNotOffered,
            BadEntry,
        ),
        ExitCode.BAD_INPUT,
    ),
    ((NoSuchApproval, AmbiguousId, BadId, refusals.NoSuchObligation), ExitCode.NO_SUCH_ID),
    ((BadUsage, BadDuration), ExitCode.USAGE),
    ((refusals.AlreadyDecided, refusals.TooLate, refusals.Closed), ExitCode.ALREADY_ANSWERED),
)


def code_of_state(approval: Approval) -> ExitCode:
    """Say by a code how an approval is now."""
    return _OF_STATE.get(approval.state, ExitCode.CLOSED)


def code_of_error(error: HitlError) -> ExitCode:
    """Say by a code why nothing was done."""
    return next((code for kinds, code in _OF_ERROR if isinstance(error, kinds)), ExitCode.FAILED)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code for several approvals: what ended badly comes before what has not ended."""
    found = set(codes)
    return min(found - {ExitCode.DONE, ExitCode.PENDING} or found - {ExitCode.DONE} or {ExitCode.DONE})
