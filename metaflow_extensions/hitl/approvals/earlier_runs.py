"""What earlier runs left for a new question: the last approval of its step, and the request for changes it answers."""

from dataclasses import replace

from .errors import RecordError
from .evidence.collected import Baseline
from .ledger import Ledger
from .question import Earlier, Question
from .record import Approval, Pathspec, Person, State, Verdict

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
