"""What an open approval needs next."""

from __future__ import annotations

import pytest
from hypothesis import given

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind
from metaflow_extensions.hitl.approvals.sweeping import Act, plan
from tests.fixtures.any_approval import approvals
from tests.fixtures.approvals import after, approval, approving


@pytest.mark.slow
@given(approvals())
def test_a_plan_is_never_about_what_cant_be_done(any_approval: Approval) -> None:
    """What is settled is finished; what ended is carried out; only what is pending is posted or expired."""
    coming = plan(any_approval, notifiers={"memory"}, engines=set(EngineKind))
    if any_approval.settlement is not None:
        assert coming is not None
        assert coming.act is Act.FINISH
    elif any_approval.decision is not None or any_approval.closing is not None:
        assert coming is not None
        assert coming.act is Act.CARRY_OUT
    else:
        assert coming is None or coming.act in {Act.POST, Act.EXPIRE, Act.JUDGE}


def test_a_deadline_that_only_notifies_expires_nothing() -> None:
    """With ``on_timeout="notify"`` the approval waits on."""
    assert plan(approval(timeout=60, on_timeout=OnTimeout.NOTIFY), notifiers=(), engines=()) is None


def test_what_is_posted_elsewhere_is_left_to_it() -> None:
    """A question for a notifier that is not here is not this sweeper's to post."""
    assert plan(approval(notifiers=("terminal",)), notifiers={"slack"}, engines=()) is None


def test_what_runs_elsewhere_is_left_to_it() -> None:
    """A decision for an engine that is not here is not this sweeper's to carry out."""
    decided = transitions.decide(approval(), approving())
    assert plan(decided, notifiers=(), engines=()) is None


def test_whichever_comes_first() -> None:
    """A deadline of five seconds comes before the time to post."""
    coming = plan(approval(timeout=5, notifiers=("memory",)), notifiers={"memory"}, engines=())
    assert coming is not None
    assert (coming.act, coming.at) == (Act.EXPIRE, after(5))
