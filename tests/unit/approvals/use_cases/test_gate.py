"""The gate: only a recorded decision starts the task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals import record as pathspecs
from metaflow_extensions.hitl.approvals.errors import NoSuchApproval, OtherPathspec, StoreUnavailable
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import State, Where
from metaflow_extensions.hitl.approvals.refusals import Closed, Rejected, StillPending
from metaflow_extensions.hitl.approvals.use_cases import passed
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import ALICE, BOB, Bench, approval, approving, pathspec
from tests.fixtures.watched_stores import WatchedStore
from tests.unit.approvals.use_cases.acts import APPROVE, ID, REJECT, decide


def test_the_gate_is_closed_until_somebody_approved(bench):
    """A bare resume of the workflow is no answer: without one the task is told how to get it."""
    bench.ask()
    with pytest.raises(StillPending, match="Resuming the workflow is not an answer"):
        bench.cases.open_gate(pathspec())
    decide(bench)
    assert bench.cases.open_gate(pathspec()).decision.by == ALICE


def test_the_gate_is_closed_where_nobody_asked(bench):
    """A task without a record does not run."""
    with pytest.raises(NoSuchApproval):
        bench.cases.open_gate(pathspec())


def test_a_rejection_keeps_the_gate_closed_unless_the_step_wants_to_see_it(bench):
    """With ``on_reject="continue"`` the task starts and sees the verdict."""
    bench.ask()
    decide(bench, REJECT, who=BOB)
    with pytest.raises(Rejected, match=r'rejected by Bob Brown: "The data is stale\."'):
        bench.cases.open_gate(pathspec())
    seeing = pathspec(run="18")
    bench.ask(seeing, on_reject=OnReject.CONTINUE)
    bench.cases.decide(seeing.approval_id, REJECT, who=BOB, where=Where.FORM)
    assert bench.cases.open_gate(seeing).state is State.REJECTED


def test_a_closed_approval_keeps_the_gate_closed(bench):
    """What was closed does not run."""
    bench.ask()
    bench.cases.close(bench.ledger.read(ID), "The run was stopped.")
    with pytest.raises(Closed):
        bench.cases.open_gate(pathspec())


@pytest.mark.parametrize("on_timeout", [OnTimeout.APPROVE, OnTimeout.REJECT])
def test_the_gate_lets_the_record_decide_about_a_deadline(bench, on_timeout):
    """If the engine's own clock opened the gate, the expiry is recorded before the task starts or fails."""
    bench.ask(timeout=60, on_timeout=on_timeout)
    bench.clock.forward(60)
    if on_timeout is OnTimeout.APPROVE:
        assert bench.cases.open_gate(pathspec()).decision.where is Where.TIMEOUT
    else:
        with pytest.raises(Rejected, match="expired: no one answered in 1 min"):
            bench.cases.open_gate(pathspec())
    assert bench.ledger.read(ID).approval.decision.where is Where.TIMEOUT


def test_a_deadline_that_only_notifies_opens_nothing(bench):
    """Behind it the gate is as closed as before."""
    bench.ask(timeout=60, on_timeout=OnTimeout.NOTIFY)
    bench.clock.forward(10_000)
    with pytest.raises(StillPending):
        bench.cases.open_gate(pathspec())


def test_the_gate_stays_closed_when_the_expiry_can_not_be_recorded(bench):
    """What is not in the record did not happen, even where the deadline would have approved."""
    bench.ask(timeout=60, on_timeout=OnTimeout.APPROVE)
    bench.clock.forward(60)

    def no_create(request, key):
        if request == "create":
            raise StoreUnavailable(key)

    with pytest.raises(StoreUnavailable):
        bench.on(WatchedStore(bench.store, no_create)).cases.open_gate(pathspec())
    assert bench.ledger.read(ID).approval.state is State.PENDING


def test_the_gate_of_another_task_takes_no_answer_of_this_one(bench):
    """A record that was put under another task's id opens nothing."""
    bench.ask()
    decide(bench)
    copied = MemoryStore()
    other = pathspec(run="18")
    for key in bench.store.list(f"approvals/{ID}/"):
        copied.create(key.replace(ID, other.approval_id), bench.store.read(key))
    with pytest.raises(OtherPathspec):
        Bench(store=copied).cases.open_gate(other)


def test_a_task_that_happens_to_share_an_id_takes_no_answer(bench, monkeypatch):
    """The record names its task in full: were two ids ever the same, the second task would stay closed."""
    monkeypatch.setattr(pathspecs, "_HASH_LENGTH", 1)
    first = pathspec(run="0")
    second = next(
        other for run in range(1, 10_000) if (other := pathspec(run=str(run))).approval_id == first.approval_id
    )
    bench.ask(first)
    bench.cases.decide(first.approval_id, APPROVE, who=ALICE, where=Where.BUTTON)
    with pytest.raises(OtherPathspec, match=f"is about {first}, not about {second}"):
        bench.cases.open_gate(second)
    with pytest.raises(OtherPathspec):
        bench.ask(second)
    assert bench.cases.open_gate(first).lets_run


def test_only_a_decision_passes():
    """``passed`` is the one place where an approval becomes a start."""
    with pytest.raises(StillPending):
        passed(approval())
    assert passed(replace(approval(), decision=approving())).lets_run
