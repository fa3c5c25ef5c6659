"""What keeps questions from being shown: logged once for each cause, not once for each question."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock

import structlog

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import NotifierBusy, NotifierError
from metaflow_extensions.hitl.approvals.ports import Clock, Finder, Notifier
from metaflow_extensions.hitl.approvals.record import Approval, Post

REPORT_AGAIN = timedelta(hours=1)
_CAUSES = 1_000

log = structlog.get_logger("hitl_bot.notifiers")


class ProblemLog:
    """Writes each problem of a notifier to the log as an error, with what to do; the same again after an hour.

    Parameters
    ----------
    clock : Clock
        The present.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reported: BoundedMap[tuple[str, str], datetime] = BoundedMap(_CAUSES)
        self._lock = Lock()

    def report(self, notifier: str, example: str, error: NotifierError) -> None:
        """Log a problem that was not logged within the last hour. Having to wait for a turn is not a problem."""
        if isinstance(error, NotifierBusy):
            return
        key, now = (notifier, error.cause), self._clock()
        with self._lock:
            reported = self._reported.get(key)
            if reported is not None and now - reported < REPORT_AGAIN:
                return
            self._reported[key] = now
        log.error("questions can't be shown", notifier=notifier, why=str(error), for_example=example)


class ReportingNotifier:
    """A notifier whose problems are logged. It still raises them.

    Parameters
    ----------
    name : str
        What questions ask for it by.
    notifier : Notifier
        What does the work.
    problems : ProblemLog
        Where they are logged.
    """

    def __init__(self, name: str, notifier: Notifier, problems: ProblemLog) -> None:
        self.updates = bool(getattr(notifier, "updates", False))
        self._name = name
        self._notifier = notifier
        self._problems = problems

    def post(self, approval: Approval) -> Post | None:
        """Ask the question."""
        try:
            return self._notifier.post(approval)
        except NotifierError as error:
            self._problems.report(self._name, approval.id, error)
            raise

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it is now."""
        try:
            self._notifier.update(approval, post)
        except NotifierError as error:
            self._problems.report(self._name, approval.id, error)
            raise

    def find(self, approval: Approval) -> Post | None:
        """Return where a question stands, if the notifier can say."""
        if not isinstance(self._notifier, Finder):
            return None
        try:
            return self._notifier.find(approval)
        except NotifierError as error:
            self._problems.report(self._name, approval.id, error)
            raise

    def withdraw(self, approval: Approval, post: Post) -> None:
        """Remove a message beside the one that the record names, if the notifier can."""
        if isinstance(self._notifier, Finder):
            try:
                self._notifier.withdraw(approval, post)
            except NotifierError as error:
                self._problems.report(self._name, approval.id, error)
                raise


def reporting(notifiers: Mapping[str, Notifier], problems: ProblemLog) -> dict[str, Notifier]:
    """Log the problems of all these notifiers."""
    return {name: ReportingNotifier(name, notifier, problems) for name, notifier in notifiers.items()}
