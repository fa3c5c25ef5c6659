"""A request for changes, and the run that follows it."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.pathspec import Pathspec
from metaflow_extensions.hitl.approvals.question import Earlier
from metaflow_extensions.hitl.approvals.record import Approval, Person, Verdict

_LOOKED_AT = 10  # of the step's newest decisions, for the requester's own


def earlier_changes(ledger: Ledger, pathspec: Pathspec, requester: Person) -> Earlier | None:
    """Return the request for changes that a new question answers: the requester's newest decision of the same step.

    None if that was no request for changes, or is not among the step's ten newest decisions, or is of the same run (a
    retry follows nothing, and shards don't follow each other).
    """
    ids = ledger.decided_ids(pathspec.flow, pathspec.step, limit=_LOOKED_AT)
    for entry in ledger.read_many(ids):
        if isinstance(entry, RecordError):
            continue
        approval = entry.approval
        if approval.decision is None:
            continue  # it was closed: nobody said anything
        if approval.requester.id == requester.id and approval.pathspec.run != pathspec.run:
            return _earlier(approval)
    return None


def _earlier(approval: Approval) -> Earlier | None:
    decision = approval.decision
    if decision is None or decision.verdict is not Verdict.CHANGES:
        return None
    url = next((post.url for post in approval.posts if post.url), None)
    return Earlier(approval_id=approval.id, by=decision.by.name, reason=decision.reason, url=url)
