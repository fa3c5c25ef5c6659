"""An engine without a workflow: for tests and simulations, which ask it afterwards what was let through."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable

if TYPE_CHECKING:
    from metaflow_extensions.hitl.approvals.record import Approval


class FakeEngine:
    """Remembers what became of every gate. Threads may share it.

    Attributes
    ----------
    released, refused : dict[str, Approval]
        By approval id: the approval with which the gate's task was first let go, or failed.
    calls : list[str]
        The approval id of every ``carry_out``, the failed ones too.
    """

    def __init__(self) -> None:
        self.released: dict[str, Approval] = {}
        self.refused: dict[str, Approval] = {}
        self.calls: list[str] = []
        self._lock = Lock()
        self._outage: str | None = None
        self._gone: dict[str, str] = {}

    # The port.

    def carry_out(self, approval: Approval) -> str:
        """Let the gate's task go, or fail it; the first time counts, as for a node that has ended."""
        with self._lock:
            self.calls.append(approval.id)
            self._check_available()
            if approval.decision is None:
                raise ValueError(f"{approval.id} is not decided, so there is nothing to carry out")
            if approval.id in self.released or approval.id in self.refused:
                return ""
            if approval.id in self._gone:
                return self._gone[approval.id]
            (self.released if approval.lets_run else self.refused)[approval.id] = approval
            return ""

    def gone(self, approval: Approval) -> str | None:
        """Return what ``end`` was told about it, or None."""
        with self._lock:
            self._check_available()
            return self._gone.get(approval.id)

    # What may happen to an engine.

    def go_away(self, why: str = "The engine does not answer.") -> None:
        """Raise EngineUnavailable from now on."""
        self._outage = why

    def come_back(self) -> None:
        """Answer again."""
        self._outage = None

    def end(self, approval_id: str, why: str) -> None:
        """Let the workflow of an approval end without it."""
        with self._lock:
            self._gone[approval_id] = why

    def _check_available(self) -> None:
        if self._outage is not None:
            raise EngineUnavailable(self._outage)
