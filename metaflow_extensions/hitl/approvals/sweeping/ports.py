"""What a sweeper works with, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol, TypeVar

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.sweeping.planning import Act
from metaflow_extensions.hitl.approvals.use_cases import Outcome

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Observer(Protocol):
    """Told what a sweeper sees and does, for logs and metrics. Called from the threads of ``each``."""

    def saw(self, approval: Approval) -> None:
        """The newest version was read: it changed, or it is open and all that is open is being read."""
        ...

    def saw_all(self) -> None:
        """All that is open was seen since the last time."""
        ...

    def did(self, act: Act, approval: Approval) -> None:
        """Something was done, whole."""
        ...

    def failed(self, approval_id: str, error: HitlError) -> None:
        """Something could not be done. It is tried again, unless the record itself is what can't be used."""
        ...

    def broke(self, approval_id: str, error: Exception) -> None:
        """A defect showed. It is tried again, and the other approvals are not held up."""
        ...


class Reminders(Protocol):
    """Asks people again."""

    def next_at(self, approval: Approval) -> datetime | None:
        """Say when, or None if nobody is to be asked again."""
        ...

    def remind(self, entry: Entry) -> Outcome:
        """Do it if it is time, once whoever else is at it."""
        ...


class Subscriber(Protocol):
    """Told of every change, in the sweeper's own thread: it may note what it will do, and leave the doing to others."""

    def changed(self, entry: Entry) -> None:
        """A version was written that is the newest of its approval. The same may be told again."""
        ...

    def tick(self) -> None:
        """The sweeper has done everything that was due."""
        ...


class Each(Protocol):
    """The built-in ``map``, or a thread pool's: applies a function to everything, in order."""

    def __call__(self, function: Callable[[_In], _Out], things: Iterable[_In], /) -> Iterable[_Out]: ...
