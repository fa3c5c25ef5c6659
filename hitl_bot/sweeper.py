"""The thread in which the sweeper works, and what it writes to the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread

import structlog

from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierError, StoreError
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.sweeping import Act, Sweeper

TAIL_EVERY = 1.0  # seconds between two looks at the tail while there is life
IDLE_EVERY = 5.0  # seconds, where there has been none for a minute: a fifth of the requests
_LIVELY_FOR = timedelta(minutes=1)
_AFTER_TROUBLE = 5.0  # seconds

log = structlog.get_logger("hitl_bot.sweeper")


class LogObserver:
    """Writes to the log what the sweeper does."""

    def saw(self, approval: Approval) -> None:
        """Log nothing: the process that wrote the version did."""

    def saw_all(self) -> None:
        """Log nothing."""

    def did(self, act: Act, approval: Approval) -> None:
        """Log what was done."""
        log.info("swept", act=act.value, approval_id=approval.id, state=approval.state.value)

    def failed(self, approval_id: str, error: HitlError) -> None:
        """Log what could not be done, in the words a person would get; what is told elsewhere, only for the curious."""
        # A notifier's trouble is the same for hundreds of approvals: ``problem_log`` reports it once.
        write = log.debug if isinstance(error, NotifierError) else log.warning
        write("not swept", approval_id=approval_id, kind=type(error).__name__, why=str(error))

    def broke(self, approval_id: str, error: Exception) -> None:
        """Log a defect with its traceback."""
        log.error("sweeping broke", approval_id=approval_id, exc_info=error)


class SweeperThread:
    """Lets a sweeper work until it is stopped. What it is at when it is told to stop is brought to an end.

    Parameters
    ----------
    sweeper : Sweeper
        Does the work.
    clock : Clock
        The present.
    caught_up : Callable[[], None]
        Called whenever there is nothing more to do.
    awake : Event
        Set by whoever notices that people are at work: the thread then looks at once, and often for a while.
    """

    def __init__(self, sweeper: Sweeper, clock: Clock, caught_up: Callable[[], None], awake: Event) -> None:
        self._sweeper = sweeper
        self._clock = clock
        self._caught_up = caught_up
        self._stop = Event()
        self._awake = awake
        self._alive_at = clock()
        self._thread = Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; ``join`` waits for it."""
        self._stop.set()
        self._awake.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end, at most so long, and say whether it came."""
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = self._work()
            if pause > TAIL_EVERY:
                self._awake.wait(pause)  # a click ends a long pause, and makes the next ones short
            else:
                self._stop.wait(pause)

    def _work(self) -> float:
        """Work once, and return the seconds until the next time."""
        try:
            next_at = self._sweeper.tick()
        except StoreError as error:
            log.warning("the store can't be swept", why=str(error))
            return _AFTER_TROUBLE
        except Exception:  # a thread that died of one defect would leave every deadline to chance
            log.exception("the sweep broke")
            return _AFTER_TROUBLE
        now = self._clock()
        if self._sweeper.saw_change or self._awake.is_set():
            self._awake.clear()
            self._alive_at = now
        pause = TAIL_EVERY if now - self._alive_at < _LIVELY_FOR else IDLE_EVERY
        if next_at is not None:
            pause = min(pause, (next_at - now).total_seconds())  # deadlines are promised to two seconds
        if pause > 0:
            self._caught_up()
        return max(0.0, pause)
