"""A local run: the process that waits watches the record itself."""

from metaflow_extensions.hitl.approvals.record import Approval, Person


class LocalEngine:
    """The record is all that a waiting process needs, so there is nothing to carry out and nothing to ask."""

    def carry_out(self, approval: Approval) -> str:  # noqa: ARG002 - the port's signature
        """Do nothing: the process reads the decision from the record within its poll interval."""
        return ""

    def started_by(self, approval: Approval) -> tuple[Person, ...]:  # noqa: ARG002 - the port's signature
        """Return nobody: a process on somebody's own machine can call itself anything."""
        return ()

    def namespace_of(self, approval: Approval) -> str | None:  # noqa: ARG002 - the port's signature
        """Return None: no process on somebody's own machine is in a namespace."""
        return None

    def gone(self, approval: Approval) -> str | None:  # noqa: ARG002 - the port's signature
        """Return None: a process that died may be started again by ``resume``, and asks the same question then."""
        return None
