"""Jobs that the sweeper's thread leaves to a pool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from hitl_bot.sweeper import BackgroundJob
from metaflow_extensions.hitl.approvals.errors import HitlError

WITHIN = 10.0  # seconds


def test_one_round_at_a_time_and_one_more() -> None:
    """Asked three times while a round is under way, a job does one more round, after it."""
    begun, goes_on, rounds = Event(), Event(), []

    def work() -> None:
        rounds.append("in")
        begun.set()
        assert goes_on.wait(WITHIN)
        rounds.append("out")

    with ThreadPoolExecutor(4) as pool:
        job = BackgroundJob(pool, work, name="test")
        job.ask()
        assert begun.wait(WITHIN)
        for _ in range(3):
            job.ask()
        assert job.is_busy
        goes_on.set()
    assert rounds == ["in", "out"] * 2
    assert not job.is_busy


@pytest.mark.parametrize("error", [HitlError("not now"), ZeroDivisionError()], ids=["refusal", "defect"])
def test_a_round_that_fails_is_not_the_last(error: Exception) -> None:
    """After a refusal or a defect, the job can be asked for again."""
    rounds: list[int] = []

    def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise error

    with ThreadPoolExecutor(1) as pool:
        job = BackgroundJob(pool, work, name="test")
        job.ask()
        pool.submit(int).result(WITHIN)  # the round before it is done
        job.ask()
    assert rounds == [0, 1]


def test_a_pool_that_was_shut_down_leaves_no_job_busy() -> None:
    """A job whose pool takes nothing more says so, and is not busy for ever."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    job = BackgroundJob(pool, lambda: None, name="test")
    with pytest.raises(RuntimeError):
        job.ask()
    assert not job.is_busy
