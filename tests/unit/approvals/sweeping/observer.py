"""An observer of the sweeper that remembers, and a decider who dies."""

from __future__ import annotations

from dataclasses import dataclass, field

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.record import Approval, TrailEvent
from metaflow_extensions.hitl.approvals.sweeping import Act
from tests.fixtures.approvals import ALICE, Bench, approving


@dataclass
class Observer:
    """Remembers what it is told."""

    done: list[tuple[Act, str]] = field(default_factory=list)
    failures: list[HitlError] = field(default_factory=list)
    defects: list[Exception] = field(default_factory=list)
    seen: list[Approval | None] = field(default_factory=list)  # None: all that is open was seen

    def saw(self, approval: Approval) -> None:
        self.seen.append(approval)

    def saw_all(self) -> None:
        self.seen.append(None)

    def did(self, act: Act, approval: Approval) -> None:
        self.done.append((act, approval.id))

    def failed(self, approval_id: str, error: HitlError) -> None:  # noqa: ARG002 - the protocol's
        self.failures.append(error)

    def broke(self, approval_id: str, error: Exception) -> None:  # noqa: ARG002 - the protocol's
        self.defects.append(error)


def decide(bench: Bench, approval_id: str) -> None:
    """Write a decision into the record and die before anything else."""
    decision = approving(ALICE, at=bench.clock())
    bench.ledger.update(approval_id, TrailEvent.DECIDED, bench.clock(), lambda one: transitions.decide(one, decision))
