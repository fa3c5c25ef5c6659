"""What a command works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from metaflow_extensions.hitl.api import Approvals


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
