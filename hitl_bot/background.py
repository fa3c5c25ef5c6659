"""Work that the sweeper's thread leaves to a pool."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from threading import Lock

import structlog

from metaflow_extensions.hitl.approvals.errors import HitlError

log = structlog.get_logger("hitl_bot.background")


class BackgroundJob:
    """Does a job on a pool, never twice at a time, and once more if it was asked for meanwhile.

    A refusal or a defect ends one round and is logged; the job can be asked for again.

    Parameters
    ----------
    pool : Executor
        Where it is done.
    work : Callable[[], None]
        One round, which finds out by itself what there is to do.
    name : str
        Of the job, for the log.
    """

    def __init__(self, pool: Executor, work: Callable[[], None], *, name: str) -> None:
        self._pool = pool
        self._work = work
        self._name = name
        self._lock = Lock()
        self._busy = False
        self._again = False

    @property
    def is_busy(self) -> bool:
        """Whether a round is under way."""
        return self._busy

    def ask(self) -> None:
        """Do a round soon: now, or when the one that is under way is done."""
        with self._lock:
            self._again = self._busy
            if self._busy:
                return
            self._busy = True
        try:
            self._pool.submit(self._rounds)
        except BaseException:
            self._busy = False  # the pool takes nothing more
            raise

    def _rounds(self) -> None:
        while self._busy:
            try:
                self._work()
            except HitlError as error:
                log.warning("a background job waits", job=self._name, why=str(error))
            except Exception:
                log.exception("a background job failed", job=self._name)
            except BaseException:
                self._busy = False
                raise
            with self._lock:
                self._busy, self._again = self._again, False
