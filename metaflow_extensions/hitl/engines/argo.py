"""Argo Workflows, whichever way its workflows are reached."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from metaflow_extensions.hitl.approvals.bounded import BoundedCache, BoundedMap
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.approvals.running_again import AlreadyRunAgain, CantRunAgain

from . import gates, nodes
from .nodes import Ending, Workflow

ATTEMPTS = 6
PATIENCE = timedelta(seconds=8)  # of one call in all; the sweeper has the longer breath
KEPT = timedelta(seconds=5)  # how old it may be that nobody waits, which is looked for every ten minutes
REMEMBERED = 8  # workflows; one of thousands of gates takes some megabytes
_TURNS = 256  # workflows whose nodes are packed
PAUSE = 0.2  # seconds before the second attempt, doubled before each further one
CONNECT_TIMEOUT, READ_TIMEOUT = 2.0, 4.0  # seconds
PASSING = frozenset({429, 500, 502, 503, 504})  # HTTP: too busy, or broken in the middle of it

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # Kubernetes: DNS subdomain names (RFC 1123)
NOBODY = "hitl-doctor-looks-for-nobody"  # a workflow that there is not
_NO_WORKFLOW = "the record does not name its workflow"

_T = TypeVar("_T")


class Passing(EngineUnavailable):
    """It may work in a moment.

    Parameters
    ----------
    words : str
        What happened.
    wait : float, optional
        Seconds that the other side asks to wait; none of them is less than that.
    """

    def __init__(self, words: str, *, wait: float = 0.0) -> None:
        super().__init__(words)
        self.wait = wait


class Changed(Passing):
    """Somebody changed the workflow after it was read. It is read again at once."""


class MayNotCreate(EngineUnavailable):
    """The bot's account resumes workflows and starts none, unless the operator lets it."""

    def __init__(self, namespace: str, said: str) -> None:
        super().__init__(
            f"The bot may not create workflows in namespace {namespace}, so nothing was started: use the command on "
            f"the message. An operator can allow it with `components/run-again` of the manifests. {said}"
        )


class ArgoEngine(ABC):
    """Ends exactly one gate of a workflow: reads the workflow, judges it, and ends the gate if it still waits.

    Parameters
    ----------
    namespace : str
        Where a workflow is whose record does not say so.
    clock : Clock
        The present.
    sleep : Callable[[float], None]
        Waits for some seconds.
    """

    def __init__(self, *, namespace: str, clock: Clock, sleep: Callable[[float], None]) -> None:
        self.namespace = namespace
        self._clock = clock
        self._sleep = sleep
        self._lately = _Lately(self._read, clock)
        self._turns = _Turns()

    @abstractmethod
    def _read(self, namespace: str, name: str) -> Workflow | None:
        """Return a workflow, or None if there is none; raise EngineUnavailable if that can't be known."""

    @abstractmethod
    def _end(self, workflow: Workflow, waiting: gates.Waiting, ending: Ending, approval: Approval) -> None:
        """End what waits, as far as it waits still; raise Changed if it may not, EngineUnavailable if it can't be."""

    @abstractmethod
    def _create(self, manifest: dict[str, Any]) -> bool:
        """Create a workflow, or return False if there is one of this name; raise EngineUnavailable if it can't be."""

    # What an operator wants to know.

    @abstractmethod
    def version(self) -> str:
        """Return what answers and its version, once asked; raise EngineUnavailable if nothing does."""

    @abstractmethod
    def argo_version(self) -> str | None:
        """Return Argo's version, such as ``v4.1.2``; None where it can't be seen."""

    def check_access(self) -> str:
        """Prove that Argo is there, and as far as that can be asked that its workflows can be resumed.

        Returns
        -------
        str
            What was proven.

        Raises
        ------
        EngineUnavailable
            They can't, and why not.
        """
        self._read(self.namespace, NOBODY)
        return f"they can be read in namespace {self.namespace}"

    # The port.

    def carry_out(self, approval: Approval) -> str:
        """End the gate of a decided approval. Two requests, unless something comes between."""
        ending = gates.ending(approval)
        return self._patiently(partial(self._carry_out, approval, ending))

    def gone(self, approval: Approval) -> str | None:
        """Say why nothing waits for an answer, as it was no longer than `KEPT` ago. One request a workflow."""
        return self._patiently(partial(self._gone, approval))

    def started_by(self, approval: Approval) -> tuple[Person, ...]:
        """Read from the workflow who deployed and who started it. One request."""
        return self._patiently(partial(self._started_by, approval))

    def namespace_of(self, approval: Approval) -> str | None:
        """Look for the workflow where the record says, no longer than `KEPT` ago. One request a workflow."""
        return self._patiently(partial(self._namespace_of, approval))

    def parameters(self, approval: Approval) -> dict[str, str]:
        """Read them from the workflow. One request."""
        return nodes.parameters(self._patiently(partial(self._found, approval)))

    def run_again(self, approval: Approval, parameters: Mapping[str, str], by: Person) -> str:
        """Create a workflow from the same template. Two requests, unless something comes between."""
        return self._patiently(partial(self._run_again, approval, parameters, by))

    # One attempt.

    def _carry_out(self, approval: Approval, ending: Ending) -> str:
        namespace, name = self._place(approval)
        if not name:
            return _NO_WORKFLOW
        with self._turns.taken(namespace, name):
            workflow = self._read(namespace, name)
            if workflow is None:
                return gates.missing(name, namespace) + (". Start a new run" if approval.lets_run else "")
            if nodes.are_packed(workflow):
                self._turns.take_from_now_on(namespace, name)
            found = gates.assess(workflow, approval)
            if isinstance(found, gates.Over):
                return found.problem
            self._end(workflow, found, ending, approval)
            return ""

    def _gone(self, approval: Approval) -> str | None:
        namespace, name = self._place(approval)
        if not name:
            return _NO_WORKFLOW
        workflow = self._lately.read(namespace, name)
        return gates.missing(name, namespace) if workflow is None else gates.why_gone(workflow, approval)

    def _started_by(self, approval: Approval) -> tuple[Person, ...]:
        return nodes.started_by(self._own_workflow(approval, "who started this run", self._read))

    def _namespace_of(self, approval: Approval) -> str:
        workflow = self._own_workflow(approval, "in which namespace this run is", self._lately.read)
        return str(workflow["metadata"]["namespace"])

    def _own_workflow(self, approval: Approval, unknown: str, read: Callable[[str, str], Workflow | None]) -> Workflow:
        """Return the workflow of an approval's own run: who writes the record must not choose somebody else's."""
        namespace, name = self._place(approval)
        if not name:
            raise EngineUnavailable(f"{approval.id}: it can't be known {unknown}, because {_NO_WORKFLOW}.")
        workflow = read(namespace, name)
        why = gates.missing(name, namespace) if workflow is None else gates.why_foreign(workflow, approval)
        if workflow is None or why is not None:
            raise EngineUnavailable(f"{approval.id}: it can't be known {unknown}, because {why}.")
        return workflow

    def _found(self, approval: Approval) -> Workflow:
        namespace, name = self._place(approval)
        if not name:
            raise CantRunAgain(f"{_NO_WORKFLOW[:1].upper()}{_NO_WORKFLOW[1:]}.")
        workflow = self._read(namespace, name)
        if workflow is None:
            missing = gates.missing(name, namespace)
            raise CantRunAgain(f"{missing[:1].upper()}{missing[1:]}, and only it knew its parameters.")
        # A record that merely names a workflow must not start what that was started from.
        if not gates.has_gate(nodes.unpacked(workflow), approval):
            raise CantRunAgain(f"The workflow {name} in namespace {namespace} has no gate of {approval.id}.")
        return workflow

    def _run_again(self, approval: Approval, parameters: Mapping[str, str], by: Person) -> str:
        wanted = nodes.manifest(self._found(approval), approval, parameters, by)
        namespace, name = wanted["metadata"]["namespace"], str(wanted["metadata"]["name"])
        if not self._create(wanted):
            standing = self._read(namespace, name)
            if standing is None or not nodes.is_the_same(standing, wanted):
                raise AlreadyRunAgain(name)
        return name

    def _place(self, approval: Approval) -> tuple[str, str]:
        """Return namespace and name; no name if the record holds what no workflow can be called.

        Whoever writes records must not choose another resource of the server by a name with dots and slashes.
        """
        namespace, name = approval.gate.namespace or self.namespace, approval.gate.workflow or ""
        return (namespace, name) if _NAME.fullmatch(namespace) and _NAME.fullmatch(name) else (namespace, "")

    def _patiently(self, attempt: Callable[[], _T]) -> _T:
        """Attempt something until it works, fails for good, or patience runs out. Each attempt reads anew.

        An answer that was lost may have been a success: the next attempt sees what came of it.
        """
        give_up_at = self._clock() + PATIENCE
        pause = PAUSE
        for _ in range(ATTEMPTS - 1):
            try:
                return attempt()
            except Changed:  # noqa: PERF203 - an attempt takes a network's time
                continue
            except Passing as error:
                wait = max(pause, error.wait)
                if self._clock() + timedelta(seconds=wait) >= give_up_at:
                    raise
                self._sleep(wait)
                pause *= 2
        return attempt()


class _Turns:
    """One after the other for a workflow whose nodes are packed: a change of one of them voids all others on their way.

    Who waits in vain goes ahead: then the workflow's own version decides, as between two bots.
    """

    def __init__(self) -> None:
        self._locks = BoundedMap[tuple[str, str], Lock](_TURNS)
        self._lock = Lock()

    def take_from_now_on(self, namespace: str, name: str) -> None:
        with self._lock:
            if (namespace, name) not in self._locks:
                self._locks[namespace, name] = Lock()

    @contextmanager
    def taken(self, namespace: str, name: str) -> Iterator[None]:
        with self._lock:
            turn = self._locks.get((namespace, name))
        if turn is None or not turn.acquire(timeout=PATIENCE.total_seconds()):
            yield
            return
        try:
            yield
        finally:
            turn.release()


class _Lately:
    """The workflows that were read last, unpacked: a foreach has thousands of gates in one of them."""

    def __init__(self, read: Callable[[str, str], Workflow | None], clock: Clock) -> None:
        self._read = read
        self._found = BoundedCache[Workflow | None](clock, keep=KEPT, size=REMEMBERED)

    def read(self, namespace: str, name: str) -> Workflow | None:
        """Return what a read brought no longer than `KEPT` ago."""

        def read() -> Workflow | None:
            workflow = self._read(namespace, name)
            return None if workflow is None else nodes.unpacked(workflow)

        return self._found.get((namespace, name), read)


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """Read ``Retry-After``, which both servers give in seconds (RFC 9110, section 10.2.3); 0 without."""
    value = headers.get("Retry-After") or ""
    return float(value) if value.isdecimal() else 0.0
