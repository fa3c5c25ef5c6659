"""Everything that a question records about its task, and what it is compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# The codec reads the annotations.
from metaflow_extensions.hitl.approvals.evidence.metric import Metric

LISTED = 100  # artifacts that are recorded by name; the digest covers all of them


@dataclass(frozen=True, kw_only=True)
class Code:
    """Which code runs."""

    commit: str | None = None  # of git, in hex
    changed: bool | None = None  # whether there were local changes beside it; None: nobody knows
    package: str | None = None  # SHA-1 of Metaflow's code package, in hex


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """What comes into the task, by Metaflow's own content-addressed keys."""

    count: int
    sha256: str  # over all names and keys
    keys: dict[str, str] = field(default_factory=dict[str, str])  # of the first hundred names, in order

    @classmethod
    def of(cls, keys: Mapping[str, str]) -> Artifacts:
        """Note artifacts, by name; in a join the name begins with the task that it comes from."""
        ordered = dict(sorted(keys.items()))
        listed = dict(list(ordered.items())[:LISTED])
        return cls(count=len(ordered), sha256=digest(ordered), keys=listed)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The approval before this one, as the question found it."""

    approval_id: str
    run: str
    at: datetime
    run_url: str | None = None
    metrics: dict[str, Any] = field(
        default_factory=dict[str, Any]
    )  # the values by name; those with a problem are left out
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    code: Code = field(default_factory=Code)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a decision is based on."""

    metrics: tuple[Metric, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    code: Code = field(default_factory=Code)
    artifacts: Artifacts | None = None
    baseline: Baseline | None = None  # None: this step was never approved before


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, in hex; the same for the same value, whatever the order of its names."""
    body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(body.encode("ascii")).hexdigest()
