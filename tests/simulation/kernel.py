"""Virtual time, in which processes that know nothing of it take turns: each waits only where it does I/O or sleeps.

Every process is a handful of greenlets in one thread. A call that leaves the process lets the others run, so what
happens in between is decided by the latencies that a seed gives, and the same seed gives the same history.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, TimeoutError as NotYet
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from heapq import heappop, heappush
from itertools import count
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH = datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)
_ROOTS = ("hitl_bot", "metaflow_extensions.hitl")


class Task:
    """One thread of a process."""

    __slots__ = ("greenlet", "process", "turn")

    def __init__(self, process: Process, act: Callable[[], object]) -> None:
        self.process = process
        self.greenlet = greenlet(act, process.kernel.hub)
        self.turn = 0  # a wake-up for an earlier turn is void


class Process:
    """What can be killed at once, with a clock of its own.

    Parameters
    ----------
    skew : float
        Seconds that its clock is ahead of the true time.
    """

    def __init__(self, kernel: Kernel, name: str, *, skew: float = 0.0) -> None:
        self.kernel = kernel
        self.name = name
        self.alive = True
        self.tasks: set[Task] = set()
        self.come_back: Callable[[], object] | None = None
        self._skew = timedelta(seconds=skew)

    def clock(self) -> datetime:
        return self.kernel.present() + self._skew

    def spawn(self, act: Callable[[], object], delay: float = 0.0) -> Task:
        def run() -> None:
            try:
                act()
            except GreenletExit:
                pass
            except Exception as error:  # noqa: BLE001 - a test says so
                self.kernel.defects.append(f"{self.name}: {error!r}")
            finally:
                self.tasks.discard(task)

        task = Task(self, run)
        self.tasks.add(task)
        self.kernel.wake(task, delay)
        return task

    def die(self, seconds: float | None = None) -> None:
        """Lose everything, as by kill -9, and come back after so long. Called by a task of its own: no return."""
        if not self.alive:
            return
        if seconds is not None and self.come_back is not None:
            self.kernel.at(seconds, self.come_back)
        self.alive = False
        self.kernel.at(0.0, self._bury)
        current = self.kernel.current
        if current is not None and current.process is self:
            raise GreenletExit

    def _bury(self) -> None:
        for task in list(self.tasks):
            if task.greenlet:  # it has begun; no more than its own memory is touched while it unwinds
                task.greenlet.throw(GreenletExit)
        self.tasks.clear()


class Kernel:
    """The time, and whose turn it is.

    Attributes
    ----------
    now : float
        Seconds since the beginning.
    defects : list[str]
        What was raised and caught by nobody.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.defects: list[str] = []
        self.current: Task | None = None
        self.hub = getcurrent()
        self._queue: list[tuple[float, int, Task | Callable[[], object], int]] = []
        self._order = count()
        self._present = (0.0, EPOCH)

    def present(self) -> datetime:
        if self._present[0] != self.now:
            self._present = (self.now, EPOCH + timedelta(seconds=self.now))
        return self._present[1]

    def monotonic(self) -> float:
        return self.now

    def wake(self, task: Task, delay: float = 0.0) -> None:
        heappush(self._queue, (self.now + delay, next(self._order), task, task.turn))

    def at(self, delay: float, act: Callable[[], object]) -> None:
        """Let something happen that no process does and that waits for nothing."""
        heappush(self._queue, (self.now + delay, next(self._order), act, 0))

    def sleep(self, seconds: float) -> None:
        task = self._of_the_living()
        self.wake(task, max(0.0, seconds))
        self.hub.switch()

    def block(self, seconds: float | None = None) -> None:
        """Wait until somebody wakes the current task, for so long at most."""
        task = self._of_the_living()
        if seconds is not None:
            self.wake(task, seconds)
        self.hub.switch()

    def _of_the_living(self) -> Task:
        task = self.current
        if task is None or not task.process.alive:
            raise GreenletExit
        return task

    def run(self, end: float, done: Callable[[], bool] = lambda: False, look_every: float = 1.0) -> bool:
        """Let time pass until it is done, or the end has come; say whether it is done."""
        look_at = self.now
        while self._queue:
            at, _, what, turn = self._queue[0]
            if at > end:
                break
            if at >= look_at:
                look_at = at + look_every
                if done():
                    return True
            heappop(self._queue)
            self.now = max(self.now, at)
            if not isinstance(what, Task):
                what()
            elif what.process.alive and what.turn == turn:
                what.turn += 1
                self.current = what
                what.greenlet.switch()
                self.current = None
        self.now = max(self.now, end)
        return done()

    def end(self) -> None:
        """Let go of everything that still waits."""
        for _, _, what, _ in list(self._queue):
            if isinstance(what, Task):
                what.process.die()
                what.process._bury()


class Future:
    """What will have come of a task."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._waiting: list[Task] = []
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def settle(self, act: Callable[[], object]) -> None:
        try:
            self._value = act()
        except Exception as error:  # noqa: BLE001 - it is raised where the result is wanted
            self._error = error
        self._done = True
        for task in self._waiting:
            self._kernel.wake(task)

    def result(self, timeout: float | None = None) -> Any:
        if not self._done:
            task = self._kernel.current
            assert task is not None
            self._waiting.append(task)
            end = None if timeout is None else self._kernel.now + timeout
            while not self._done:
                self._kernel.block(None if end is None else max(0.0, end - self._kernel.now))
                if end is not None and self._kernel.now >= end and not self._done:
                    self._waiting.remove(task)
                    raise NotYet
        if self._error is not None:
            raise self._error
        return self._value


class Threads(Executor):
    """An executor whose threads are tasks of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def submit(self, fn: Callable[..., object], /, *args: Any, **kwargs: Any) -> Future:  # type: ignore[override]
        future = Future(self._process.kernel)
        self._process.spawn(lambda: future.settle(lambda: fn(*args, **kwargs)))
        return future

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Iterator[Any]:
        things = list(zip(*iterables, strict=False))
        if len(things) < 2:
            return iter([fn(*one) for one in things])
        futures = [self.submit(fn, *one) for one in things]
        return (future.result() for future in futures)


class Lock:
    """A lock that lets the others run while somebody waits for it."""

    kernel: Kernel | None = None  # of the simulation under way
    _held = False
    _waiting: tuple[Task, ...] = ()

    def __enter__(self) -> None:
        while self._held:
            kernel = self.kernel
            assert kernel is not None
            assert kernel.current is not None
            self._waiting = (*self._waiting, kernel.current)
            kernel.block()
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        if self._waiting:
            waiting, self._waiting = self._waiting, ()
            for task in waiting:
                assert self.kernel is not None
                self.kernel.wake(task)


@contextmanager
def simulated_locks() -> Iterator[None]:
    """Give everything of ours that is made meanwhile locks of this kind: one thread must not wait for itself."""
    replaced = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(_ROOTS) and getattr(module, "Lock", None) is threading.Lock
    ]
    for module in replaced:
        module.Lock = Lock  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in replaced:
            module.Lock = threading.Lock  # type: ignore[attr-defined]
