"""What an auditor gets: one document for each decision, and the same as one row of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from metaflow_extensions.hitl.approvals.auditing.record import Audited
from metaflow_extensions.hitl.approvals.evidence.binding import question_digest
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Person

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def is_exported(audited: Audited, since: datetime | None) -> bool:
    """Whether this is a decision of the span, or something that can't be read, which is never left out."""
    approval = audited.approval
    if approval is None or not audited.is_whole:
        return True
    return approval.decision is not None and (since is None or approval.decision.at >= since)


def document(audited: Audited) -> dict[str, Any]:
    """Return everything about a decision that an auditor asks for; names are never taken away, only added."""
    approval = audited.approval
    newest = audited.versions[-1] if audited.versions else None
    return {
        "id": audited.approval_id,
        **(_question(approval) if approval is not None else {}),
        **(_decision(approval.decision) if approval is not None and approval.decision is not None else {}),
        **(_evidence(approval) if approval is not None else {}),
        "versions": len(audited.versions),
        "record_sha256": newest.sha256 if newest else None,
        "vouched_by": newest.voucher.key if newest else None,
        "whole": audited.is_whole,
        "faults": [f"{fault.key}: {fault.problem}" for fault in audited.faults],
    }


COLUMNS = (
    *("id", "state", "flow", "run", "step", "task", "question", "requested_by", "requested_at"),
    *("verdict", "decided_by", "on_behalf_of", "voters", "decided_at", "where", "input", "reason"),
    *("metrics", "compared_with", "parameters", "commit", "local_changes", "code_package", "artifacts_sha256"),
    *("question_sha256", "versions", "record_sha256", "vouched_by", "whole", "faults"),
)


def row(exported: Mapping[str, Any]) -> list[str]:
    """Return a document as the cells of one row, in the order of ``COLUMNS``.

    A cell that a spreadsheet would take for a formula begins with an apostrophe: what people typed is only text.
    """
    return [_cell(exported.get(name)) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(_FORMULA) and isinstance(value, str) else text


def _question(approval: Approval) -> dict[str, Any]:
    path = approval.pathspec
    return {
        "state": approval.state.value,
        "flow": path.flow,
        "run": path.run,
        "step": path.step,
        "task": path.task,
        "question": approval.question.message,
        "requested_by": _person(approval.confirmed_requester or approval.requester),
        "requested_at": approval.requested_at.isoformat(),
        "question_sha256": question_digest(approval),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.value,
        "decided_by": _person(decision.by),
        "on_behalf_of": None if decision.on_behalf_of is None else _person(decision.on_behalf_of),
        "voters": [_person(voter) for voter in decision.voters],
        "decided_at": decision.at.isoformat(),
        "where": decision.where.value,
        "input": decision.input,
        "reason": decision.reason,
    }


def _evidence(approval: Approval) -> dict[str, Any]:
    evidence = approval.question.evidence
    if evidence is None:
        return {}
    baseline, artifacts = evidence.baseline, evidence.artifacts
    return {
        "metrics": {metric.name: metric.value for metric in evidence.metrics},
        "compared_with": None if baseline is None else baseline.approval_id,
        "parameters": dict(evidence.parameters),
        "commit": evidence.code.commit,
        "local_changes": evidence.code.changed,
        "code_package": evidence.code.package,
        "artifacts_sha256": None if artifacts is None else artifacts.sha256,
    }


def _person(person: Person) -> dict[str, Any]:
    return {"id": person.id, "name": person.name, "origin": str(person.origin), "email": person.email}
