"""What a step may say about metrics, links and conditions, and what it is told about mistakes."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.evidence.collected import Better
from metaflow_extensions.hitl.approvals.question import RuleMode

with warnings.catch_warnings():
    # The plugin loads Metaflow, whose own copy of yaml warns where another one is installed.
    warnings.simplefilter("ignore")
    from metaflow_extensions.hitl.plugins.arguments import read_arguments
    from metaflow_extensions.hitl.plugins.evidence import collect
    from metaflow_extensions.hitl.plugins.evidence_arguments import MetricSpec, fill_in_links
    from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator


def read(**arguments: Any) -> Any:
    return read_arguments({**HitlDecorator.defaults, **arguments})


def f1(flow: Any) -> float:
    return float(flow.precision)


def test_names_paths_and_functions_are_metrics() -> None:
    """A name reads itself, a function is called what it is called, settings say the rest."""
    ask = read(metrics=["accuracy", "report.f1", f1])
    assert [(one.name, one.source) for one in ask.metrics] == [
        ("accuracy", "accuracy"),
        ("report.f1", "report.f1"),
        ("f1", f1),
    ]
    (accuracy,) = read(metrics={"accuracy": {"format": ".1%", "better": "higher", "warn_change": -0.02}}).metrics
    assert (accuracy.format, accuracy.better, accuracy.warn_change) == (".1%", Better.HIGHER, -0.02)


def test_conditions_are_read_when_the_flow_is_loaded() -> None:
    """Over the step's own metrics."""
    ask = read(metrics=["a"], auto_approve=" a > delta.a ", mode="shadow", quorum_if={"previous.a < 1": 2}).question
    assert (ask.auto_approve, ask.auto_approve_mode, ask.quorum_if) == (
        "a > delta.a",
        RuleMode.SHADOW,
        {"previous.a < 1": 2},
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metrics": "accuracy"}, '`metrics` must be a list such as ["accuracy", "report.f1"]'),
        ({"metrics": []}, "`metrics` must name 1 to 40 metrics, not 0"),
        ({"metrics": ["a", "a"]}, "`metrics` names 'a' twice"),
        ({"metrics": [lambda self: self.a]}, "A function without a name needs one"),
        ({"metrics": ["delta"]}, "A metric can't be called 'delta'"),
        ({"metrics": {"a": {"colour": "red"}}}, "unknown setting 'colour'. Use value, format, better"),
        ({"metrics": {"a": {"better": "bigger"}}}, '`better` of the metric \'a\' must be "higher" or "lower"'),
        ({"metrics": {"a": {"format": "q"}}}, "`format` of the metric 'a' must be as for format(), such as \".1%\""),
        ({"metrics": {"a": {"format": "999999999"}}}, "`format` of the metric 'a'"),
        ({"metrics": {"a": {"warn_below": "low"}}}, "`warn_below` of the metric 'a' must be a number, not 'low'"),
        ({"metrics": {"a": {"warn_change": 0}}}, "`warn_change` of the metric 'a' must not be 0"),
        ({"metrics": {"a": {"value": 3}}}, "`value` of the metric 'a' must be an artifact"),
        ({"plots": "roc"}, '`plots` must be a list of artifacts such as ["confusion_matrix"]'),
        ({"plots": ["roc", "roc"]}, "`plots` must be a list of artifacts"),
        ({"plots": []}, "`plots` must name 1 to 4 pictures, not 0"),
        ({"plots": list("abcde")}, "`plots` must name 1 to 4 pictures, not 5"),
        ({"plots": {"": "roc"}}, "A picture must have a name of 1 to 60 characters, not ''"),
        ({"plots": {"ROC": 3}}, "The picture 'ROC' must be an artifact such as"),
        ({"links": {"Card": "javascript:alert(1)"}}, "A link must be an http(s) address"),
        ({"links": {"Card": "https://cards/{self}"}}, "may contain flow, run, run_id, step, task in braces"),
        ({"auto_approve": "a > 1"}, "`auto_approve`: 'a > 1' uses 'a'. It can use: nothing, because the step has no"),
        ({"metrics": ["a"], "auto_approve": "b > 1"}, "uses 'b'. It can use: a, delta.a, previous.a"),
        ({"metrics": ["a"], "auto_approve": "a >"}, "`auto_approve`: 'a >' can't be read at character 4"),
        ({"metrics": ["a"], "auto_approve": 1}, '`auto_approve` must be a condition over metrics such as "accuracy'),
        ({"mode": "shadow"}, "`mode='shadow'` needs `auto_approve`"),
        ({"metrics": ["a"], "quorum_if": {"a < 1": 1}}, "must ask for a whole number from 2 to 20 people, not 1"),
        ({"metrics": ["a"], "quorum_if": "a < 1"}, "`quorum_if` must be a dict of up to 10 conditions"),
        ({"valid_for": "soon"}, "valid_for"),
        ({"supersede": "yes"}, "supersede"),
        (
            {"metrics": ["a"], "auto_approve": "a > 1", "input_schema": {"target": "str"}},
            "`auto_approve` needs a default for every field of `input_schema` that isn't optional, and target has none",
        ),
        ({"metrics": ["a"], "approvers": ["U0BOB"], "quorum_if": {"a < 1": 2}}, "quorum"),
    ],
)
def test_a_mistake_is_named_with_what_is_accepted(arguments: dict[str, Any], words: str) -> None:
    """When the flow is loaded, before anything runs."""
    with pytest.raises(HitlError, match=re.escape(words)):
        read(**arguments)


def test_links_are_quoted_for_an_address() -> None:
    """Nothing that a run is called can lead a link elsewhere."""
    links = fill_in_links({"Card": "https://cards.example.com/{run}?step={step}"}, {"run": "a/../b", "step": "s&x"})
    assert links == {"Card": "https://cards.example.com/a%2F..%2Fb?step=s%26x"}


class _Flow(SimpleNamespace):
    @property
    def broken(self) -> float:
        raise RuntimeError("no such bucket")


def _task(**artifacts: str) -> Any:
    store = SimpleNamespace(_objects={"_private": "x", "name": "y", **artifacts}, step_name="start", task_id="1")
    flow = _Flow(accuracy=0.9, report={"f1": 0.5, "deep": {"auc": 1}}, rate=0.01, api_key="s3cret", text="x" * 500)
    return SimpleNamespace(
        flow=flow, inputs=(store,), is_join=False, parameters={"rate": "", "api_key": "", "text": ""}
    )


@pytest.mark.parametrize(
    ("source", "value", "problem"),
    [
        ("accuracy", 0.9, ""),
        ("report.f1", 0.5, ""),
        ("report.deep.auc", 1, ""),
        ("report", None, "is a dict of 2, not a number"),
        ("report.f2", None, "report has no 'f2'"),
        ("accuracy.f1", None, "accuracy is not a dict"),
        ("gone", None, "no artifact 'gone' comes in"),
        ("broken", None, "failed with RuntimeError: no such bucket"),
        (lambda flow: flow.accuracy * 2, 1.8, ""),
        (lambda flow: flow.accuracy / 0, None, "failed with ZeroDivisionError: float division by zero"),
    ],
)
def test_a_metric_is_a_value_or_says_why_there_is_none(source: Any, value: Any, problem: str) -> None:
    """Names, paths and functions; nothing that they do keeps the question from being asked."""
    (metric,) = collect(_task(), (MetricSpec(name="m", source=source),), _task().flow, {}).metrics
    assert (metric.value, metric.problem) == (value, problem)


def test_what_comes_in_is_noted_by_key_and_secrets_by_hash() -> None:
    """Metaflow's keys of the author's artifacts, the parameters, the code package."""
    found = collect(_task(model="m1"), (), None, {"METAFLOW_CODE_SHA": "c" * 40})
    assert found.artifacts is not None
    assert found.artifacts.keys == {"model": "m1"}
    assert found.code.package == "c" * 40
    assert found.parameters["rate"] == "0.01"
    assert found.parameters["api_key"].startswith("SHA-256 ")
    assert found.parameters["text"].startswith("SHA-256 ")
