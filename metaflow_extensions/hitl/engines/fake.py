"""An engine without a workflow: for tests and simulations, which ask it afterwards what was let through."""

from collections.abc import Mapping
from threading import Lock

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.approvals.running_again import AlreadyRunAgain, BadParameter, CantRunAgain

PARAMETERS = {"alpha": "0.1", "model": "fraud"}  # of every run


class FakeEngine:
    """Remembers what became of every gate. Threads may share it.

    Attributes
    ----------
    released, refused : dict[str, Approval]
        By approval id: the approval with which the gate's task was first let go, or failed.
    started : dict[str, dict[str, str]]
        By approval id: the parameters with which its run was started again.
    starters : tuple[Person, ...]
        Who deployed and started every run.
    namespaces : dict[str, str]
        By approval id: where the run really is.
    calls : list[str]
        The approval id of every ``carry_out``, the failed ones too.
    """

    def __init__(self) -> None:
        self.released: dict[str, Approval] = {}
        self.refused: dict[str, Approval] = {}
        self.started: dict[str, dict[str, str]] = {}
        self.starters: tuple[Person, ...] = ()
        self.namespaces: dict[str, str] = {}
        self.calls: list[str] = []
        self._starters: dict[str, Person] = {}
        self._lock = Lock()
        self._outage: str | None = None
        self._gone: dict[str, str] = {}

    # The port.

    def carry_out(self, approval: Approval) -> str:
        """Let the gate's task go, or fail it; the first time counts, as for a node that has ended."""
        with self._lock:
            self.calls.append(approval.id)
            self._check_available()
            if approval.decision is None:
                raise ValueError(f"{approval.id} is not decided, so there is nothing to carry out")
            if approval.id in self.released or approval.id in self.refused:
                return ""
            if approval.id in self._gone:
                return self._gone[approval.id]
            (self.released if approval.lets_run else self.refused)[approval.id] = approval
            return ""

    def started_by(self, approval: Approval) -> tuple[Person, ...]:  # noqa: ARG002 - the port's signature
        """Return whom a test named in ``starters``."""
        with self._lock:
            self._check_available()
            return self.starters

    def namespace_of(self, approval: Approval) -> str | None:
        """Return the namespace that a test named in ``namespaces``, or else the record's."""
        with self._lock:
            self._check_available()
            return self.namespaces.get(approval.id, approval.gate.namespace)

    def gone(self, approval: Approval) -> str | None:
        """Return what ``end`` was told about it, or None."""
        with self._lock:
            self._check_available()
            return self._gone.get(approval.id)

    def parameters(self, approval: Approval) -> dict[str, str]:
        """Return the same for every run."""
        with self._lock:
            self._check_available()
            if approval.id in self._gone:
                raise CantRunAgain(f"{self._gone[approval.id]}.")
            return dict(PARAMETERS)

    def run_again(self, approval: Approval, parameters: Mapping[str, str], by: Person) -> str:
        """Remember what was started; ``alpha`` takes a number."""
        wanted = {**self.parameters(approval), **parameters}
        name = f"again-{approval.id}"
        try:
            float(wanted["alpha"])
        except ValueError:
            raise BadParameter("alpha", "It must be a number, such as 0.1.") from None
        with self._lock:
            standing = (self.started.setdefault(approval.id, wanted), self._starters.setdefault(approval.id, by))
            if standing != (wanted, by):
                raise AlreadyRunAgain(name)
        return name

    # What may happen to an engine.

    def go_away(self, why: str = "The engine does not answer.") -> None:
        """Raise EngineUnavailable from now on."""
        self._outage = why

    def come_back(self) -> None:
        """Answer again."""
        self._outage = None

    def end(self, approval_id: str, why: str) -> None:
        """Let the workflow of an approval end without it."""
        with self._lock:
            self._gone[approval_id] = why

    def _check_available(self) -> None:
        if self._outage is not None:
            raise EngineUnavailable(self._outage)
