"""The gate as a task meets it: ask and wait on the machine that launched the run, only look inside a pod."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from math import prod
from types import SimpleNamespace
from typing import Any

from metaflow_extensions.hitl.approvals.attendance import Heartbeat
from metaflow_extensions.hitl.approvals.errors import (
    HitlError,
    NoSuchApproval,
    OtherPlace,
    OtherQuestion,
    StoreUnavailable,
)
from metaflow_extensions.hitl.approvals.evidence.binding import check_same
from metaflow_extensions.hitl.approvals.evidence.collected import Evidence
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.posting import unposted
from metaflow_extensions.hitl.approvals.proposing import RUN_ENDED, RUN_GONE, RUN_STOPPED, asked_digest, differing
from metaflow_extensions.hitl.approvals.question import Question
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate, Pathspec, State
from metaflow_extensions.hitl.approvals.schema import nested
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases
from metaflow_extensions.hitl.approvals.waiting import wait, wait_for_bot
from metaflow_extensions.hitl.messages import terminal
from metaflow_extensions.hitl.messages.voting import vouchers
from metaflow_extensions.hitl.notifiers.registry import GROUP, needed_for

from . import models, resuming, root
from .arguments import StepArguments, check_defaults
from .evidence import collect
from .evidence_arguments import MetricSpec, fill_in_links
from .forms import settle_form
from .incoming import GatedTask
from .leaving import Leaves
from .message import run_again, shard_of, write_markdown, write_message
from .settings import MAX_WORKERS, POD_NAMESPACE, QUESTION_SHA256, in_container, read_settings
from .task_log import complain, say

_STOPS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # SIGHUP: not on Windows
_LOOK_FOR_RUN = 5.0  # seconds between two looks whether the run is there
_MANY = 4  # shards from which on their gates share a message


def pass_gate(task: GatedTask, arguments: StepArguments, environ: Mapping[str, str]) -> Approval:
    """Return the approval that lets the task start; raise a HitlError if it may not."""
    store = root.build_store(*task.datastore)
    cases = root.build_use_cases(store, say)
    if in_container(environ):
        approval = resuming.open_in_container(cases, task)
        check_place(approval, environ)
        if cases.ledger.trust.is_sealed:
            _check_asks(task, arguments, approval)
            check_asked(approval, environ)
        _check_same(cases, task, approval, find(task))
        models.entered(arguments.model, approval)
        return approval
    if task.control_task is not None:
        approval = resuming.of_control_task(cases, replace(task, task_id=task.control_task))
        _check_same(cases, task, approval, find(task))
        return approval
    parent = os.getppid()  # before anything takes time: a run that is killed meanwhile must be missed afterwards
    found = find(task, arguments.metrics)
    with _closing_when_stopped(cases, task) as waits_for:
        outcome = _ask(cases, task, arguments, found)
        waits_for.append(outcome.approval.id)
        for problem in outcome.pending:
            say(f"The question is recorded but could not be posted: {problem}")
        for line in terminal.whose_run(outcome.approval):
            say(line)
        resuming.note_question(store, task, outcome.approval)
        if outcome.approval.state is State.PENDING and read_settings().leaves:
            raise Leaves(outcome.approval)
        for line in terminal.waves(outcome.approval, count_shards(task.flow), int(environ.get(MAX_WORKERS, "0"))):
            say(line)
        with closing(Heartbeat(store, outcome.approval.id, clock=cases.clock, monotonic=time.monotonic)) as heartbeat:
            sleep = _sleep_while_run_lives(parent, heartbeat)
            approval = _wait(cases, outcome.approval, arguments.poll_interval, sleep)
    say(terminal.decided(approval))
    _check_same(cases, task, approval, found)
    resuming.start(store, approval, task)
    models.entered(arguments.model, approval)  # what it refuses, a resumed run asks again
    return approval


def _check_same(cases: UseCases, task: GatedTask, approval: Approval, found: Evidence) -> None:
    """Hold an approval to what the task is about to run with; that of an earlier run has other names for the same."""
    if approval.pathspec.run == task.run_id:
        check_same(approval, found, cases.clock())
    else:
        resuming.check_taken_over(approval, found)


def _wait(cases: UseCases, asked: Approval, poll_interval: float | None, sleep: Callable[[float], None]) -> Approval:
    """Wait for the answer, of whoever counts here, and return the approval if its task may start."""
    interval, adapts = poll_interval or cases.ledger.store.poll_interval, poll_interval is None
    say_nobody = _once_each(say)
    say_nobody(terminal.nobody(asked))

    def on_posted(posted: Approval) -> None:
        say_nobody(terminal.nobody(posted))

    if cases.ledger.trust.is_sealed:
        return wait_for_bot(
            cases,
            asked,
            poll_interval=interval,
            adapts=adapts,
            sleep=sleep,
            on_trouble=_say_trouble,
            on_posted=on_posted,
            on_unheard=_say_unheard,
        )
    _say_what_is_left_to_the_bot(cases, asked)
    if not _has_reached_anybody(cases, asked):
        complain(terminal.asked_nobody(asked, root.script()))
    return wait(
        cases,
        asked.id,
        poll_interval=interval,
        adapts=adapts,
        sleep=sleep,
        on_trouble=_say_trouble,
        on_posted=on_posted,
    )


def _ask(cases: UseCases, task: GatedTask, arguments: StepArguments, found: Evidence) -> Outcome:
    """Ask, unless the run that this one resumes has asked the same, and the answer can still be used."""
    asked = with_plots(task, arguments, build_question(task, arguments, found), cases.ledger.store)
    if task.origin_run is not None:
        asked_then = build_question(replace(task, run_id=task.origin_run), arguments, found)
        earlier = resuming.find_earlier(cases, task, asked, asked_then)
        if earlier is not None:
            say(terminal.taken_from(earlier))
            return Outcome(approval=earlier)
    return cases.ask(task.pathspec, asked, Gate(engine=EngineKind.LOCAL), root.local_person())


def find(task: GatedTask, metrics: tuple[MetricSpec, ...] = ()) -> Evidence:
    """Note what a task is about to run with."""
    return collect(task, metrics, _incoming(task), os.environ)


# Of a question, what is filled in for each task. The message is among it: a value without a text of its own may read
# differently in each process.
_FILLED_IN = frozenset(
    {
        "message",
        "markdown",
        "what_happens",
        "notifiers",
        "channel",
        "run_url",
        "batch",
        "shard",
        "tags",
        "evidence",
        "links",
        "run_again",
        "resume",
        "leaves",
        "follows",
    }
)


def _check_asks(task: GatedTask, arguments: StepArguments, approval: Approval) -> None:
    """Raise OtherQuestion unless the signed question asks what the step's own code asks."""
    asked, stated = approval.question, with_form(task, arguments, _names(task))
    other = [name for name in differing(stated, asked) if name not in _FILLED_IN]
    if stated.channel and stated.channel != asked.channel:
        other.append("channel")
    if other:
        raise OtherQuestion(approval.id, ", ".join(other))


def check_asked(approval: Approval, environ: Mapping[str, str]) -> None:
    """Raise OtherQuestion unless a signed question is, to the letter, the one that was asked before this container.

    Argo passes on what the container that asked said of it. That covers what is filled in for each task, too.
    """
    if "ARGO_WORKFLOW_NAME" in environ and environ.get(QUESTION_SHA256) != asked_digest(approval.question):
        raise OtherQuestion(approval.id, "its text or what comes with it")


def check_place(approval: Approval, environ: Mapping[str, str]) -> None:
    """Raise OtherPlace unless the question was asked for the workflow that this container is of.

    The bot applies the rules of the namespace that the record names and in which it finds the workflow. A workflow of
    the same name elsewhere must not pass by that.
    """
    workflow = environ.get("ARGO_WORKFLOW_NAME")
    if workflow is None:
        return  # whoever launched this container has waited for the answer
    here = Gate(engine=EngineKind.ARGO, namespace=environ.get(POD_NAMESPACE) or None, workflow=workflow)
    if approval.gate != here:
        raise OtherPlace(approval.id, _place(here), _place(approval.gate))


def _place(gate: Gate) -> str:
    if gate.engine is not EngineKind.ARGO:
        return "a run without Argo"
    return f"the workflow {gate.workflow} in namespace {gate.namespace or '(none)'}"


def _say_what_is_left_to_the_bot(cases: UseCases, approval: Approval) -> None:
    here = cases.posting.notifiers
    for name in unposted(approval):
        if name == "slack" and "slack_webhook" in {*here} & {*approval.question.notifiers}:
            say("The question is asked in Slack by METAFLOW_HITL_SLACK_WEBHOOK, without buttons.")
        elif name not in here:
            say(f"{name} is not set up here ({needed_for(name) or GROUP}), so the question is left to the bot there.")


def _has_reached_anybody(cases: UseCases, approval: Approval) -> bool:
    """Whether a question was shown somewhere, or is left to the bot on purpose."""
    here = set(approval.question.notifiers) & set(cases.posting.notifiers)
    shared = bool(approval.question.batch) and bool(here & cases.posting.batched)
    return shared or bool(approval.posts) or "terminal" in here or approval.state is not State.PENDING


def _say_unheard(approval: Approval) -> None:
    say(
        f"No bot has taken over {approval.id} yet, so nobody has been asked. Check that a bot is running with "
        "METAFLOW_HITL_SIGNING_KEY on the same METAFLOW_HITL_ROOT."
    )


def close_unanswered(flow: str, tasks: list[tuple[str, str, str]], datastore: tuple[str, str | None]) -> None:
    """Close what a failed run leaves open: nobody should answer what nobody waits for."""
    cases = root.build_use_cases(root.build_store(*datastore), say)
    for run, step, task in tasks:
        pathspec = Pathspec(flow=flow, run=run, step=step, task=task)
        try:
            cases.give_up(pathspec.approval_id, RUN_ENDED)
        except NoSuchApproval:
            continue  # the task ended before it asked
        except HitlError as error:
            say(f"{pathspec.approval_id} stays open until its deadline: {error}")


def build_question(task: GatedTask, arguments: StepArguments, found: Evidence, *, start: str = "run") -> Question:
    """Put the question into words, with the artifacts that come in.

    Parameters
    ----------
    start : str
        The flow's command that starts such a run.
    """
    settings = read_settings()
    pathspec = task.pathspec
    names = _names(task)
    link = settings.ui_url and settings.ui_url.format(
        flow=pathspec.flow, run=pathspec.run, step=pathspec.step, task=pathspec.task
    )
    asked = with_form(task, arguments, names)
    message, markdown = write_markdown(task.step, asked.message, names)
    return replace(
        asked,
        message=message,
        markdown=markdown,
        what_happens={
            answer: write_message(task.step, template, names) for answer, template in asked.what_happens.items()
        },
        notifiers=settings.notifiers(asked.notifiers),
        channel=asked.channel or settings.slack_channel,
        run_url=link or None,
        batch=shares_message(task.flow, stated=asked.batch),
        shard=shard_of(task.flow),
        tags=task.tags,
        evidence=found,
        links=fill_in_links(asked.links, {name: getattr(pathspec, name) for name in ("flow", "run", "step", "task")}),
        resume=resuming.resume_command(root.script(), task.run_id) if start == "run" else None,
        leaves=settings.leaves and start == "run",
        run_again=run_again(task.flow, task.parameters, root.script(), start) if asked.allow_changes else None,
    )


def with_plots(task: GatedTask, arguments: StepArguments, asked: Question, store: Store) -> Question:
    """Draw the run's own pictures, last of all: what is wrong with the question is said before."""
    if not arguments.plots or asked.evidence is None:
        return asked
    from .plots import draw  # noqa: PLC0415 - only where there are plots

    return replace(asked, evidence=replace(asked.evidence, plots=draw(task, arguments.plots, _incoming(task), store)))


def _names(task: GatedTask) -> dict[str, Any]:
    """Return what templates may name."""
    names: dict[str, Any] = {"run_id": task.run_id, "flow": task.flow.name, "step": task.step}
    names["inputs" if task.is_join else "self"] = _incoming(task)
    return names


def with_form(task: GatedTask, arguments: StepArguments, names: dict[str, Any]) -> Question:
    """Return what the step states, with the form that the run's artifacts make of it."""
    if arguments.form is None:
        return arguments.question
    asked = replace(arguments.question, schema=settle_form(task.step, arguments.form, names))
    check_defaults(asked)
    return asked


def shares_message(flow: Any, *, stated: bool | None) -> bool:
    """Return whether a task's gate wants to share a message with the others of its foreach: as the author stated."""
    return count_shards(flow) >= _MANY if stated is None else stated


def count_shards(flow: Any) -> int:
    """Return how many shards such foreachs have, one inside the other; 0 outside of any, and where nobody knows."""
    stack = getattr(flow, "_foreach_stack", None) or ()
    return prod(frame.num_splits or 0 for frame in stack) if stack else 0


def hand_over(flow: Any, approval: Approval, model: Any = None) -> None:
    """Give the answer to the step, and keep it as artifacts; ``hitl_decision`` can be read without any other package.

    Parameters
    ----------
    model : type, optional
        What the input becomes.
    """
    from metaflow import current  # noqa: PLC0415 - heavy

    decision = approval.decision
    if decision is None or approval.closing is not None:
        return
    flow.hitl_input = models.entered(model, approval)
    url = next((post.url for post in approval.posts if post.url), None)
    flow.hitl_decision = {
        "verdict": decision.verdict.value,
        "decided_by": decision.by.name,
        "on_behalf_of": decision.on_behalf_of.name if decision.on_behalf_of else None,
        "voters": [voter.name for voter in decision.voters] or [decision.by.name],
        "decided_at": decision.at,
        "reason": decision.reason,
        "input": nested(approval.question.schema or {}, decision.input),
        "approval_id": approval.id,
        "url": url,
        "where": decision.where.value,
        "vouched_by": vouchers(approval),
    }
    current._update_env({"hitl": SimpleNamespace(**{**flow.hitl_decision, "input": flow.hitl_input})})


def _incoming(task: GatedTask) -> Any:
    if not task.is_join:
        return task.flow
    from metaflow.datastore import Inputs  # noqa: PLC0415 - heavy

    def as_flow(datastore: Any) -> Any:
        clone = task.flow.__class__(use_cli=False)
        clone._set_datastore(datastore)
        return clone

    return Inputs(as_flow(datastore) for datastore in task.inputs)


def _once_each(write: Callable[[str], None]) -> Callable[[Iterable[str]], None]:
    """Return what writes lines that it has not written before."""
    written: set[str] = set()

    def write_new(lines: Iterable[str]) -> None:
        for line in lines:
            if line not in written:
                written.add(line)
                write(line)

    return write_new


def _say_trouble(error: StoreUnavailable) -> None:
    say(f"Still waiting, although the answer can't be looked up right now: {error}")


@contextmanager
def _closing_when_stopped(cases: UseCases, task: GatedTask) -> Iterator[list[str]]:
    """Close the question when the run is stopped: nobody should answer what nobody waits for.

    Yields a list for the id of what is waited for, if it is not the task's own question.
    """
    waits_for = [task.pathspec.approval_id]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = {one: signal.signal(one, stop) for one in _STOPS} if in_main else {}
    try:
        yield waits_for
    except KeyboardInterrupt as stopped:
        with suppress(NoSuchApproval):  # stopped before it asked
            cases.give_up(waits_for[-1], str(stopped) or RUN_STOPPED)
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _sleep_while_run_lives(parent: int, heartbeat: Heartbeat) -> Callable[[float], None]:
    """Return a sleep that says that somebody waits, and ends once the process that started this one is gone.

    A run that is killed, or whose machine closes its session, can't stop its tasks: one that waited on would have its
    question approved for nothing.
    """

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            if os.getppid() != parent:
                raise KeyboardInterrupt(RUN_GONE)
            heartbeat.beat()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_FOR_RUN))

    return sleep
