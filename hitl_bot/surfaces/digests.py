"""Writes the digest of each day that is over, so that history and statistics don't read a record for each decision."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import date
from threading import Lock

import structlog

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.queries import History

log = structlog.get_logger("hitl_bot.digests")


class Digests:
    """Follows the sweeper, and looks once a day, and at its start, what is missing.

    Parameters
    ----------
    history : History
        Reads and writes them.
    clock : Clock
        The present.
    workers : Executor
        Where it is done, so that the sweeper does not wait.
    """

    def __init__(self, history: History, clock: Clock, workers: Executor) -> None:
        self._history = history
        self._clock = clock
        self._workers = workers
        self._done: date | None = None  # the first day that was not over when they were written
        self._busy = False
        self._lock = Lock()

    def changed(self, entry: Entry) -> None:
        """Do nothing: the ledger tells the history."""

    def tick(self) -> None:
        """Begin, if a day is over and everything that was decided lately is known."""
        with self._lock:
            if self._busy or not self._history.follows or self._done == self._history.first_open_day():
                return
            self._busy = True
        self._workers.submit(self._write)

    def _write(self) -> None:
        day = self._history.first_open_day()
        try:
            written = self._history.write_digests()
            self._done = day
            if written:
                log.info("digests written", days=written)
        except HitlError as error:
            log.warning("digests wait", why=str(error))
        except Exception:
            log.exception("the digests broke")
            self._done = day  # not again today: history reads the records instead
        finally:
            with self._lock:
                self._busy = False
