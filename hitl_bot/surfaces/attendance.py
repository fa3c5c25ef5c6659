"""Notices when nobody waits for an answer any longer, so that no message asks for what would start nothing."""

from concurrent.futures import Executor
from datetime import datetime, timedelta

import structlog

from hitl_bot.sweeper import BackgroundJob
from metaflow_extensions.hitl.approvals.attendance import SELDOM, last_seen
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.queries import Projection
from metaflow_extensions.hitl.approvals.record import EngineKind, State
from metaflow_extensions.hitl.approvals.use_cases import UseCases

_LOOK_EVERY = timedelta(seconds=SELDOM)

log = structlog.get_logger("hitl_bot.attendance")


class Attendance:
    """Follows the sweeper, and looks once a minute who waits: one LIST for each 1,000 that do.

    Parameters
    ----------
    cases : UseCases
        What is noted and shown, and the clock.
    projection : Projection
        What is open.
    workers : Executor
        Where it is done, so that the sweeper does not wait.
    """

    def __init__(self, cases: UseCases, projection: Projection, workers: Executor) -> None:
        self._cases = cases
        self._projection = projection
        self._next = cases.clock()
        self._unshown: set[str] = set()
        self._looking = BackgroundJob(workers, self.look, name="attendance")

    def changed(self, entry: Entry) -> None:
        """Do nothing: a process that dies changes no record."""

    def tick(self) -> None:
        """Begin to look, if it is time and anything is open."""
        if self._cases.clock() >= self._next and len(self._projection):
            self._next = self._cases.clock() + _LOOK_EVERY
            self._looking.ask()

    def look(self) -> None:
        """Note of everything that is open whether somebody waits for it, and bring its message up to date."""
        now = self._cases.clock()
        try:
            seen = last_seen(self._cases.ledger.store)
        except HitlError as error:
            log.warning("can't see who waits", why=str(error))
            return
        for approval_id, (waits, age) in seen.items():
            entry = self._projection.get(approval_id)
            if entry is not None:
                self._note(entry, None if waits else now - timedelta(seconds=age))

    def _note(self, entry: Entry, nobody_since: datetime | None) -> None:
        approval = entry.approval
        known = (approval.unattended_since is None) is (nobody_since is None) and approval.id not in self._unshown
        # A workflow is looked up in the cluster; whoever can write the store must not speak for it.
        if known or approval.state is not State.PENDING or approval.gate.engine is not EngineKind.LOCAL:
            return
        try:
            outcome = self._cases.note_attendance(entry, nobody_since)
        except HitlError as error:
            log.warning("can't note who waits", approval_id=approval.id, why=str(error))
            return
        (self._unshown.add if outcome.pending else self._unshown.discard)(approval.id)
        log.info("attendance", approval_id=approval.id, nobody_since=outcome.approval.unattended_since)
