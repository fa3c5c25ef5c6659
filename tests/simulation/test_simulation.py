"""Whatever goes wrong, and in whatever order: what people see is what the record says."""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

from tests.simulation.schedule import Schedule, drawn, shrunk
from tests.simulation.simulation import Report, Simulation, simulating
from tests.sizes import soak

_PARTS = 8  # that can be run side by side
_SOON = 5  # minutes after the last fault
_SHOWN = 60  # lines of what happened


def told(seed: int, report: Report) -> str:
    """Make a history that went wrong smaller, and tell it."""
    kinds = report.kinds()

    def fails(schedule: Schedule) -> bool:
        return bool(kinds & Simulation(schedule).run().kinds())

    small = shrunk(drawn(seed), report.faults, fails)
    again = Simulation(small, log=True).run()
    return "\n".join([f"seed {seed}: {small}", *again.log[-_SHOWN:], *again.violations])


def repeat(seed: int) -> None:
    """Run one history, and print every call and what did not hold."""
    with simulating():
        report = Simulation(drawn(seed), log=True).run()
    sys.stdout.write("\n".join([str(report.schedule), *report.log, *report.violations, ""]))


@pytest.mark.soak
@pytest.mark.timeout(14_400)  # of a soak
@pytest.mark.parametrize("part", range(_PARTS))
def test_everything_holds_in_every_history(part: int, record_property):
    """2,000 histories with faults, 100,000 in a soak: one verdict, no gate without a yes, all of it shown in time."""
    number = soak(2_000, 100_000) // _PARTS
    begun = time.process_time()
    late: Counter[int] = Counter()
    calls = faults = 0
    with simulating() as broke:
        for seed in range(part * number, (part + 1) * number):
            report = Simulation(drawn(seed)).run()
            assert not report.violations, told(seed, report)
            assert not broke, f"seed {seed}: {broke}"
            calls, faults = calls + report.calls, faults + len(report.faults)
            late[int(report.settled_after) // 60] += 1
    # What waits for the full read, ten minutes later, is rare: a process died before it told anybody of a version.
    assert sum(times for minute, times in late.items() if minute >= _SOON) <= max(2, number // 200), late
    spent = time.process_time() - begun
    record_property(
        "figure",
        f"simulation: {number} histories, {calls} calls, {faults} faults; {late[0]} settled within a minute of the "
        f"last fault, the last in minute {max(late) + 1}; {spent:.0f} s CPU",
    )


def test_the_same_seed_is_the_same_history():
    """What fails can be looked at again: calls, faults and everything that people see are the same."""
    with simulating():
        first, second = (Simulation(drawn(3), log=True).run() for _ in range(2))
    assert first.log == second.log
    assert first.calls > 50
