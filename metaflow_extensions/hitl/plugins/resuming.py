"""Going on with an answer that was given when its run had ended: Metaflow's ``resume`` looks for it here.

A yes is about one task. The task that takes its place in a resumed run may start by it only if a person would be asked
exactly the same, about the same artifacts, and no code has run by it yet.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import HitlError, KeyMissing, KeyTaken, NoSuchApproval, RecordError
from metaflow_extensions.hitl.approvals.evidence.binding import check_fresh
from metaflow_extensions.hitl.approvals.evidence.collected import Artifacts, Evidence
from metaflow_extensions.hitl.approvals.evidence.comparing import differences
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.proposing import differing, read_proposal
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, State, Where
from metaflow_extensions.hitl.approvals.refusals import NotAsApproved
from metaflow_extensions.hitl.approvals.use_cases import UseCases, passed

from .incoming import GatedTask
from .message import shard_of

_PARTS = 4  # of a task's pathspec
_LOOKED_AT = 10  # questions of one gate: each attempt at its run asked one at most
# Of a question, what says something about the run that asks, or about how it is shown.
_OF_ONE_RUN = frozenset(
    {"run_url", "tags", "run_again", "resume", "leaves", "follows", "links", "evidence", "notifiers", "channel"}
)
_OF_THE_CLOCK = frozenset({Where.TIMEOUT, Where.NEWER_QUESTION})


class StartedElsewhere(HitlError):
    """Another run went on with the answer that this one waited for, or an object says so. This step does not run.

    Parameters
    ----------
    by : str
        Which task the object names; whoever may write it can have written anything.
    where : str
        The object.
    """

    def __init__(self, approval: Approval, by: str, where: str) -> None:
        path, named = approval.pathspec, by.split("/")
        if len(named) == _PARTS and (named[0], named[2]) == (path.flow, path.step):
            said = (
                f"has already started {by}, as {where} says, and an answer starts only one task. If you have resumed "
                "this run, that task goes on with the answer. If you don't know that task"
            )
        else:
            said = f"is noted as used in {where}, but {by!r} is not a task of this step. As no run writes that"
        super().__init__(
            f"The answer to {approval.id} {said}, somebody else wrote that object: tell the bot's operator. This step "
            "does not run. To ask again, resume this run or start a new one."
        )


def resume_command(script: str, run_id: str) -> str:
    """Return the command that goes on with the answers to a run's questions."""
    return f"python {shlex.quote(script)} resume --origin-run-id {shlex.quote(run_id)}"


def note_question(store: Store, task: GatedTask, asked: Approval) -> None:
    """Note where a resumed run finds the question that this gate waits for."""
    path = task.pathspec
    store.mark(bucket.gate_key(path.flow, path.run, path.step, _place(asked.question), asked.id))


def find_earlier(cases: UseCases, task: GatedTask, asked: Question, asked_then: Question) -> Approval | None:
    """Return the question of the run that this one resumes, if it is open, or was approved and started nothing yet.

    Parameters
    ----------
    asked : Question
        What this task would ask.
    asked_then : Question
        What it would ask as a task of the run that it resumes.
    """
    for approval in _of_the_run_before(cases, task, asked):
        if _is_the_same(approval, task, asked_then) and _may_be_used(approval, cases, task):
            return approval
    return None


def of_control_task(cases: UseCases, control: GatedTask) -> Approval:
    """Return the approval that the control task of a gang has started by, which has asked for all of its nodes.

    Raises
    ------
    NoSuchApproval, StillPending, Rejected, Closed
        It has not.
    """
    try:
        return cases.open_gate(control.pathspec)
    except NoSuchApproval:
        # The control task of a resumed run goes on with the question of the run before, and has noted which it is.
        return _noted(cases, control, _place_of_control(control.flow))


def open_in_container(cases: UseCases, task: GatedTask) -> Approval:
    """Return the approval that a container's task may start by: its own, or the one that its launcher took over.

    Raises
    ------
    NoSuchApproval, StillPending, Rejected, Closed
        It may not.
    """
    try:
        return cases.open_gate(task.pathspec)
    except NoSuchApproval:
        shard = shard_of(task.flow)
        approval = _noted(cases, task, shard.place if shard else ())
        start(cases.ledger.store, approval, task)  # by whoever launched this; nobody else may use it
        return approval


def check_taken_over(approval: Approval, found: Evidence) -> None:
    """Raise NotAsApproved if a task is about to run with something else than the approval is about."""
    then = approval.question.evidence
    different = ("everything",) if then is None else differences(_comparable(then), _comparable(found))
    if different:
        raise NotAsApproved(approval, different)


def _noted(cases: UseCases, task: GatedTask, place: tuple[int, ...]) -> Approval:
    """Return the approval that a task of this run has noted as its own; raises NoSuchApproval."""
    path = task.pathspec
    folder = bucket.gate_folder(path.flow, path.run, path.step, place)
    noted = next(filter(None, map(bucket.read_gate_key, cases.ledger.store.list(folder, limit=1))), None)
    if noted is None:
        raise NoSuchApproval(path.approval_id, cases.ledger.store.url)
    approval = passed(cases.ledger.read_to_act(noted).approval)
    if (approval.pathspec.flow, approval.pathspec.step, approval.gate.engine) != (
        path.flow,
        path.step,
        EngineKind.LOCAL,
    ):
        raise NoSuchApproval(path.approval_id, cases.ledger.store.url)
    return approval


def start(store: Store, approval: Approval, task: GatedTask) -> None:
    """Note that a task starts by an answer; raise StartedElsewhere if another one has."""
    key, by = bucket.started_key(approval.id), str(task.pathspec)
    try:
        store.create(key, by.encode())
    except KeyTaken:
        first = store.read(key).decode("utf-8", "replace")
        if first != by:  # the same task is another attempt
            raise StartedElsewhere(approval, first[:300], f"{store.url}/{key}") from None


def _of_the_run_before(cases: UseCases, task: GatedTask, asked: Question) -> Iterator[Approval]:
    if task.origin_run is None:
        return
    path = task.pathspec
    folder = bucket.gate_folder(path.flow, task.origin_run, path.step, _place(asked))
    ids = filter(None, map(bucket.read_gate_key, cases.ledger.store.list(folder)))
    for approval_id in islice(ids, _LOOKED_AT):
        with suppress(RecordError, KeyMissing):  # what can't be read answers nothing
            yield _asked_before(cases, approval_id)


def _asked_before(cases: UseCases, approval_id: str) -> Approval:
    try:
        return cases.ledger.read_to_act(approval_id).approval
    except NoSuchApproval:
        # Where only a bot writes records: none has taken the question over yet.
        return read_proposal(cases.ledger.store, bucket.proposed_question_key(approval_id))[0]


def _is_the_same(approval: Approval, task: GatedTask, asked: Question) -> bool:
    path, then = approval.pathspec, approval.question
    if (path.flow, path.step, approval.gate.engine) != (task.flow.name, task.step, EngineKind.LOCAL):
        return False
    if set(differing(asked, then)) - _OF_ONE_RUN or asked.evidence is None or then.evidence is None:
        return False
    before, now = _comparable(then.evidence), _comparable(asked.evidence)
    return before.metrics == now.metrics and before.code == now.code and not differences(before, now)


def _comparable(evidence: Evidence) -> Evidence:
    """Return evidence without the ids of the tasks that a join's artifacts come from: a resumed run has its own."""
    artifacts = evidence.artifacts
    if artifacts is None or artifacts.count > len(artifacts.keys) or not any("/" in name for name in artifacts.keys):
        return evidence
    plain: dict[str, list[str]] = {}
    for name, key in artifacts.keys.items():
        step, _, rest = name.partition("/")
        plain.setdefault(f"{step}/{rest.rpartition('/')[2]}", []).append(key)
    return replace(evidence, artifacts=Artifacts.of({name: " ".join(sorted(keys)) for name, keys in plain.items()}))


def _may_be_used(approval: Approval, cases: UseCases, task: GatedTask) -> bool:
    decision, now = approval.decision, cases.clock()
    if approval.state is State.PENDING:
        return not approval.is_due(now)
    # A rejection, and what the clock decided, is not a yes: the resumed run asks again.
    if approval.state is not State.APPROVED or decision is None or decision.where in _OF_THE_CLOCK:
        return False
    try:
        check_fresh(approval, now)
        start(cases.ledger.store, approval, task)
    except (HitlError, RecordError):
        return False
    return True


def _place_of_control(flow: object) -> tuple[int, ...]:
    """Return the place of the control task of a node's gang, which is the first of its nodes."""
    shard = shard_of(flow)
    return (*shard.place[:-1], 0) if shard else ()


def _place(asked: Question) -> tuple[int, ...]:
    return asked.shard.place if asked.shard else ()
