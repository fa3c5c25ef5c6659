"""The questions that people ask of the records: what waits, what was decided, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.queries.history import Decided, History
from metaflow_extensions.hitl.approvals.queries.projection import Projection
from metaflow_extensions.hitl.approvals.record import Approval, State
from metaflow_extensions.hitl.approvals.statistics import RuleScore, Statistics, rule_scores, statistics


@dataclass(frozen=True, kw_only=True)
class Found:
    """Approvals that were read, and why others could not be."""

    approvals: list[Approval]
    problems: list[RecordError] = field(default_factory=list[RecordError])

    @property
    def waiting(self) -> list[Approval]:
        """Those that take an answer, the most urgent first."""
        return sorted((one for one in self.approvals if one.state is State.PENDING), key=urgency)


class Queries:
    """Reads many, and passes over what can't be read. Threads may share it.

    Parameters
    ----------
    ledger : Ledger
        Where the records are.
    clock : Clock
        The present.
    projection : Projection, optional
        What is open, of a process that keeps it. Default: everything is read each time.
    history : History, optional
        Likewise, what was decided.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, *, projection: Projection | None = None, history: History | None = None
    ) -> None:
        self._ledger = ledger
        self._projection = projection
        self._history = history or History(ledger, clock)

    def open(self, *, flow: str | None = None) -> Found:
        """Return everything that is not settled, in one flow or in all."""
        if self._projection is None or not self._projection.is_complete:
            found = _found(self._ledger.read_many(self._ledger.open_ids()))
        else:
            held, others, problems = self._projection.held()
            read = _found(self._ledger.read_many(others, hints=others))
            found = Found(
                approvals=[*(entry.approval for entry in held), *read.approvals], problems=[*problems, *read.problems]
            )
        if flow is None:
            return found
        return Found(approvals=[one for one in found.approvals if one.pathspec.flow == flow], problems=found.problems)

    def these(self, ids: Iterable[str]) -> Found:
        """Return approvals by their ids, as the records have them now."""
        return _found(self._ledger.read_many(ids))

    def decided(self, since: datetime, *, flow: str | None = None) -> Decided:
        """Return what was decided since a moment, the newest first."""
        return self._history.decided(since, flow=flow)

    def decided_like(self, approval: Approval, *, limit: int) -> list[Approval]:
        """Return what was decided last in the step of an approval, the newest first, without itself: one LIST."""
        place = approval.pathspec
        ids = self._ledger.decided_ids(place.flow, place.step, limit=limit + 1)
        found = self.these(one for one in ids if one != approval.id).approvals
        return [one for one in found if one.decision is not None][:limit]

    def statistics(
        self, since: datetime, *, flow: str | None = None, sees: Callable[[Approval], bool]
    ) -> tuple[Statistics, int]:
        """Count what somebody sees of what was asked and decided since a moment; and say how much is not counted."""
        decided = self.decided(since, flow=flow)
        waiting = filter(sees, self.open(flow=flow).approvals)
        return statistics([*filter(sees, decided.approvals)], waiting, since=since), decided.left_out

    def rule_scores(
        self, since: datetime, *, flow: str | None = None, sees: Callable[[Approval], bool]
    ) -> tuple[list[RuleScore], int]:
        """Compare rules in shadow mode with what people decided since a moment; and say how much is not counted."""
        decided = self.decided(since, flow=flow)
        return rule_scores(filter(sees, decided.approvals)), decided.left_out


def urgency(approval: Approval) -> tuple[float, datetime]:
    """Sort by deadline, so that what is overdue comes first, then by age; what has no deadline comes last."""
    return (approval.deadline.timestamp() if approval.deadline else float("inf"), approval.requested_at)


def _found(read: Iterable[Entry | RecordError]) -> Found:
    found = Found(approvals=[])
    for one in read:
        if isinstance(one, RecordError):
            found.problems.append(one)
        else:
            found.approvals.append(one.approval)
    return found
