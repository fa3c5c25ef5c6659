"""What a condition says about a question, and what follows from it. Pure functions; a record is all they look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from metaflow_extensions.hitl.approvals.evidence.collected import Evidence
from metaflow_extensions.hitl.approvals.evidence.comparing import scope_of
from metaflow_extensions.hitl.approvals.evidence.expressions import (
    BadExpression,
    Expression,
    NoAnswer,
    parse_expression,
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a condition says."""

    holds: bool | None  # None: it has no answer
    why: str = ""  # it has none


@lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    return parse_expression(text)


def find(condition: str, evidence: Evidence | None) -> Finding:
    """Say whether a condition holds. A fault in it means "no answer" and is never an error."""
    try:
        return Finding(holds=_parsed(condition).holds(scope_of(evidence)))
    except (BadExpression, NoAnswer) as error:
        return Finding(holds=None, why=str(error))


def raised(quorum_if: Mapping[str, int], evidence: Evidence | None) -> tuple[int, tuple[str, ...]]:
    """Return how many people have to agree, and why.

    A condition without an answer asks for its people too: what is not known is not fine.
    """
    people, reasons = 1, list[str]()
    for condition, wanted in quorum_if.items():
        finding = find(condition, evidence)
        if finding.holds is False:
            continue
        people = max(people, wanted)
        reasons.append(condition if finding.holds else f"it can't be known whether {condition} ({finding.why})")
    return people, tuple(reasons)
