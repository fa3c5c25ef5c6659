"""The pictures of a question, as the bucket keeps them for its thread and its card."""

from dataclasses import dataclass
from hashlib import sha256

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import KeyMissing
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence, Metric
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval

COURSE = "Metrics over the last runs"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG with what it shows in words."""

    name: str  # of a file
    title: str
    png: bytes
    alt: str


def plots_of(store: Store, approval: Approval) -> list[Picture]:
    """Return the run's own pictures: those whose bytes are what the question names.

    Raises
    ------
    StoreError
        It can't be known now.
    """
    evidence = approval.question.evidence
    found: list[Picture] = []
    for number, plot in enumerate(evidence.plots if evidence is not None else (), start=1):
        png = _read(store, bucket.plot_key(approval.id, plot.sha256)) if plot.sha256 else None
        if png is not None and sha256(png).hexdigest() == plot.sha256:
            alt = f"{plot.name}: {plot.shows}" if plot.shows else f"{plot.name}, a picture that says nothing in words"
            found.append(Picture(name=f"plot-{number}.png", title=plot.name, png=png, alt=alt))
    return found


def pictures_of(store: Store, approval: Approval) -> list[Picture]:
    """Return all pictures of a question: how its metrics developed, as the bot drew it, and the run's own."""
    drawn, evidence = stored_course(store, approval.id), approval.question.evidence
    course: list[Picture] = []
    if drawn is not None and evidence is not None:
        course.append(Picture(name="course.png", title=COURSE, png=drawn, alt=f"{COURSE}. {_last_values(evidence)}"))
    return [*course, *plots_of(store, approval)]


def _last_values(evidence: Evidence) -> str:
    """Say what each metric that can be drawn has come to, and what it was in the last approved run."""
    baseline = evidence.baseline

    def said(metric: Metric) -> str:
        before = None if baseline is None else baseline.metrics.get(metric.name)
        after = "" if before is None or baseline is None else f", after {metric.written(before)} in run {baseline.run}"
        return f"{metric.name}: {metric.written(metric.number)}{after}."

    return " ".join(said(metric) for metric in evidence.metrics if metric.number is not None)


def stored_course(store: Store, approval_id: str) -> bytes | None:
    """Return the PNG of how the metrics of a question developed; None: it was not drawn."""
    return _read(store, bucket.course_key(approval_id))


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.read(key)
    except KeyMissing:
        return None
