"""Starting a workflow again: by the rights of the manifests, and with what Metaflow's own trigger would create."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import kubernetes
import pytest

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.record import Approval, Verdict
from metaflow_extensions.hitl.engines.argo import MayNotCreate
from tests.cluster.control_plane import ADMIN
from tests.cluster.gated import RESOURCE
from tests.fixtures.approvals import ALICE, rejecting
from tests.fixtures.engines import ArgoPlace


@pytest.fixture(params=["kubernetes", "argo_server"])
def place(request: pytest.FixtureRequest) -> ArgoPlace:
    found: ArgoPlace = request.getfixturevalue(f"{request.param}_place")
    return found


def sent_back(place: ArgoPlace) -> Approval:
    asked = place.ask(allow_changes=True)[0]
    wants = rejecting(at=asked.requested_at + timedelta(seconds=60))
    return transitions.decide(asked, replace(wants, verdict=Verdict.CHANGES))


def test_without_the_right_nothing_is_started(place: ArgoPlace) -> None:
    """The bot's own rights start no workflow: the error names the component that adds it, and the way without."""
    with pytest.raises(MayNotCreate, match=r"(?s)use the command on the message.*components/run-again"):
        place.engine.run_again(sent_back(place), {"alpha": "0.2"}, ALICE)
    assert place.started() == {}


def test_it_is_what_metaflow_would_trigger(place: ArgoPlace) -> None:
    """A reference to the template and the parameters as JSON; annotations say who started it, and after what."""
    place.let_start()
    asked = sent_back(place)
    name = place.engine.run_again(asked, {"alpha": "0.2"}, ALICE)
    api = kubernetes.client.CustomObjectsApi(place.cluster.api_client(ADMIN))
    created = api.get_namespaced_custom_object(*RESOURCE, place.namespace, "workflows", name)
    assert created["spec"] == {
        "workflowTemplateRef": {"name": "gatedflow"},
        "arguments": {"parameters": [{"name": "alpha", "value": "0.2"}, {"name": "model", "value": '"fraud"'}]},
    }
    assert created["metadata"]["annotations"] == {
        "metaflow-hitl/after": asked.id,
        "metaflow-hitl/by": "U0ALICE",
        "metaflow/triggered_by_user": '{"type": "user", "name": "alice@example.com"}',
    }
    assert name == f"gatedflow-{asked.id[-10:]}"
