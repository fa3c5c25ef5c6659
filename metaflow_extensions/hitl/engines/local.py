"""A local run: the process that waits watches the record itself."""

from metaflow_extensions.hitl.approvals.attendance import nobody_since
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable, StoreUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock, Store
from metaflow_extensions.hitl.approvals.record import Approval, Person


class LocalEngine:
    """The record is all that a waiting process needs, so there is nothing to carry out.

    Parameters
    ----------
    store : Store, optional
        Where those who wait say so. Default: it is taken that somebody does.
    clock : Clock, optional
        The present.
    """

    def __init__(self, store: Store | None = None, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock

    def carry_out(self, approval: Approval) -> str:
        """Say whether the process is there that reads the decision from the record within its poll interval."""
        if self._store is None or self._clock is None or not approval.lets_run or approval.question.leaves:
            return ""
        try:
            since = nobody_since(self._store, approval.id, self._clock())
        except StoreUnavailable as error:
            raise EngineUnavailable(f"It can't be known whether somebody waits for {approval.id}: {error}") from error
        if since is None:
            return ""
        resume = approval.question.resume
        said = f"nobody has been waiting since {since:%Y-%m-%d %H:%M} UTC"
        return f"{said}. To continue with this answer: {resume}" if resume else f"{said}. Start a new run"

    def started_by(self, approval: Approval) -> tuple[Person, ...]:  # noqa: ARG002 - the port's signature
        """Return nobody: a process on somebody's own machine can call itself anything."""
        return ()

    def namespace_of(self, approval: Approval) -> str | None:  # noqa: ARG002 - the port's signature
        """Return None: no process on somebody's own machine is in a namespace."""
        return None

    def gone(self, approval: Approval) -> str | None:  # noqa: ARG002 - the port's signature
        """Return None: a process that died may be started again by ``resume``, and asks the same question then."""
        return None
