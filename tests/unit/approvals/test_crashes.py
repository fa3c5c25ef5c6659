"""A crash or a failure at any request leaves something that can be finished, and never something lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

import pytest

from metaflow_extensions.hitl.approvals.errors import HitlError, StoreUnavailable
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Answer, State, TrailEvent, Verdict, Where
from tests.fixtures.approvals import ALICE, BOB, REQUESTER, Bench, gate, pathspec, question
from tests.fixtures.watched_stores import Crash, FailingOnce, WatchedStore

ID = pathspec().approval_id
APPROVE = Answer(verdict=Verdict.APPROVE)
REJECT = Answer(verdict=Verdict.REJECT, reason="The data is stale.")


def nothing(bench: Bench) -> None:
    """Prepare nothing."""


def ask(bench: Bench) -> object:
    asked = question(notifiers=("memory",), timeout=60, on_timeout=OnTimeout.APPROVE)
    return bench.cases.ask(pathspec(), asked, gate(), REQUESTER)


def approve(bench: Bench) -> object:
    return bench.cases.decide(ID, APPROVE, who=ALICE, where=Where.BUTTON)


def reject(bench: Bench) -> object:
    return bench.cases.decide(ID, REJECT, who=BOB, where=Where.FORM)


def expire(bench: Bench) -> object:
    bench.clock.forward(60)
    return bench.cases.expire(bench.ledger.read(ID))


def close(bench: Bench) -> object:
    return bench.cases.close(bench.ledger.read(ID), "The run was stopped.")


def open_gate(bench: Bench) -> object:
    bench.clock.forward(60)
    return bench.cases.open_gate(pathspec())


ENDINGS = [approve, reject, expire, close, open_gate]


def interrupted(
    act: Callable[[Bench], object], prepare: Callable[[Bench], object], moment: str, error: type[BaseException]
) -> Iterator[Bench]:
    """Yield a world for each request of an act, in which that request was the one that failed."""
    for n in count(1):
        bench = Bench()
        prepare(bench)
        failing = FailingOnce(n, error)
        with suppress(error):
            act(bench.on(WatchedStore(bench.store, **{moment: failing})))
        if not failing.fired:
            assert n > 3  # the act has requests that can fail
            return
        yield bench


def finish(bench: Bench) -> None:
    """Do what the sweeper does about everything that is open, until there is nothing left to do."""
    for approval_id in list(bench.ledger.open_ids()):
        with suppress(HitlError):  # a marker without a record
            entry = bench.ledger.read(approval_id)
            if entry.approval.state is State.PENDING:
                bench.cases.post(entry)
            else:
                bench.cases.carry_out(entry)


WAYS = [("before", Crash), ("after", Crash), ("before", StoreUnavailable), ("after", StoreUnavailable)]
WAY_NAMES = ["dies before a request", "dies after a request", "loses a request", "loses an answer"]


@pytest.mark.parametrize(("moment", "error"), WAYS, ids=WAY_NAMES)
def test_asking_may_be_interrupted_anywhere(moment, error):
    """Whatever was written when asking failed, it is on the open list before it is a record, and asking again works."""
    for bench in interrupted(ask, nothing, moment, error):
        recorded = any(key.startswith("approvals/") for key in bench.store.list(""))
        assert not recorded or list(bench.ledger.open_ids()) == [ID]
        finish(bench)
        ask(bench)
        assert [entry.version.event for entry in bench.ledger.verify(ID)] == [TrailEvent.REQUESTED, TrailEvent.POSTED]
        assert list(bench.notifier.posts) == [ID]
        assert list(bench.ledger.open_ids()) == [ID]


@pytest.mark.parametrize("act", ENDINGS)
@pytest.mark.parametrize(("moment", "error"), WAYS, ids=WAY_NAMES)
def test_ending_may_be_interrupted_anywhere(act, moment, error):
    """After any failure while an approval ends, the record says all or nothing of it, and the sweeper does the rest."""
    for bench in interrupted(act, ask, moment, error):
        stands = bench.ledger.verify(ID)[-1].approval
        assert ID in bench.ledger.open_ids() or stands.settlement is not None
        if stands.decision is None:
            assert (bench.engine.released, bench.engine.refused) == ({}, {})
        finish(bench)
        ended = bench.ledger.verify(ID)[-1].approval
        assert (ended.decision, ended.closing) == (stands.decision, stands.closing)
        if ended.state is State.PENDING:
            continue
        assert ended.settlement is not None
        assert ID not in list(bench.ledger.open_ids())
        assert bench.notifier.shown[ID].state is ended.state
        if ended.decision is not None:
            assert bench.ledger.decided_ids("TrainFlow", "deploy", limit=5) == [ID]
            assert (ID in bench.engine.released, ID in bench.engine.refused) == (ended.lets_run, not ended.lets_run)


@pytest.mark.parametrize("act", [approve, reject])
@pytest.mark.parametrize(("moment", "error"), WAYS, ids=WAY_NAMES)
def test_an_answer_may_be_given_again_after_any_failure(act, moment, error):
    """Who got an error clicks again and gets what they wanted, whether or not the first click had counted."""
    for bench in interrupted(act, ask, moment, error):
        act(bench)
        ended = bench.ledger.verify(ID)[-1].approval
        assert ended.state is (State.APPROVED if act is approve else State.REJECTED)
        assert ended.settlement is not None
        assert list(bench.ledger.open_ids()) == []
        assert len(bench.ledger.trail(ID)) == 4


@pytest.mark.parametrize("act", ENDINGS)
@pytest.mark.parametrize(("moment", "error"), WAYS, ids=WAY_NAMES)
def test_the_gate_never_opens_without_a_recorded_approval(act, moment, error):
    """Whenever the gate opens after a failure, the approval stands in the record, and the task was not failed."""
    for bench in interrupted(act, ask, moment, error):
        opened = None
        with suppress(HitlError):
            opened = bench.cases.open_gate(pathspec())
        recorded = bench.ledger.verify(ID)[-1].approval
        assert (opened is not None) == recorded.lets_run
        if opened is not None:
            assert recorded.decision == opened.decision
            assert bench.engine.refused == {}
        else:
            assert bench.engine.released == {}
