"""An answer is about one question and one task as it was: pure checks that a gate makes before it opens."""

from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

from metaflow_extensions.hitl.approvals.question import RuleMode
from metaflow_extensions.hitl.approvals.record import Approval, Verdict, Where
from metaflow_extensions.hitl.approvals.refusals import NotAsApproved, Stale

from .collected import Evidence, digest
from .comparing import differences, find

_AHEAD = timedelta(minutes=5)  # that the clock of who decided may be before the gate's


def question_digest(approval: Approval) -> str:
    """Return the SHA-256 of the question as it was shown, with the task that it is about, in hex."""
    return digest({"id": approval.id, "pathspec": str(approval.pathspec), "question": plain(approval.question)})


def check_same(approval: Approval, found: Evidence, now: datetime) -> Approval:
    """Return an approval that is about what the gate finds, and still valid.

    Raises
    ------
    NotAsApproved
        The question, an artifact, a parameter or the code is not what was approved.
    Stale
        It was given longer ago than the step accepts.
    """
    decision = approval.decision
    if decision is None or decision.verdict is not Verdict.APPROVE:
        return approval
    different = list[str]()
    if decision.question_digest and decision.question_digest != question_digest(approval):
        different.append("the question")
    if decision.where is Where.RULE and not _follows_from_the_rule(approval):
        different.append("the rule's condition")
    if approval.question.evidence is not None:
        different += differences(approval.question.evidence, found)
    if different:
        raise NotAsApproved(approval, tuple(different))
    check_fresh(approval, now)
    return approval


def _follows_from_the_rule(approval: Approval) -> bool:
    """Whether a decision without a person is what the recorded condition says about the recorded evidence."""
    question, judgement = approval.question, approval.judgement
    asked = question.auto_approve is not None and question.auto_approve_mode is RuleMode.DECIDE
    if not asked or judgement is None or question.auto_approve is None:
        return False
    return judgement.condition == question.auto_approve and find(question.auto_approve, question.evidence).holds is True


def check_fresh(approval: Approval, now: datetime) -> None:
    """Raise Stale if an approval came too long ago, or from a clock that nobody can believe."""
    decision, seconds = approval.decision, approval.question.valid_for
    if decision is None or seconds is None or decision.verdict is not Verdict.APPROVE:
        return
    age = now - decision.at
    if age > timedelta(seconds=seconds) or age < -_AHEAD:
        raise Stale(approval, now)


def plain(value: Any) -> Any:
    """Return a part of a record as JSON that is the same for the same part."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if is_dataclass(value):
        said = (field for field in fields(value) if not field.metadata.get("later") or getattr(value, field.name))
        return {field.name: plain(getattr(value, field.name)) for field in said}
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    return value
