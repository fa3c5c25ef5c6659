"""How the metrics of a step developed: its last decisions, and the question that is open."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.record import Approval, State

from .collected import Evidence, Metric

POINTS = 12  # decisions in a picture
METRICS = 6


class Became(str, Enum):
    """What became of a run's question."""

    APPROVED = "approved"
    REJECTED = "rejected"
    OPEN = "this question"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A metric in one run."""

    run: str
    became: Became
    value: float | None  # None: it had none


@dataclass(frozen=True, kw_only=True)
class Course:
    """A metric over the last runs, oldest first; the last point is the question that is open."""

    metric: Metric
    points: tuple[Point, ...]

    @property
    def in_words(self) -> str:
        """What a picture of it shows, for who can't see it."""
        values = ("no value" if one.value is None else self.metric.written(one.value) for one in self.points)
        said = (f"{value} (run {one.run}, {one.became.value})" for value, one in zip(values, self.points, strict=True))
        return f"{self.metric.name}: {', '.join(said)}."


def courses(ledger: Ledger, approval: Approval, channel: str | None) -> tuple[Course, ...]:
    """Return the metrics of a question that developed: one LIST, and two or three requests for each of its points.

    Only decisions that were asked about in the same channel count, and the one that the question is compared with
    anyway: another channel's values are not this one's to see.

    Raises
    ------
    StoreError
        It can't be known now.
    """
    found = approval.question.evidence
    if found is None:
        return ()
    place = approval.pathspec
    ids = [one for one in ledger.decided_ids(place.flow, place.step, limit=2 * POINTS) if one != approval.id]
    earlier = [one.approval for one in ledger.read_many(ids) if not isinstance(one, RecordError)]
    known = [one for one in earlier if _belongs(one, approval, channel)]
    known = sorted(known, key=_ended, reverse=True)[:POINTS][::-1]
    numbers = [metric for metric in found.metrics if metric.number is not None]
    made = (Course(metric=metric, points=_points(metric, [*known, approval])) for metric in numbers[:METRICS])
    return tuple(one for one in made if sum(point.value is not None for point in one.points) > 1)


def _belongs(one: Approval, asked: Approval, channel: str | None) -> bool:
    if one.question.evidence is None or one.shard_value != asked.shard_value:
        return False
    if one.state not in {State.APPROVED, State.REJECTED} or one.requested_at > asked.requested_at:
        return False
    evidence = asked.question.evidence
    baseline = evidence.baseline if evidence is not None else None
    same_channel = channel is not None and any(post.channel == channel for post in one.posts)
    return same_channel or (baseline is not None and baseline.approval_id == one.id)


def _ended(one: Approval) -> datetime:
    return one.decision.at if one.decision is not None else one.requested_at


def _points(metric: Metric, approvals: list[Approval]) -> tuple[Point, ...]:
    return tuple(
        Point(run=one.pathspec.run, became=_became(one), value=_value(one.question.evidence, metric.name))
        for one in approvals
    )


def _became(one: Approval) -> Became:
    if one.decision is None:
        return Became.OPEN
    return Became.APPROVED if one.state is State.APPROVED else Became.REJECTED


def _value(evidence: Evidence | None, name: str) -> float | None:
    recorded = evidence.metrics if evidence is not None else ()
    return next((metric.number for metric in recorded if metric.name == name), None)
