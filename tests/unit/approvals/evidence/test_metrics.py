"""What a metric can be, how it reads, and how it compares with the last approved run."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, strategies as st

from metaflow_extensions.hitl.approvals.evidence.collected import (
    Artifacts,
    Baseline,
    Better,
    Code,
    Evidence,
    Metric,
    digest,
    measure,
)
from metaflow_extensions.hitl.approvals.evidence.comparing import (
    Standing,
    compare,
    differences,
    other_parameters,
    scope_of,
    worst,
)
from metaflow_extensions.hitl.approvals.evidence.expressions import parse_expression

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


class Tensor:
    """As NumPy, PyTorch and pandas have them: with a shape, and an item if there is one."""

    def __init__(self, shape: tuple[int, ...], item: object = None) -> None:
        self.shape = shape
        self._item = item

    def item(self) -> object:
        if self.shape:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self._item


class DataFrame(Tensor):
    """As pandas has it: with a shape, and a truth that nobody may ask for."""

    def __bool__(self) -> bool:
        raise ValueError("The truth value of a DataFrame is ambiguous.")


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, name)
        raise RuntimeError("the cluster is\non fire")


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (0.94, 0.94),
        (41, 41),
        (True, True),
        ("canary", "canary"),
        ("two\nlines\x1b[31m", "two lines\ufffd[31m"),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (Tensor((), 0.5), 0.5),
        (2**60, float(2**60)),
    ],
)
def test_numbers_and_short_texts_are_recorded(value: object, recorded: object) -> None:
    """Python's numbers, those of NumPy and PyTorch, booleans, and a text of one line."""
    assert measure(value) == (recorded, "")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "is NaN"),
        (Tensor((), math.nan), "is NaN"),
        (math.inf, "is infinite"),
        (-math.inf, "is minus infinity"),
        (10**400, "is too large a number"),
        (None, "is None"),
        (Tensor((3, 224, 224)), "is a Tensor of 3 × 224 × 224, not a number"),
        (DataFrame((1_000, 12)), "is a DataFrame of 1000 × 12, not a number"),
        (dict.fromkeys(range(300_000)), "is a dict of 300,000, not a number"),
        ([1, 2], "is a list of 2, not a number"),
        (1j, "is a complex, not a number"),
    ],
)
def test_what_is_not_a_number_says_what_it_is(value: object, why: str) -> None:
    """Nothing that an artifact can be is an error; it is shown as what it is."""
    assert measure(value) == (None, why)


def test_an_artifact_whose_own_code_raises_is_shown_as_that() -> None:
    """What it raised, on one line."""
    assert measure(Hostile()) == (None, "failed with RuntimeError: the cluster is on fire")


@pytest.mark.parametrize(
    ("metric", "before", "row"),
    [
        (
            Metric(name="accuracy", value=0.94, format=".1%", better=Better.HIGHER),
            0.929,
            ("94.0%", "92.9%", "+1.1 points, better"),
        ),
        (
            Metric(name="latency_ms", value=41, better=Better.LOWER, warn_above=40),
            38,
            ("41", "38", "+3, worse · above the limit 40"),
        ),
        (Metric(name="rows", value=12_400), 12_000, ("12,400", "12,000", "+400")),
        (Metric(name="loss", value=0.25, format=".3f"), 0.25, ("0.250", "0.250", "unchanged")),
        (Metric(name="loss", value=0.25), None, ("0.25", "–", "new")),
        (Metric(name="loss", problem="is NaN"), 0.3, ("is NaN", "0.3", "–")),
        (Metric(name="stage", value="canary"), "full", ("canary", "full", "changed")),
        (Metric(name="passed", value=True), True, ("yes", "yes", "unchanged")),
        (
            Metric(name="auc", value=0.90, better=Better.HIGHER, warn_change=-0.02, warn_below=0.95),
            0.94,
            ("0.9", "0.94", "−0.04, worse · below the limit 0.95 · limit −0.02"),
        ),
    ],
)
def test_a_row_says_now_then_and_what_changed(metric: Metric, before: object, row: tuple[str, str, str]) -> None:
    """Better or worse stands there in words and sign, never in a colour alone."""
    (found,) = compare(_evidence(metric, before={metric.name: before}))
    assert (found.now_in_words, found.before_in_words, found.change_in_words) == row


def test_the_worst_comes_first() -> None:
    """A missing value, then what is beyond a limit, then what got worse, by how much; the good news last."""
    metrics = [
        Metric(name="better", value=2.0, better=Better.HIGHER),
        Metric(name="same", value=1.0),
        Metric(name="slightly worse", value=0.99, better=Better.HIGHER),
        Metric(name="much worse", value=0.5, better=Better.HIGHER),
        Metric(name="warned", value=1.1, better=Better.HIGHER, warn_above=1.05),
        Metric(name="missing", problem="is NaN"),
    ]
    rows = compare(_evidence(*metrics, before={metric.name: 1.0 for metric in metrics}))
    assert [row.metric.name for row in rows] == ["missing", "warned", "much worse", "slightly worse", "same", "better"]
    assert rows[0].standing is Standing.MISSING


def test_tasks_sort_by_their_worst_metric() -> None:
    """In a foreach, the shard with a warning comes before the one that only got worse, and before one without."""
    warned = _evidence(Metric(name="a", value=0.8, warn_below=0.9), before={"a": 0.8})
    worse = _evidence(Metric(name="a", value=0.8, better=Better.HIGHER), before={"a": 0.9})
    much_worse = _evidence(Metric(name="a", value=0.1, better=Better.HIGHER), before={"a": 0.9})
    assert sorted([None, worse, much_worse, warned], key=worst) == [warned, much_worse, worse, None]


def test_conditions_read_metrics_changes_and_values_before() -> None:
    """The names of a rule are the metrics, delta.x and previous.x."""
    evidence = _evidence(Metric(name="report.f1", value=0.96), before={"report.f1": 0.95})
    assert parse_expression("report.f1 > 0.95 and delta.report.f1 < 0.011 and previous.report.f1 == 0.95").holds(
        scope_of(evidence)
    )


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (Evidence(metrics=(Metric(name="a", value=1.0),)), "delta.a has no value: no earlier approval was found"),
        (
            Evidence(metrics=(Metric(name="a", problem="is NaN"),)),
            "a has no value: is NaN",
        ),
    ],
)
def test_a_condition_without_a_value_says_why(evidence: Evidence, why: str) -> None:
    """The first time there is no change to judge by, and no automatic yes."""
    with pytest.raises(Exception, match=why):
        parse_expression("a > 0 and delta.a < 1").holds(scope_of(evidence))


def test_parameters_that_differ_are_named() -> None:
    """Also those that are new, and those that are gone."""
    evidence = _evidence(before={}, parameters={"rate": "0.003", "seed": "7", "new": "1"})
    baseline = replace(evidence.baseline, parameters={"rate": "0.01", "seed": "7", "old": "2"})  # type: ignore[type-var]
    assert other_parameters(replace(evidence, baseline=baseline)) == (
        ("new", None, "1"),
        ("old", "2", None),
        ("rate", "0.01", "0.003"),
    )


def test_the_gate_names_what_is_not_as_it_was_approved() -> None:
    """An artifact, a parameter, the code package: each by its name; what was not recorded is not compared."""
    approved = Evidence(
        parameters={"rate": "0.01"},
        code=Code(package="a" * 40, commit="c" * 40, changed=False),
        artifacts=Artifacts.of({"model": "m1", "data": "d1"}),
    )
    found = Evidence(
        parameters={"rate": "0.02"},
        code=Code(package="b" * 40),
        artifacts=Artifacts.of({"model": "m2", "data": "d1", "extra": "e"}),
    )
    assert differences(approved, approved) == ()
    assert differences(approved, found) == (
        "artifact extra",
        "artifact model",
        "parameter rate (0.01 was approved, 0.02 is here)",
        "the code package (aaaaaaaaaaaa was approved, bbbbbbbbbbbb is here)",
    )
    assert differences(Evidence(), replace(found, parameters={})) == ()


def test_one_of_a_thousand_artifacts_is_missed_by_its_digest() -> None:
    """Beyond a hundred names only the digest is recorded; it covers all of them."""
    keys = {f"a{number:04d}": "k" for number in range(1_000)}
    approved = Evidence(artifacts=Artifacts.of(keys))
    assert differences(approved, Evidence(artifacts=Artifacts.of({**keys, "a0999": "other"}))) == (
        "one of 1000 artifacts",
    )
    assert differences(approved, Evidence(artifacts=Artifacts.of({**keys, "a0001": "other"}))) == ("artifact a0001",)


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_names(value: dict[str, object]) -> None:
    """Two readers of the same record get the same hash."""
    assert digest(value) == digest(dict(reversed(value.items())))


@given(
    st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=80), st.binary(max_size=5), st.none()),
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text(max_size=5)),
    st.sampled_from(["", ".1%", ".0f", ",d", "x", ">100"]),
)
def test_any_value_before_and_after_can_be_compared_and_shown(value: object, before: object, spec: str) -> None:
    """Whatever the two runs hold, the table has a row for it."""
    recorded, problem = measure(value)
    (row,) = compare(_evidence(Metric(name="a", value=recorded, problem=problem, format=spec), before={"a": before}))
    assert row.now_in_words is not None
    assert row.before_in_words
    assert row.change_in_words


def _evidence(*metrics: Metric, before: dict[str, Any], parameters: dict[str, str] | None = None) -> Evidence:
    baseline = Baseline(approval_id="gate-1", run="1", at=NOON, metrics=before)
    return Evidence(metrics=metrics, parameters=parameters or {}, baseline=baseline)
