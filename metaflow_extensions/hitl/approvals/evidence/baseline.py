"""The last approval of a step, which the next question is compared with."""

from __future__ import annotations

from dataclasses import replace

from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.evidence.collected import Baseline
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.pathspec import Pathspec
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import Approval, State

_TRIES = 5  # markers that may lead to nothing before there is nothing to compare with


def compared(ledger: Ledger, pathspec: Pathspec, question: Question) -> Question:
    """Return a question with what it is compared with: one LIST, and a LIST and a GET for the approval it finds.

    A question without metrics costs nothing, and stays as it is.

    Raises
    ------
    StoreError
        It can't be known now.
    """
    evidence = question.evidence
    if evidence is None or not evidence.metrics or evidence.baseline is not None:
        return question
    shard = question.shard.value if question.shard else None
    for approval_id in ledger.approved_ids(pathspec.flow, pathspec.step, shard, limit=_TRIES):
        if approval_id == pathspec.approval_id:
            continue
        try:
            approval = ledger.read(approval_id).approval
        except RecordError:
            continue  # a marker only says where to look
        found = _baseline(approval, pathspec)
        if found is not None:
            return replace(question, evidence=replace(evidence, baseline=found))
    return question


def _baseline(approval: Approval, pathspec: Pathspec) -> Baseline | None:
    """Return what an approval was about; None if it is not an approval of this step."""
    decision, evidence = approval.decision, approval.question.evidence
    refused = approval.settlement is not None and bool(approval.settlement.unaccepted)
    if approval.state is not State.APPROVED or decision is None or evidence is None or refused:
        return None
    if (approval.pathspec.flow, approval.pathspec.step) != (pathspec.flow, pathspec.step):
        return None
    return Baseline(
        approval_id=approval.id,
        run=approval.pathspec.run,
        at=decision.at,
        run_url=approval.question.run_url,
        metrics={metric.name: metric.value for metric in evidence.metrics if metric.value is not None},
        parameters=evidence.parameters,
        code=evidence.code,
    )
