"""The pictures of a question, as the bucket keeps them for its thread and its card."""

from dataclasses import dataclass
from hashlib import sha256

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import KeyMissing
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
            found.append(Picture(name=f"plot-{number}.png", title=plot.name, png=png, alt=f"A picture: {plot.name}"))
    return found


def pictures_of(store: Store, approval: Approval) -> list[Picture]:
    """Return all pictures of a question: how its metrics developed, as the bot drew it, and the run's own."""
    drawn = stored_course(store, approval.id)
    seen = f"{COURSE}; the last values are those of the table"
    course = [] if drawn is None else [Picture(name="course.png", title=COURSE, png=drawn, alt=seen)]
    return [*course, *plots_of(store, approval)]


def stored_course(store: Store, approval_id: str) -> bytes | None:
    """Return the PNG of how the metrics of a question developed; None: it was not drawn."""
    return _read(store, bucket.course_key(approval_id))


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.read(key)
    except KeyMissing:
        return None
