"""The workflow that runs another one again: what becomes of its parameters, and of its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.running_again import BadParameter, CantRunAgain
from metaflow_extensions.hitl.engines import nodes
from tests.fixtures.approvals import ALICE, approval

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def workflow(own: dict[str, str | None] | None = None, template: str = "trainflow", **stored: str) -> dict[str, Any]:
    def listed(values: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": [{"name": key, "value": value} for key, value in values.items()]}

    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "metadata": {"name": "trainflow-x7k2p", "namespace": "metaflow"},
        "spec": {"workflowTemplateRef": {"name": template}, "arguments": listed(own or {})},
        "status": {"storedWorkflowTemplateSpec": {"arguments": listed(stored)}},
    }


def values(found: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in found["spec"]["arguments"]["parameters"]}


@pytest.mark.parametrize(
    ("raw", "text", "entered", "value"),
    [
        ("0.1", "0.1", "0.2", "0.2"),
        ("1", "1", "1.5", "1.5"),
        ('"fraud"', "fraud", "churn", '"churn"'),
        ('"7"', "7", "8", '"8"'),
        ('""', "", "x", '"x"'),
        ("true", "true", "false", "false"),
        ('["a"]', '["a"]', '["a", "b"]', '["a", "b"]'),
        ('{"a": 1}', '{"a": 1}', '{"a": 2}', '{"a": 2}'),
        ("null", "", "5", "5"),
        ("null", "", "five", '"five"'),
        ("plain", "plain", "other", '"other"'),
    ],
)
def test_a_value_stays_of_its_kind(raw: str, text: str, entered: str, value: str) -> None:
    """Text is shown without its quotes and gets them back; what was no value takes any."""
    before = workflow(p=raw)
    assert nodes.parameters(before) == {"p": text}
    assert values(nodes.manifest(before, approval(), {"p": entered}, ALICE)) == {"p": value}


@pytest.mark.parametrize(
    ("raw", "entered"), [("0.1", "high"), ("1", "true"), ("true", "yes"), ("[1]", "1"), ('{"a": 1}', "[]"), ("3", "")]
)
def test_another_kind_is_refused(raw: str, entered: str) -> None:
    """The step would fail on it long after the click."""
    with pytest.raises(BadParameter, match="It must be"):
        nodes.manifest(workflow(p=raw), approval(), {"p": entered}, ALICE)


@given(JSON)
def test_what_nobody_changes_stays_to_the_letter(value: Any) -> None:
    """Whatever a parameter was, shown and sent back it is the same."""
    import json  # noqa: PLC0415 - the fact is about it

    before = workflow(p=json.dumps(value))
    sent_back = nodes.manifest(before, approval(), nodes.parameters(before), ALICE)
    assert values(sent_back) == {"p": json.dumps(value)}


def test_the_runs_own_parameters_stand_above_the_templates() -> None:
    """What it was triggered with counts; what the template knows besides is offered too."""
    assert nodes.parameters(workflow({"a": "2"}, a="1", b="3")) == {"a": "2", "b": "3"}


def test_what_has_no_value_is_left_to_the_template() -> None:
    """A parameter without a value is not sent, unless somebody enters one; what was never a parameter is not taken."""
    before = workflow({"a": None})
    assert nodes.parameters(before) == {"a": ""}
    assert values(nodes.manifest(before, approval(), {"a": "", "other": "1"}, ALICE)) == {}
    assert values(nodes.manifest(before, approval(), {"a": "5"}, ALICE)) == {"a": "5"}


def test_a_workflow_of_no_template_is_refused() -> None:
    """There would be nothing to start from."""
    before = workflow()
    del before["spec"]["workflowTemplateRef"]
    with pytest.raises(CantRunAgain, match="not started from a WorkflowTemplate"):
        nodes.parameters(before)


def test_a_name_fits() -> None:
    """However long the template's is, the workflow's has 63 characters at most, and is a name."""
    found = nodes.manifest(workflow(template="team." + "x" * 46 + "-y"), approval(), {}, ALICE)["metadata"]["name"]
    assert len(found) <= 63
    assert found == f"team.{'x' * 46}-{approval().id[-10:]}"
