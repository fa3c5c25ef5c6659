"""Whose run it is and where it is, as recorded workflows in a real API server say, whatever the record says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from metaflow_extensions.hitl.approvals.deciding.permission import check_may_decide
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, Origin, Person
from metaflow_extensions.hitl.approvals.refusals import NotAllowed
from metaflow_extensions.hitl.approvals.running_again import CantRunAgain
from metaflow_extensions.hitl.engines import argo
from metaflow_extensions.hitl.slack import SLACK
from tests.cluster import recorded
from tests.cluster.gated import Gated, gated
from tests.fixtures.approvals import ALICE, BOB, CAROL, Directory, pathspec
from tests.fixtures.engines import ArgoPlace, Pauses

EVERYBODY = Directory(in_slack_as={"alice": ALICE, "bob@example.com": BOB})
RECORDINGS = [recorded.FOREACH_3_7, recorded.FOREACH_4_1, recorded.RECURSION_3_7]


@pytest.fixture(params=["kubernetes", "argo_server"])
def place(request: pytest.FixtureRequest) -> ArgoPlace:
    found: ArgoPlace = request.getfixturevalue(f"{request.param}_place")
    return found


def claims(*names: str) -> list[Person]:
    return [Person(id=name, name=name, origin=Origin.CLAIM) for name in names]


def annotate(flow: Gated, **annotations: str) -> None:
    """Add annotations as whoever creates a workflow does; in a name ``__`` is a slash."""
    flow.change(*(_add("annotations", name, value) for name, value in annotations.items()))


def label(flow: Gated, **labels: str) -> None:
    flow.change(*(_add("labels", f"workflows.argoproj.io/{name.replace('_', '-')}", to) for name, to in labels.items()))


def _add(where: str, name: str, value: str) -> dict[str, Any]:
    path = name.replace("__", "/").replace("/", "~1")
    return {"op": "add", "path": f"/metadata/{where}/{path}", "value": value}


def decide(place: ArgoPlace, asked: Approval, person: Person) -> None:
    """Hold a person to the rule that nobody approves a run of their own."""
    known = replace(asked, question=replace(asked.question, allow_self_approval=False))
    check_may_decide(known, person, EVERYBODY, started_by=place.engine.started_by(known))


@pytest.mark.parametrize("recording", RECORDINGS)
def test_who_deployed_is_on_every_workflow(place: ArgoPlace, recording: str) -> None:
    """Metaflow's own annotation names who deployed, on each of the recorded workflows."""
    [asked, *_] = gated(place.cluster, place.namespace, recording).approvals
    assert list(place.engine.started_by(asked)) == claims("alice")


def test_a_workflow_without_metaflow_s_word_names_nobody(place: ArgoPlace) -> None:
    """Where neither Metaflow nor Argo notes anybody, the record's own word is left, and it bars everybody."""
    asked = gated(place.cluster, place.namespace, recorded.COMPRESSED_4_1).approvals[0]
    assert place.engine.started_by(asked) == ()
    with pytest.raises(NotAllowed):
        decide(place, asked, CAROL)


def test_who_deployed_and_who_started_are_refused(place: ArgoPlace) -> None:
    """Under no self-approval neither of them approves, whatever the record says of its requester; others do."""
    flow = gated(place.cluster, place.namespace)
    annotate(flow, metaflow__triggered_by_user='{"type": "user", "name": "bob@example.com"}')
    asked = replace(flow.approvals[0], requester=Person(id="carol", name="carol", origin=Origin.CLAIM))
    for person in (ALICE, BOB):
        with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
            decide(place, asked, person)
    decide(place, asked, CAROL)


def test_who_submitted_through_argo_server_is_refused(place: ArgoPlace) -> None:
    """Argo's server labels a workflow with who was logged in, and writes an address without its @."""
    flow = gated(place.cluster, place.namespace)
    label(flow, creator="0f2a-44", creator_email="bob.at.example.com", creator_preferred_username="bob")
    assert list(place.engine.started_by(flow.approvals[0])) == claims("alice", "bob@example.com")
    with pytest.raises(NotAllowed, match="the person who started the run may not approve it"):
        decide(place, flow.approvals[0], BOB)


def test_a_starter_that_nobody_knows_bars_everybody(place: ArgoPlace) -> None:
    """Who started it may be anybody, so nobody approves before an operator has said who that is."""
    flow = gated(place.cluster, place.namespace)
    for told in ("ci-robot", '{"name": "ci-robot"}'):
        annotate(flow, metaflow__triggered_by_user=told)
        with pytest.raises(NotAllowed, match="ci-robot isn't linked to a Slack user"):
            decide(place, flow.approvals[0], CAROL)


def test_who_ran_it_again_is_refused_by_their_id(place: ArgoPlace) -> None:
    """The bot notes the Slack id of who started a run again, and that is who must not approve it."""
    flow = gated(place.cluster, place.namespace)
    triggered = '{"type": "user", "name": "bob@example.com"}'
    annotate(flow, **{"metaflow-hitl__by": BOB.id, "metaflow__triggered_by_user": triggered})
    found = place.engine.started_by(flow.approvals[0])
    assert [(one.id, one.origin) for one in found] == [("alice", Origin.CLAIM), (BOB.id, SLACK)]


# What a record may not choose.


def forged(flow: Gated) -> dict[str, Approval]:
    """Records that name a workflow which is not, or is not known to be, the one of their own run."""
    asked = flow.approvals[0]
    other_run = pathspec(flow=asked.pathspec.flow, run="argo-another", task=asked.pathspec.task)
    other_flow = pathspec(flow="Another", run=asked.pathspec.run, task=asked.pathspec.task)
    return {
        "another run": replace(asked, pathspec=other_run),
        "another flow": replace(asked, pathspec=other_flow),
        "no workflow": replace(asked, gate=replace(asked.gate, workflow=None)),
        "a path": replace(asked, gate=replace(asked.gate, workflow="../workflows")),
        "another namespace": replace(asked, gate=replace(asked.gate, namespace="default")),
    }


def test_a_record_does_not_choose_whose_run_it_is(place: ArgoPlace) -> None:
    """Where the record names another workflow than its run's, nobody is taken for the starter, and none is known."""
    for what, record in forged(gated(place.cluster, place.namespace)).items():
        with pytest.raises(EngineUnavailable, match=r"who started|may not get"):
            pytest.fail(f"{what}: {place.engine.started_by(record)}")


def test_a_record_does_not_choose_its_namespace(place: ArgoPlace, pauses: Pauses) -> None:
    """The namespace is where the workflow of the run is found, or it is unknown; one look for all of its gates."""
    flow = gated(place.cluster, place.namespace)
    assert {place.engine.namespace_of(asked) for asked in flow.approvals} == {place.namespace}
    assert place.proxy.requests() == [("GET", 200)]
    pauses.sleep(argo.KEPT.total_seconds())
    unsaid = replace(flow.approvals[0], gate=replace(flow.approvals[0].gate, namespace=None))
    assert place.engine.namespace_of(unsaid) == place.namespace
    for what, record in forged(flow).items():
        with pytest.raises(EngineUnavailable, match=r"in which namespace|may not get"):
            pytest.fail(f"{what}: {place.engine.namespace_of(record)}")


def test_a_record_does_not_choose_what_is_started_again(place: ArgoPlace) -> None:
    """Only a workflow in which the gate of this very approval is says what is started; a forged record starts none."""
    place.let_start()
    flow = gated(place.cluster, place.namespace, parameters={"alpha": "0.1"})
    foreign = {**forged(flow), "another task": _of_another_task(flow.approvals[0])}
    for what, record in foreign.items():
        with pytest.raises((CantRunAgain, EngineUnavailable)):
            pytest.fail(f"{what}: {place.engine.run_again(record, {'alpha': '9'}, BOB)}")
        assert not flow.started()


def _of_another_task(asked: Approval) -> Approval:
    path = asked.pathspec
    planted = pathspec(flow=path.flow, run=path.run, task="t-planted")
    return replace(asked, pathspec=planted, id=planted.approval_id)


def test_a_workflow_that_is_gone_names_nobody(place: ArgoPlace, pauses: Pauses) -> None:
    """Whose run it was can't be known any longer, so nobody approves it."""
    flow = gated(place.cluster, place.namespace)
    flow.delete()
    pauses.sleep(timedelta(minutes=1).total_seconds())
    with pytest.raises(EngineUnavailable, match="can't be known who started this run, because the workflow"):
        place.engine.started_by(flow.approvals[0])
