"""What a reader must understand before it decides, releases or opens: a record names it, and the release that knows it.

Two releases may work on the same records. One that left out what it does not know, such as a rule about who may
decide, would decide by less than was asked. So every version of a record names the fields that bear on a decision and
say something; a release that finds a name it does not know refuses the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any

from metaflow_extensions.hitl.approvals.errors import CorruptRecord, NeedsNewer
from metaflow_extensions.hitl.approvals.question import Need, Question
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Vote
from metaflow_extensions.hitl.approvals.requirements import PolicyRule

_FIRST = "0.1.0"  # the release that knows every field that is not in _SINCE
_SINCE: dict[str, str] = {}  # by "question.quorum": the first release that knows a field
# Fields that bear on no decision: how something is shown, where, and what became of it. Everything else is named.
NOT_NAMED = frozenset(
    {
        *(f"question.{name}" for name in ("message", "notifiers", "channel", "run_url", "run_again", "follows")),
        *(f"question.{name}" for name in ("batch", "shard", "tags", "remind_every")),
        "question.links",
        "question.what_happens",
        *(f"policy_rule.{name}" for name in ("name", "channel")),
        *(f"approval.{name}" for name in ("deadline", "posts", "votes", "reminders", "decision", "closing")),
        *(f"approval.{name}" for name in ("settlement", "policy_rule", "vouched_by", "unknown")),
    }
)
_CLASSES = {
    "approval": Approval,
    "question": Question,
    "need": Need,
    "policy_rule": PolicyRule,
    "vote": Vote,
    "decision": Decision,
}


def required(approval: Approval) -> dict[str, str]:
    """Return the fields that say something about who decides what, each with the first release that knows it."""
    parts: list[tuple[str, Any]] = [("approval", approval), ("question", approval.question)]
    parts += [("need", need) for need in approval.question.needs]
    parts += [("vote", vote) for vote in approval.votes]
    parts += [(name, part) for name in ("policy_rule", "decision") if (part := getattr(approval, name)) is not None]
    return {name: _SINCE.get(name, _FIRST) for kind, part in parts for name in _said(kind, part)}


def check_required(key: str, requires: object) -> None:
    """Raise NeedsNewer if a record depends on something that is not known here, CorruptRecord if it can't say what."""
    if not isinstance(requires, dict):
        raise CorruptRecord(key, "it does not say what it requires")
    for name, release in requires.items():  # pyright: ignore[reportUnknownVariableType] - JSON
        if name not in _known():
            raise NeedsNewer(key, str(name)[:80], str(release)[:20])  # pyright: ignore[reportUnknownArgumentType]


def _said(kind: str, part: Any) -> Iterator[str]:
    for field in _named(kind):
        if getattr(part, field.name) != _default(field):
            yield f"{kind}.{field.name}"


@cache
def _named(kind: str) -> tuple[Field[Any], ...]:
    """Return the optional fields of a class that bear on a decision."""
    with_default = (field for field in fields(_CLASSES[kind]) if _default(field) is not MISSING)
    return tuple(field for field in with_default if f"{kind}.{field.name}" not in NOT_NAMED)


@cache
def _known() -> frozenset[str]:
    return frozenset(f"{kind}.{field.name}" for kind in _CLASSES for field in _named(kind))


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
