"""The thread in which the sweeper works, and what it writes to the log."""

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import date, timedelta
from threading import Event, Lock, Thread

import structlog

from metaflow_extensions.hitl.approvals.errors import HitlError, NotifierError, StoreError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.queries import History
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.sweeping import Act, Sweeper

# Work that the sweeper's thread leaves to a pool.

log = structlog.get_logger("hitl_bot.sweeper")


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


# Writes the digest of each day that is over, so that history and statistics don't read a record for each decision.


class Digests:
    """Follows the sweeper, and looks once a day, and at its start, what is missing.

    Parameters
    ----------
    history : History
        Reads and writes them.
    workers : Executor
        Where it is done, so that the sweeper does not wait.
    """

    def __init__(self, history: History, workers: Executor) -> None:
        self._history = history
        self._done: date | None = None  # the first day that was not over when they were written
        self._writing = BackgroundJob(workers, self._write, name="digests")

    def changed(self, entry: Entry) -> None:
        """Do nothing: the ledger tells the history."""

    def tick(self) -> None:
        """Begin, if a day is over and everything that was decided lately is known."""
        due = self._history.follows and self._done != self._history.first_open_day()
        if due and not self._writing.is_busy:
            self._writing.ask()

    def _write(self) -> None:
        day = self._history.first_open_day()
        try:
            written = self._history.write_digests()
        except HitlError:
            raise  # in the next tick again
        except Exception:
            self._done = day  # not again today: history reads the records instead
            raise
        self._done = day
        if written:
            log.info("digests written", days=written)


# The thread in which the sweeper works, and what it writes to the log.

TAIL_EVERY = 1.0  # seconds between two looks at the tail while there is life
IDLE_EVERY = 5.0  # seconds, where there has been none for a minute: a fifth of the requests
_LIVELY_FOR = timedelta(minutes=1)
_AFTER_TROUBLE = 5.0  # seconds


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
        log.error("sweeping failed", approval_id=approval_id, exc_info=error)


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
        except Exception as error:  # a thread that died of one defect would leave every deadline to chance
            if self._stop.is_set():  # the pools that it uses end at the same time: the next start goes on
                log.info("the sweep was cut short", why=str(error))
            else:
                log.exception("the sweep failed")
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
