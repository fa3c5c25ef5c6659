"""What changed since the last approval: metrics, parameters, code; and whether a gate still has what was approved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from .collected import Artifacts, Baseline, Better, Evidence, Metric, measure
from .expressions import BadExpression, Expression, Missing, NoAnswer, Scope, Value, parse_expression

_NAMED = 5  # differences that are named; the rest is counted


class Standing(IntEnum):
    """How a metric compares, worst first."""

    MISSING = 0  # no value, or none that compares
    WARNED = 1  # beyond a limit that its author set
    WORSE = 2
    CHANGED = 3  # and nobody said which way is better
    NEW = 4  # there is nothing to compare with
    SAME = 5
    BETTER = 6


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric beside its value in the last approved run."""

    metric: Metric
    before: Any  # None: there is none
    change: float | None  # None: can't be calculated
    standing: Standing
    limits: tuple[str, ...] = ()  # those that it is beyond, in words
    going: Standing = Standing.NEW  # better, worse, … whatever the limits say

    @property
    def now_in_words(self) -> str:
        return self.metric.shown

    @property
    def before_in_words(self) -> str:
        return "–" if self.before is None else self.metric.written(self.before)

    @property
    def change_in_words(self) -> str:
        """The difference with its sign, better or worse, and the limits that it is beyond."""
        words = {
            Standing.BETTER: "better",
            Standing.WORSE: "worse",
            Standing.SAME: "unchanged",
            Standing.CHANGED: "" if self.change is not None else "changed",
            Standing.NEW: "new" if self.before is None and self.metric.value is not None else "",
            Standing.MISSING: "",
        }[self.going]
        moved = "" if self.change is None or self.going is Standing.SAME else self.metric.written_change(self.change)
        said = ", ".join(filter(None, [moved, words]))
        return " · ".join(filter(None, [said, *self.limits])) or "–"


def compare(evidence: Evidence) -> tuple[Comparison, ...]:
    """Compare each metric with the last approved run: worst first, then in the author's order."""
    before = evidence.baseline.metrics if evidence.baseline else {}
    rows = [_compared(metric, before.get(metric.name)) for metric in evidence.metrics]
    return tuple(sorted(rows, key=_rank))


def worst(evidence: Evidence | None) -> tuple[int, float]:
    """Return what to sort tasks by, worst first: by their worst metric."""
    rows = compare(evidence) if evidence is not None else ()
    return _rank(rows[0]) if rows else (len(Standing), 0.0)


def _compared(metric: Metric, recorded: Any) -> Comparison:
    now, before = metric.number, measure(recorded)[0]
    then = before if isinstance(before, (int, float)) and not isinstance(before, bool) else None
    change = now - then if now is not None and then is not None else None
    going = _going(metric, before, change)
    limits = _limits(metric, change)
    standing = Standing.WARNED if limits else going
    return Comparison(metric=metric, before=before, change=change, standing=standing, limits=limits, going=going)


def _going(metric: Metric, before: Any, change: float | None) -> Standing:
    if metric.value is None:
        return Standing.MISSING
    if before is None:
        return Standing.NEW
    if change is None:
        return Standing.SAME if metric.value == before and type(metric.value) is type(before) else Standing.CHANGED
    if change == 0:
        return Standing.SAME
    if metric.better is None:
        return Standing.CHANGED
    return Standing.BETTER if (change > 0) is (metric.better is Better.HIGHER) else Standing.WORSE


def _limits(metric: Metric, change: float | None) -> tuple[str, ...]:
    number, beyond = metric.number, list[str]()
    if metric.value is not None and number is None and (metric.warn_below, metric.warn_above) != (None, None):
        return ()
    if number is not None and metric.warn_below is not None and number < metric.warn_below:
        beyond.append(f"below the limit {metric.written(metric.warn_below)}")
    if number is not None and metric.warn_above is not None and number > metric.warn_above:
        beyond.append(f"above the limit {metric.written(metric.warn_above)}")
    limit = metric.warn_change
    if change is not None and limit is not None and (change <= limit if limit < 0 else change >= limit):
        beyond.append(f"limit {metric.written_change(limit)}")
    return tuple(beyond)


def _rank(row: Comparison) -> tuple[int, float]:
    """Sort worst first; of good news the least."""
    relative = _relative(row)
    return int(row.standing), relative if row.standing is Standing.BETTER else -relative


def _relative(row: Comparison) -> float:
    """Return how large a change is beside the value before."""
    if not row.change:
        return 0.0
    return abs(row.change) / max(abs(float(row.before)), 1e-12)


def scope_of(evidence: Evidence | None) -> Scope:
    """Return what the names of a condition mean: each metric, its change, and its value in the last approved run."""
    scope: dict[str, Value | Missing] = {}
    if evidence is None:
        return scope
    for row in compare(evidence):
        name, metric = row.metric.name, row.metric
        scope[name] = Missing(metric.problem or "it was not recorded") if metric.value is None else metric.value
        never = "no earlier approval was found" if evidence.baseline is None else "the last approved run has none"
        scope[f"previous.{name}"] = Missing(never) if row.before is None else row.before
        why = never if row.before is None else metric.problem or "one of the two values is not a number"
        scope[f"delta.{name}"] = Missing(why) if row.change is None else row.change
    return scope


def names_of(metrics: Iterable[str]) -> frozenset[str]:
    """Return every name that a condition over these metrics may read."""
    return frozenset(f"{prefix}{name}" for name in metrics for prefix in ("", "delta.", "previous."))


def other_parameters(evidence: Evidence) -> tuple[tuple[str, str | None, str | None], ...]:
    """Return the run's parameters that differ from the last approved run: name, before, now."""
    before = evidence.baseline
    if before is None:
        return ()
    names = sorted({*before.parameters, *evidence.parameters})
    pairs = ((name, before.parameters.get(name), evidence.parameters.get(name)) for name in names)
    return tuple((name, then, now) for name, then, now in pairs if then != now)


def baseline_words(baseline: Baseline) -> str:
    return f"run {baseline.run}"


def differences(approved: Evidence, found: Evidence) -> tuple[str, ...]:
    """Name what is not as it was approved: artifacts, parameters, code. Empty if all of it is.

    What the question did not record can't be compared, and is not.
    """
    different = list[str]()
    if approved.artifacts is not None:
        different += _other_artifacts(approved.artifacts, found.artifacts)
    for name in sorted({*approved.parameters, *found.parameters}):
        then, now = approved.parameters.get(name), found.parameters.get(name)
        if then != now:
            different.append(f"parameter {name} ({then or 'not set'} was approved, {now or 'not set'} is here)")
    if approved.code.package is not None and approved.code.package != found.code.package:
        now = found.code.package
        different.append(
            f"the code package ({approved.code.package[:12]} was approved, {(now or 'none')[:12]} is here)"
        )
    if len(different) > _NAMED:
        return (*different[:_NAMED], f"{len(different) - _NAMED} more")
    return tuple(different)


def _other_artifacts(approved: Artifacts, found: Artifacts | None) -> list[str]:
    if found is None:
        return ["all artifacts (they can't be found)"]
    if approved.sha256 == found.sha256:
        return []
    names = sorted(name for name in {*approved.keys, *found.keys} if approved.keys.get(name) != found.keys.get(name))
    if approved.count > len(approved.keys) or found.count > len(found.keys):
        names = [name for name in names if name in approved.keys and name in found.keys]
    return [f"artifact {name}" for name in names] or [f"one of {approved.count} artifacts"]


# What a condition says about a question, and what follows from it. Pure functions; a record is all they look at.


@dataclass(frozen=True, kw_only=True)
class ConditionResult:
    """What a condition says."""

    holds: bool | None  # None: it has no answer
    why: str = ""  # it has none


@lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    return parse_expression(text)


def find(condition: str, evidence: Evidence | None) -> ConditionResult:
    """Say whether a condition holds. A fault in it means "no answer" and is never an error."""
    try:
        return ConditionResult(holds=_parsed(condition).holds(scope_of(evidence)))
    except (BadExpression, NoAnswer) as error:
        return ConditionResult(holds=None, why=str(error))


def raised(quorum_if: Mapping[str, int], evidence: Evidence | None) -> tuple[int, tuple[str, ...]]:
    """Return how many people have to agree, and why.

    A condition without an answer asks for its people too: what is not known is not fine.
    """
    people, reasons = 1, list[str]()
    for condition, wanted in quorum_if.items():
        finding = find(condition, evidence)
        if finding.holds is False:
            continue
        people = max(people, wanted)
        reasons.append(condition if finding.holds else f"it can't be known whether {condition} ({finding.why})")
    return people, tuple(reasons)
