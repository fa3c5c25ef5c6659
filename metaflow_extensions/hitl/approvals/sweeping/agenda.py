"""The sweeper's agenda: which open approval is due when, and how long one that failed has to wait."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta

from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.sweeping.planning import Act, Plan, deciding_deadline

RETRY_FIRST, RETRY_LAST = timedelta(seconds=3), timedelta(minutes=1)
RETRY_REFUSED = timedelta(minutes=30)  # the longest pause where only an operator can help, and nobody waits for it
_PACE = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one approval's turn: nothing more to do, the next plan, or another attempt."""

    approval_id: str
    coming: datetime | None = None
    again: bool = False
    longest: timedelta = RETRY_LAST  # pause between two attempts
    turn: Plan | None = None  # all that hinders is that others are before it, until then
    deadline: datetime | None = None  # that decides, whatever else is under way


class Agenda:
    """Holds a time for each approval at which something is due. For one thread; some 200 bytes for each."""

    def __init__(self) -> None:
        self._timed: list[tuple[datetime, str]] = []  # a heap; what _next does not confirm is passed over
        self._next: dict[str, datetime] = {}
        self._pauses: dict[str, timedelta] = {}  # of approvals whose last attempt failed
        self._turns: dict[str, Plan] = {}  # of those that a notifier was too busy for

    def pauses(self, approval_id: str) -> bool:
        """Whether it failed: it keeps its own pace then; it may even be settled, and not off the list."""
        return approval_id in self._pauses

    def learn(self, approval: Approval, coming: Plan | None) -> None:
        """Take in what an approval needs next, as it stands now."""
        turn = self._turns.get(approval.id)
        if coming is None or coming.act is Act.FINISH:
            self._turns.pop(approval.id, None)
            self._next.pop(approval.id, None)
        elif turn is not None and turn.act is coming.act:
            # What is seen again has no other turn for it: who comes before it is sent to the end of the queue.
            self._schedule(approval.id, _earliest(turn.at, deciding_deadline(approval)))
        else:
            self._schedule(approval.id, coming.at)

    def take_due(self, now: datetime) -> list[str]:
        """Take off the agenda what is due, and return the ids."""
        due: list[str] = []
        while (next_at := self.next_at()) is not None and next_at <= now:
            due.append(heapq.heappop(self._timed)[1])
            del self._next[due[-1]]
        return due

    def note(self, attempt: Attempt, now: datetime) -> None:
        """Take in what came of the turn of one that was due."""
        if attempt.turn is not None:
            self._pauses.pop(attempt.approval_id, None)
            self._turns[attempt.approval_id] = attempt.turn
            self._schedule(attempt.approval_id, _earliest(attempt.turn.at, attempt.deadline))
            return
        self._turns.pop(attempt.approval_id, None)
        if attempt.again:
            pause = self._pauses.get(attempt.approval_id)
            self._pauses[attempt.approval_id] = pause = min(pause * 2, attempt.longest) if pause else RETRY_FIRST
            self._schedule(attempt.approval_id, _earliest(now + pause, attempt.deadline))
            return
        self._pauses.pop(attempt.approval_id, None)
        if attempt.coming is not None:
            # What is due although it was just done (a notifier that leaves nothing to update) must not spin.
            self._schedule(attempt.approval_id, max(attempt.coming, now + _PACE))

    def next_at(self) -> datetime | None:
        """Return when the next of all is due."""
        while self._timed and self._next.get(self._timed[0][1]) != self._timed[0][0]:
            heapq.heappop(self._timed)
        return self._timed[0][0] if self._timed else None

    def _schedule(self, approval_id: str, at: datetime) -> None:
        if self._next.get(approval_id) != at:
            self._next[approval_id] = at
            heapq.heappush(self._timed, (at, approval_id))


def _earliest(moment: datetime, deadline: datetime | None) -> datetime:
    return moment if deadline is None else min(moment, deadline)
