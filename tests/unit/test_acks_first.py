"""Everything that has come is acknowledged before any of it is worked on."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from hitl_bot.slack import connection
from hitl_bot.slack.connection import AcksFirst


@pytest.fixture
def acks() -> AcksFirst:
    return AcksFirst()


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let work wait for an hour: what goes on at once does not take that long on any machine."""
    monkeypatch.setattr(connection, "_ACKS_WITHIN", 3_600.0)
    return 60.0


def spent(acks: AcksFirst) -> float:
    begin = time.monotonic()
    acks.wait_for_others()
    return time.monotonic() - begin


def test_one_person_waits_for_nobody(acks: AcksFirst, long_wait: float) -> None:
    """A request that is alone goes on at once, although its own acknowledgement is still on its way."""
    with acks.pending(), ThreadPoolExecutor(1) as listener:
        assert listener.submit(spent, acks).result() < long_wait


@pytest.mark.usefixtures("long_wait")
def test_work_waits_for_the_acknowledgements_of_others(acks: AcksFirst) -> None:
    """While another request is unacknowledged, what follows an acknowledgement waits; it goes on with the other's."""
    here, leave = Event(), Event()

    def other() -> None:
        with acks.pending():
            here.set()
            leave.wait(60)

    with ThreadPoolExecutor(2) as threads, acks.pending():
        threads.submit(other)
        assert here.wait(60)
        working = threads.submit(acks.wait_for_others)
        leave.set()
        working.result(60)


def test_work_does_not_wait_for_long(acks: AcksFirst) -> None:
    """A request that stays unacknowledged holds up the work of others for a quarter of a second."""
    with ThreadPoolExecutor(2) as threads, acks.pending():
        held, leave = Event(), Event()

        def other() -> None:
            with acks.pending():
                held.set()
                leave.wait(60)

        threads.submit(other)
        assert held.wait(60)
        assert 0.2 < threads.submit(spent, acks).result(60) < 30
        leave.set()


def test_an_acknowledgement_on_its_way_never_waits(acks: AcksFirst, long_wait: float) -> None:
    """What Bolt acknowledges by itself, in the thread that sends it, is not held up by others."""
    with acks.pending(), acks.pending():
        assert spent(acks) < long_wait
