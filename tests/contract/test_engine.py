"""What the port Engine promises, kept by the fake and by both engines for Argo.

Those for Argo work on Workflow objects that real controllers wrote, in a real API server. In front of it stands either
nothing but a proxy, or a double of argo-server that applies Argo's documented rules to the same objects.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from metaflow_extensions.hitl.approvals import rules
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from tests.fixtures.approvals import approving, rejecting

if TYPE_CHECKING:
    from metaflow_extensions.hitl.approvals.record import Approval
    from tests.fixtures.engines import Place


@pytest.fixture(params=["fake", "kubernetes", "argo_server"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(f"{request.param}_place")  # starts only the servers that this one needs


def approved(asked: Approval) -> Approval:
    return rules.decide(asked, approving(at=asked.requested_at + timedelta(seconds=60)))


def rejected(asked: Approval) -> Approval:
    return rules.decide(asked, rejecting(at=asked.requested_at + timedelta(seconds=60)))


def expired(asked: Approval) -> Approval:
    return rules.expire(asked, asked.requested_at + timedelta(seconds=3601))


def test_approval_lets_one_gate_go_on(place: Place) -> None:
    """Of three gates, the one that was approved opens; the others wait."""
    _, asked, _ = place.ask()
    assert place.engine.carry_out(approved(asked)) == ""
    assert place.phases() == ["Running", "Succeeded", "Running"]


def test_rejection_fails_one_gate(place: Place) -> None:
    """Of three gates, the one that was rejected fails; the others wait."""
    asked, _, _ = place.ask()
    assert place.engine.carry_out(rejected(asked)) == ""
    assert place.phases() == ["Failed", "Running", "Running"]


def test_rejection_that_the_step_wants_to_see_opens(place: Place) -> None:
    """With on_reject="continue" the gate of a rejected approval opens."""
    _, _, asked = place.ask(on_reject=OnReject.CONTINUE)
    assert place.engine.carry_out(rejected(asked)) == ""
    assert place.phases() == ["Running", "Running", "Succeeded"]


@pytest.mark.parametrize(("on_timeout", "phase"), [(OnTimeout.REJECT, "Failed"), (OnTimeout.APPROVE, "Succeeded")])
def test_deadline_decides_as_a_person_does(place: Place, on_timeout: OnTimeout, phase: str) -> None:
    """An expired approval fails its gate, and one that approves by timeout opens it."""
    asked, _, _ = place.ask(timeout=3600, on_timeout=on_timeout)
    assert place.engine.carry_out(expired(asked)) == ""
    assert place.phases() == [phase, "Running", "Running"]


def test_carrying_out_again_is_fine(place: Place) -> None:
    """Every call may come twice: the second finds it done, and says so."""
    first, second, _ = place.ask()
    for asked in (approved(first), rejected(second)):
        assert [place.engine.carry_out(asked) for _ in range(2)] == ["", ""]
    assert place.phases() == ["Succeeded", "Failed", "Running"]


def test_all_at_once_are_carried_out(place: Place) -> None:
    """Threads that carry out three decisions, each twice and all at once, do not lose any."""
    one, two, three = place.ask()
    decided = [approved(one), rejected(two), approved(three)] * 2
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(place.engine.carry_out, decided)) == [""] * 6
    assert place.phases() == ["Succeeded", "Failed", "Succeeded"]


def test_undecided_is_a_defect(place: Place) -> None:
    """There is nothing to carry out before there is a decision: no gate moves."""
    asked, _, _ = place.ask()
    with pytest.raises(ValueError, match="not decided"):
        place.engine.carry_out(asked)
    assert place.phases() == ["Running"] * 3


def test_waiting_gate_is_not_gone(place: Place) -> None:
    """While something waits for the answer, nothing is gone."""
    assert [place.engine.gone(asked) for asked in place.ask()] == [None] * 3


def test_gone_says_why(place: Place) -> None:
    """When what waited is deleted, both calls say so, and nothing is raised at the person who decided."""
    asked, other, _ = place.ask()
    place.end()
    assert "deleted" in (place.engine.gone(asked) or "")
    assert "deleted" in place.engine.carry_out(approved(asked))
    assert "deleted" in place.engine.carry_out(rejected(other))


def test_no_answer_is_unavailable(place: Place) -> None:
    """An engine that can't be reached is no reason to give up: both calls ask to be tried again."""
    asked, _, _ = place.ask()
    place.go_away()
    with pytest.raises(EngineUnavailable):
        place.engine.carry_out(approved(asked))
    with pytest.raises(EngineUnavailable):
        place.engine.gone(asked)
