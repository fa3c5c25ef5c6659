"""An approval as JSON, for scripts: what people look for by short names, and the whole record beside it.

docs/scripts.md lists the names. A release may add some; it never takes one away or gives it another meaning.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from metaflow_extensions.hitl.approvals.auditing import CheckedVersion
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Person
from metaflow_extensions.hitl.approvals.schema import Field, accepted, fields
from metaflow_extensions.hitl.approvals.statistics import RuleScore, Statistics

_ENVELOPE = ("format", "requires", "version", "previous", "event", "at", "sha256")


def document(approval: Approval) -> dict[str, Any]:
    """Return all that the record tells about an approval."""
    path, question = approval.pathspec, approval.question
    return {
        "id": approval.id,
        "state": approval.state.value,
        "pathspec": str(path),
        "flow": path.flow,
        "run": path.run,
        "step": path.step,
        "task": path.task,
        "message": question.message,
        "requested_at": _time(approval.requested_at),
        "requested_by": approval.requester.name,
        "deadline": _time(approval.deadline),
        "approvers": list(approval.rule.names),
        "fields": [field_document(field) for field in (fields(question.schema) if question.schema else ())],
        "url": next((post.url for post in approval.posts if post.url), None),
        "decision": None if approval.decision is None else _decision(approval.decision),
        "closed": None if approval.closing is None else approval.closing.reason,
        "vouched_by": approval.vouched_by,
        "record": _record(approval),
    }


def field_document(field: Field) -> dict[str, Any]:
    """Return what one field asks for; bounds that it does not have are null."""
    return {
        "name": field.name,
        "type": field.kind.value,
        "label": field.label,
        "help": field.help,
        "required": field.required,
        "default": field.default,
        "choices": list(field.choices),
        "min": field.min,
        "max": field.max,
        "above": field.above,
        "below": field.below,
        "min_length": field.min_length,
        "max_length": field.max_length,
        "pattern": field.pattern,
        "accepts": accepted(field),
    }


def version_document(entry: Entry) -> dict[str, Any]:
    """Return what one version of a record added, and its SHA-256."""
    version = entry.version
    return {"version": version.number, "event": str(version.event), "at": _time(version.at), "sha256": entry.digest}


def checked_version_document(checked: CheckedVersion) -> dict[str, Any]:
    """Return what one version of a record added, its SHA-256, and who vouches for it."""
    version, voucher = checked.version, checked.voucher
    return {
        "version": version.number,
        "event": str(version.event),
        "at": _time(version.at),
        "sha256": checked.sha256,
        "vouched_by": voucher.key,
        "claimed_by": _name(voucher.claimed_by),
    }


def statistics_document(counted: Statistics) -> dict[str, Any]:
    """Return counts, and seconds from the question to the decision."""
    slowest = counted.slowest_open
    return {
        "asked": counted.asked,
        "approved": counted.approved,
        "rejected": counted.rejected,
        "expired": counted.expired,
        "median_seconds": counted.median,
        "p95_seconds": counted.p95,
        "slowest_open": None if slowest is None else slowest.id,
    }


def rule_score_document(score: RuleScore) -> dict[str, Any]:
    """Return how often a rule in shadow mode agreed with people, and each decision where it did not."""
    return {
        "flow": score.flow,
        "step": score.step,
        "condition": score.condition,
        "compared": score.compared,
        "agreed": score.agreed,
        "wrong_approvals": score.wrong_approvals,
        "no_answer": score.no_answer,
        "misses": [
            {
                "id": miss.id,
                "state": miss.state.value,
                "by": None if miss.decision is None else miss.decision.by.name,
                "at": None if miss.decision is None else _time(miss.decision.at),
                "url": next((post.url for post in miss.posts if post.url), None),
            }
            for miss in score.misses
        ],
    }


def written(value: Any) -> str:
    """Write a document for a terminal or a pipe."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.value,
        "by": decision.by.name,
        "on_behalf_of": _name(decision.on_behalf_of),
        "voters": [voter.name for voter in decision.voters] or [decision.by.name],
        "at": _time(decision.at),
        "where": decision.where.value,
        "input": decision.input,
        "reason": decision.reason,
    }


def _record(approval: Approval) -> dict[str, Any]:
    """Return the record as it is stored, without what belongs to one version of it."""
    version = Version(number=1, previous=None, event="", at=approval.requested_at, approval=approval)
    whole: dict[str, Any] = json.loads(encode(version))
    return {name: value for name, value in whole.items() if name not in _ENVELOPE}


def _name(person: Person | None) -> str | None:
    return None if person is None else person.name


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
