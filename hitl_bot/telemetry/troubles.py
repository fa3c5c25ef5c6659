"""What keeps questions from being shown, told to the operator once for each cause and not once for each question."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock

import structlog

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.errors import NotifierBusy, NotifierError
from metaflow_extensions.hitl.approvals.ports import Clock, Notifier
from metaflow_extensions.hitl.approvals.record import Approval, Post

TELL_AGAIN = timedelta(hours=1)
_CAUSES = 1_000

log = structlog.get_logger("hitl_bot.notifiers")


class Troubles:
    """Writes each trouble of a notifier to the log as an error, with what to do; the same again after an hour.

    Parameters
    ----------
    clock : Clock
        The present.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: BoundedMap[tuple[str, str], datetime] = BoundedMap(_CAUSES)
        self._lock = Lock()

    def tell(self, notifier: str, example: str, error: NotifierError) -> None:
        """Log a trouble, if it is not known to whoever reads the log. To wait for one's turn is no trouble."""
        if isinstance(error, NotifierBusy):
            return
        key, now = (notifier, error.cause), self._clock()
        with self._lock:
            told = self._told.get(key)
            if told is not None and now - told < TELL_AGAIN:
                return
            self._told[key] = now
        log.error("questions can't be shown", notifier=notifier, why=str(error), for_example=example)


class ToldNotifier:
    """A notifier whose troubles are told. What it raises, it still raises.

    Parameters
    ----------
    name : str
        What questions ask for it by.
    notifier : Notifier
        What does the work.
    troubles : Troubles
        Who is told.
    """

    def __init__(self, name: str, notifier: Notifier, troubles: Troubles) -> None:
        self._name = name
        self._notifier = notifier
        self._troubles = troubles

    def post(self, approval: Approval) -> Post | None:
        """Ask the question."""
        try:
            return self._notifier.post(approval)
        except NotifierError as error:
            self._troubles.tell(self._name, approval.id, error)
            raise

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval as it stands."""
        try:
            self._notifier.update(approval, post)
        except NotifierError as error:
            self._troubles.tell(self._name, approval.id, error)
            raise


def told(notifiers: Mapping[str, Notifier], troubles: Troubles) -> dict[str, Notifier]:
    """Let the troubles of all these notifiers be told."""
    return {name: ToldNotifier(name, notifier, troubles) for name, notifier in notifiers.items()}
