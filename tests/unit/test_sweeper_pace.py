"""How often the bot looks at the tail: often while there is life, seldom where nothing happens, never late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event

from structlog.testing import capture_logs

from hitl_bot.sweeper import IDLE_EVERY, TAIL_EVERY, SweeperThread
from tests.fixtures.approvals import NOW, HandClock


class Tended:
    """A sweeper that only says when something is due, and whether it saw a change."""

    def __init__(self) -> None:
        self.next_at: datetime | None = None
        self.saw_change = False

    def tick(self) -> datetime | None:
        return self.next_at


def paced() -> tuple[SweeperThread, Tended, HandClock, Event]:
    sweeper, clock, awake = Tended(), HandClock(), Event()
    return SweeperThread(sweeper, clock, lambda: None, awake), sweeper, clock, awake


def test_an_idle_bot_looks_every_five_seconds():
    """A minute after the last sign of life; 12 listings a minute, where it was 57."""
    thread, _, clock, _ = paced()
    assert thread._work() == TAIL_EVERY
    clock.forward(61)
    assert thread._work() == IDLE_EVERY


def test_a_change_or_a_click_makes_it_look_every_second():
    """For a minute after each."""
    thread, sweeper, clock, awake = paced()
    clock.forward(61)
    sweeper.saw_change = True
    assert thread._work() == TAIL_EVERY
    sweeper.saw_change = False
    clock.forward(61)
    assert thread._work() == IDLE_EVERY
    awake.set()
    assert thread._work() == TAIL_EVERY
    clock.forward(30)
    assert thread._work() == TAIL_EVERY


def test_it_is_never_late_for_what_is_due():
    """However idle, a deadline ends the pause."""
    thread, sweeper, clock, _ = paced()
    clock.forward(61)
    sweeper.next_at = NOW + timedelta(seconds=63.5)
    assert thread._work() == 2.5
    sweeper.next_at = NOW
    assert thread._work() == 0


def test_a_click_ends_a_long_pause(monkeypatch):
    """The thread waits for the click, not for the clock."""
    monkeypatch.setattr("hitl_bot.sweeper.IDLE_EVERY", 3_600.0)
    thread, sweeper, clock, awake = paced()
    clock.forward(61)
    looked: list[float] = []
    original = sweeper.tick

    def tick() -> datetime | None:
        looked.append(1)
        if len(looked) == 1:
            awake.set()
        else:
            thread.stop()
        return original()

    sweeper.tick = tick
    thread.start()
    assert thread.join(60)
    assert len(looked) == 2


def test_a_stop_during_a_sweep_is_no_defect():
    """The pools end while the last tick still uses them: the log has a line for the curious, and no traceback."""
    thread, sweeper, _, _ = paced()
    ended = ThreadPoolExecutor()
    ended.shutdown()
    sweeper.tick = lambda: ended.submit(int)
    with capture_logs() as running:
        thread._work()
    thread.stop()
    with capture_logs() as stopping:
        thread._work()
    assert [one["log_level"] for one in [*running, *stopping]] == ["error", "info"]
