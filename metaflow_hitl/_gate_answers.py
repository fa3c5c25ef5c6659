"""How gates are answered in tests. ``metaflow_hitl.testing`` has the names that stay."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.deciding.permission import needs_confirming
from metaflow_extensions.hitl.approvals.errors import HitlError, RecordError
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Bar
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    EngineKind,
    Origin,
    Person,
    State,
    TrailEvent,
    Verdict,
    Where,
)
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.engines.local import LocalEngine
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.notifiers.registry import SETTINGS
from metaflow_extensions.hitl.stores.directory import DirectoryStore

# Answers gates in tests, without a person and without a bot.

NAME = "metaflow_hitl.testing"
_TESTERS = 20  # the largest quorum that a step can ask for
# Set where Metaflow or Argo runs a task: never a place for tests.
_TASKS = ("METAFLOW_KUBERNETES_WORKLOAD", "AWS_BATCH_JOB_ID", "ARGO_WORKFLOW_NAME")

Input = Mapping[str, Any] | Callable[[Approval], Mapping[str, Any]]
"""What an approval enters: values by name, or what makes them of the question."""


class NotATest(HitlError, RuntimeError):
    """This is a container that runs a task of a flow. Gates are never answered automatically there."""


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """An answer that waits for its question."""

    verdict: Verdict
    flow: str | None
    step: str | None
    reason: str
    input: Input

    def is_for(self, approval: Approval) -> bool:
        path = approval.pathspec
        return self.flow in {None, path.flow} and self.step in {None, path.step}

    def answer(self, approval: Approval) -> Answer:
        values = self.input(approval) if callable(self.input) else self.input
        return Answer(verdict=self.verdict, input=dict(values), reason=self.reason)


class GateAnswers:
    """Answers the gates of flows that run with its environment, as a test has prepared it.

    Enter it, prepare answers, and run the flow with ``environment``. A question for which nothing is prepared is
    rejected at once, so that a test fails instead of waiting.

    Attributes
    ----------
    environment : Mapping[str, str]
        For the flow's process: this process's, with a datastore and a store for approvals in a temporary directory,
        and without whatever would reach people.
    asked : tuple of Approval
        What was asked so far and answered, each as it is after the answer, in that order.

    Raises
    ------
    NotATest
        This process runs a task of a flow.
    """

    def __init__(self) -> None:
        if any(os.environ.get(name) for name in _TASKS):
            raise NotATest(NotATest.__doc__)
        self._prepared: list[_Prepared] = []
        self._asked: dict[str, Approval] = {}
        self._stopping = threading.Event()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self.environment: Mapping[str, str] = {}

    def __enter__(self) -> "GateAnswers":  # noqa: PYI034 - Self needs Python 3.11
        self._folder = tempfile.TemporaryDirectory(prefix="metaflow-hitl-test-")
        root = Path(self._folder.name)
        self.environment = _environment(root)
        store = DirectoryStore(Path(self.environment["METAFLOW_HITL_ROOT"]))
        self._thread = threading.Thread(target=self._work, args=(_use_cases(store),), name=NAME, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._folder is not None:
            self._folder.cleanup()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def asked(self) -> tuple[Approval, ...]:
        """What was asked and answered so far."""
        with self._lock:
            return tuple(self._asked.values())

    # Preparing. Of several that fit, the one that was prepared last counts.

    def approve(
        self,
        step: str | None = None,
        *,
        flow: str | None = None,
        input: Input | None = None,  # noqa: A002 - the record's word
        reason: str = "",
    ) -> None:
        """Approve the gate of a step, every time it asks; by default every gate.

        Parameters
        ----------
        input : Mapping or Callable, optional
            The values by name, held to the step's schema; or a function of the question that returns them.
        """
        self._prepare(Verdict.APPROVE, flow, step, reason, input or {})

    def reject(self, step: str | None = None, *, flow: str | None = None, reason: str) -> None:
        """Reject the gate of a step."""
        self._prepare(Verdict.REJECT, flow, step, reason, {})

    def request_changes(self, step: str | None = None, *, flow: str | None = None, reason: str) -> None:
        """Say what must change, where the step offers it."""
        self._prepare(Verdict.CHANGES, flow, step, reason, {})

    def _prepare(self, verdict: Verdict, flow: str | None, step: str | None, reason: str, values: Input) -> None:
        with self._lock:
            self._prepared.insert(0, _Prepared(verdict=verdict, flow=flow, step=step, reason=reason, input=values))

    # Running.

    def run(self, file: str | Path, *arguments: str, timeout: float | None = 300) -> subprocess.CompletedProcess[str]:
        """Run ``python FILE run ARGUMENTS`` in the file's folder to its end; nothing is raised if it fails.

        Returns
        -------
        subprocess.CompletedProcess
            With ``returncode``, and what the run printed in ``stdout``.
        """
        path = Path(file).absolute()
        return subprocess.run(
            [sys.executable, path.name, "run", *arguments],
            cwd=path.parent,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    # Answering, in a thread.

    def _work(self, cases: UseCases) -> None:
        try:
            while not self._stopping.wait(cases.ledger.store.poll_interval):
                for found in cases.ledger.read_many(list(cases.ledger.open_ids())):
                    if not isinstance(found, RecordError) and found.approval.id not in self._asked:
                        self._answer(cases, found.approval)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is its test's
            self._failure = error

    def _answer(self, cases: UseCases, approval: Approval) -> None:
        with self._lock:
            prepared = next((one for one in self._prepared if one.is_for(approval)), None)
        try:
            if prepared is None:
                answer = _unprepared(f"no answer is prepared for the step {approval.pathspec.step}")
            else:
                answer = prepared.answer(approval)
            answered = _decide(cases, approval, answer)
        except HitlError as error:
            answered = _decide(cases, approval, _unprepared(f"the prepared answer was refused: {error}"))
        with self._lock:
            self._asked[approval.id] = answered


class _Anybody:
    """Everybody whom a step may name, in every group and channel."""

    system = NAME

    def now(self) -> "_Anybody":
        return self

    def current(self, person: Person) -> Person:
        return person

    def barred(self, person: Person) -> Bar | None:  # noqa: ARG002 - the port's signature
        return None

    def groups_of(self, person: Person, among: Any) -> frozenset[str]:  # noqa: ARG002 - likewise
        return frozenset(among)

    def in_channel(self, person: Person, channel: str | None) -> bool:  # noqa: ARG002 - likewise
        return True

    def identify(self, person: Person) -> Person:
        return person if person.is_vouched_for else _person(f"requester-{person.id}")

    def known_as(self, person: Person) -> str | None:  # noqa: ARG002 - likewise
        return None


def _person(name: str) -> Person:
    return Person(origin=Origin("testing"), id=name, name=NAME, email=name if "@" in name else None)


def _people(approval: Approval) -> Iterator[Person]:
    """Yield people until the rule of an approval is met: those it names, then members of any group."""
    yield from (_person(name) for name in approval.requirements.names if not name.startswith("@"))
    yield from (_person(f"tester-{number}") for number in range(1, _TESTERS + 1))


def _decide(cases: UseCases, approval: Approval, answer: Answer) -> Approval:
    if needs_confirming(approval):  # nobody may approve their own run, and whose it is has to be certain
        requester = _person(f"requester-{approval.requester.id}")
        cases.ledger.update(
            approval.id,
            TrailEvent.REQUESTER_CONFIRMED,
            cases.clock(),
            lambda newest: transitions.confirm_requester(newest, requester),
        )
    for person in _people(approval):
        approval = cases.decide(approval.id, answer, who=person, where=Where.COMMAND_LINE).approval
        if approval.state is not State.PENDING:
            break
    return approval


def _unprepared(why: str) -> Answer:
    return Answer(verdict=Verdict.REJECT, reason=f"{NAME}: {why}")


def _use_cases(store: DirectoryStore) -> UseCases:
    return UseCases(
        Ledger(store),
        engines={EngineKind.LOCAL: LocalEngine()},
        notifiers={},
        people=_Anybody(),
        check_input=validate,
        clock=lambda: datetime.now(timezone.utc),
    )


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("METAFLOW_HITL_")}
    # Empty, because Metaflow's configuration files may set them: nobody is asked, and no bot is waited for.
    empty = dict.fromkeys([*SETTINGS, "SLACK_BOT_TOKEN", "METAFLOW_HITL_PUBLIC_KEYS"], "")
    return {
        "METAFLOW_USER": "tester",
        **kept,
        **empty,
        "METAFLOW_HITL_ROOT": str(folder / "hitl"),
        "METAFLOW_HITL_NOTIFIER": "terminal",
        "METAFLOW_HITL_LOCAL": "wait",
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
    }
