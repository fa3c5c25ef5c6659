"""What the port Engine promises, kept by the fake and by both engines for Argo.

Those for Argo work on Workflow objects that real controllers wrote, in a real API server. In front of it stands either
nothing but a proxy, or a double of argo-server that applies Argo's documented rules to the same objects.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval, Verdict
from metaflow_extensions.hitl.approvals.running_again import AlreadyRunAgain, BadParameter, CantRunAgain
from tests.fixtures.approvals import ALICE, BOB, approving, rejecting
from tests.fixtures.engines import Place


@pytest.fixture(params=["fake", "kubernetes", "argo_server"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(f"{request.param}_place")  # starts only the servers that this one needs


def approved(asked: Approval) -> Approval:
    return transitions.decide(asked, approving(at=asked.requested_at + timedelta(seconds=60)))


def rejected(asked: Approval) -> Approval:
    return transitions.decide(asked, rejecting(at=asked.requested_at + timedelta(seconds=60)))


def expired(asked: Approval) -> Approval:
    return transitions.expire(asked, asked.requested_at + timedelta(seconds=3601))


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


# Starting a run again.


def test_a_run_tells_what_it_was_started_with(place: Place) -> None:
    """The parameters come as people write them, in their order."""
    assert list(place.engine.parameters(sent_back(place)).items()) == [("alpha", "0.1"), ("model", "fraud")]


def test_it_is_started_again_with_other_parameters(place: Place) -> None:
    """What is not said stays as it was, and what was text stays text; no gate moves."""
    place.let_start()
    asked = sent_back(place)
    name = place.engine.run_again(asked, {"alpha": "0.2"}, ALICE)
    assert place.started() == {name: {"alpha": "0.2", "model": "fraud"}}
    assert place.phases() == ["Running"] * 3


def test_an_approval_leads_to_one_run(place: Place) -> None:
    """The same call again returns the same run; other parameters, or another person, are told which there is."""
    place.let_start()
    asked = sent_back(place)
    name = place.engine.run_again(asked, {"model": "1"}, ALICE)
    assert place.engine.run_again(asked, {"model": "1"}, ALICE) == name
    for parameters, by in (({"model": "2"}, ALICE), ({"model": "1"}, BOB)):
        with pytest.raises(AlreadyRunAgain, match=name):
            place.engine.run_again(asked, parameters, by)
    assert place.started() == {name: {"alpha": "0.1", "model": "1"}}


def test_many_at_once_start_one_run(place: Place) -> None:
    """Threads that start it all at once start one."""
    place.let_start()
    asked = sent_back(place)
    with ThreadPoolExecutor(6) as pool:
        names = set(pool.map(lambda _: place.engine.run_again(asked, {"alpha": "0.2"}, ALICE), range(6)))
    assert list(place.started()) == list(names)


def test_a_number_stays_one(place: Place) -> None:
    """A value of another kind is refused by its name, and nothing is started."""
    place.let_start()
    with pytest.raises(BadParameter, match=r"a number, such as 0\.1") as refused:
        place.engine.run_again(sent_back(place), {"alpha": "high"}, ALICE)
    assert refused.value.name == "alpha"
    assert place.started() == {}


def test_what_is_gone_can_not_be_started_again(place: Place) -> None:
    """Only the workflow knew its parameters."""
    place.let_start()
    asked = sent_back(place)
    place.end()
    with pytest.raises(CantRunAgain, match="deleted"):
        place.engine.run_again(asked, {}, ALICE)


def sent_back(place: Place) -> Approval:
    asked, _, _ = place.ask(allow_changes=True)
    wants = rejecting(at=asked.requested_at + timedelta(seconds=60))
    return transitions.decide(asked, replace(wants, verdict=Verdict.CHANGES))
