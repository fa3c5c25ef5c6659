"""A gated container on Argo opens only for a question that was asked for its own workflow, in its own namespace."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace

import pytest

from metaflow_extensions.hitl.approvals.errors import OtherPlace
from metaflow_extensions.hitl.approvals.record import EngineKind, Gate
from tests.fixtures.approvals import approval

HERE = Gate(engine=EngineKind.ARGO, namespace="production", workflow="train-x7k2p")
POD = {"ARGO_WORKFLOW_NAME": "train-x7k2p", "METAFLOW_KUBERNETES_POD_NAMESPACE": "production"}


@pytest.fixture(scope="module")
def check_place():
    """The plugin loads Metaflow, whose own copy of yaml warns where another one is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("metaflow_extensions.hitl.plugins.gate").check_place


def test_its_own_place_is_fine(check_place):
    """The workflow and namespace of the pod, as Kubernetes and Argo name them; outside of Argo nothing is asked."""
    check_place(replace(approval(), gate=HERE), POD)
    check_place(approval(), {"METAFLOW_KUBERNETES_POD_NAMESPACE": "production"})


@pytest.mark.parametrize(
    ("asked_for", "words"),
    [
        (replace(HERE, namespace="playground"), "asked for the workflow train-x7k2p in namespace playground"),
        (replace(HERE, workflow="another"), "asked for the workflow another in namespace production"),
        (replace(HERE, namespace=None), r"in namespace \(none\)"),
        (Gate(engine=EngineKind.LOCAL), "asked for a run without Argo"),
    ],
)
def test_no_other_place_will_do(check_place, asked_for, words):
    """Elsewhere other rules may hold, so an answer from there is not for this container; both places are named."""
    with pytest.raises(OtherPlace, match=words) as refused:
        check_place(replace(approval(), gate=asked_for), POD)
    assert "this task runs in the workflow train-x7k2p in namespace production" in str(refused.value)
