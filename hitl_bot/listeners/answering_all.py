"""One answer to many gates: each is decided by itself, so each has its own record, checks and refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.messages.answers import said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor

    from metaflow_extensions.hitl.approvals.record import Approval, Person, Where
    from metaflow_extensions.hitl.approvals.use_cases import Answer, UseCases
    from metaflow_extensions.hitl.messages.answers import Reply

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of an answer to many."""

    count: int
    refused: tuple[HitlError, ...]

    @property
    def reply(self) -> Reply:
        """Say what was refused, and why."""
        why = [str(error) for error in self.refused[:_NAMED]]
        more = len(self.refused) - len(why)
        return said(
            f"{self.count} answered, {len(self.refused)} not:", *why, *([f"And {more} more."] if more > 0 else [])
        )


def answer_all(
    cases: UseCases,
    approvals: Iterable[Approval],
    answer_to: Callable[[Approval], Answer],
    *,
    who: Person,
    where: Where,
    workers: Executor,
) -> Answered:
    """Answer many gates, several at a time."""

    def one(approval: Approval) -> HitlError | None:
        try:
            cases.decide(approval.id, answer_to(approval), who=who, where=where)
        except HitlError as error:
            return error
        return None

    came = list(workers.map(one, approvals))
    refused = tuple(error for error in came if error is not None)
    return Answered(count=len(came) - len(refused), refused=refused)
