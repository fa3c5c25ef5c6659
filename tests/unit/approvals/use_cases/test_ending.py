"""What ends an approval without an answer: the deadline, and a run that is gone."""

from __future__ import annotations

import pytest

from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import State, TrailEvent, Where
from metaflow_extensions.hitl.approvals.refusals import Closed
from tests.fixtures.approvals import ALICE
from tests.unit.approvals.use_cases.acts import APPROVE, ID, REJECT, decide, events, is_open


@pytest.mark.parametrize(
    ("on_timeout", "released", "state"),
    [(OnTimeout.APPROVE, True, State.APPROVED), (OnTimeout.REJECT, False, State.EXPIRED)],
)
def test_an_expiry_is_carried_out_like_an_answer(bench, on_timeout, released, state):
    """At the deadline the gate is released or failed, the message says so, and all is settled."""
    bench.ask(timeout=60, on_timeout=on_timeout)
    bench.clock.forward(60)
    outcome = bench.cases.expire(bench.ledger.read(ID))
    assert outcome.approval.state is state
    assert (ID in bench.engine.released, ID in bench.engine.refused) == (released, not released)
    assert bench.notifier.shown[ID] == outcome.approval
    assert not is_open(bench)


def test_expiring_before_the_deadline_does_nothing(bench):
    """A sweeper whose clock is early leaves the question open."""
    bench.ask(timeout=60)
    bench.clock.forward(59.999999)
    assert bench.cases.expire(bench.ledger.read(ID)).approval.state is State.PENDING
    assert events(bench) == [TrailEvent.REQUESTED, TrailEvent.POSTED]
    assert is_open(bench)


def test_expiring_what_was_answered_carries_the_answer_out(bench):
    """A sweeper with an old view finds the answer, and that is what happens."""
    bench.ask(timeout=60)
    old = bench.ledger.read(ID)
    bench.cases.take(ID, APPROVE, who=ALICE, where=Where.BUTTON)
    bench.clock.forward(60)
    assert bench.cases.expire(old).approval.state is State.APPROVED
    assert bench.engine.released.keys() == {ID}


def test_closing_shows_it_and_touches_no_engine(bench):
    """A question whose run is gone is closed, shown as closed and off the list."""
    bench.ask()
    outcome = bench.cases.close(bench.ledger.read(ID), "The run was stopped.")
    assert outcome.approval.state is State.CLOSED
    assert bench.notifier.shown[ID] == outcome.approval
    assert bench.engine.calls == []
    assert not is_open(bench)
    with pytest.raises(Closed):
        decide(bench)


def test_closing_what_was_answered_carries_the_answer_out(bench):
    """An answer from just before is not lost to a closing with an old view."""
    bench.ask()
    old = bench.ledger.read(ID)
    bench.cases.take(ID, REJECT, who=ALICE, where=Where.BUTTON)
    assert bench.cases.close(old, "gone").approval.state is State.REJECTED
    assert bench.engine.refused.keys() == {ID}
