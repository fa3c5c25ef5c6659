"""Asking from within an Argo workflow, for a task that it starts after the answer."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from metaflow_extensions.hitl.approvals.errors import StoreUnavailable
from metaflow_extensions.hitl.approvals.record import Approval, EngineKind, Gate, Origin, Person
from metaflow_extensions.hitl.approvals.use_cases import Outcome, UseCases
from metaflow_extensions.hitl.messages import terminal
from metaflow_extensions.hitl.plugins import root
from metaflow_extensions.hitl.plugins.arguments import StepArguments
from metaflow_extensions.hitl.plugins.gate import build_question, find, with_plots
from metaflow_extensions.hitl.plugins.incoming import GatedTask
from metaflow_extensions.hitl.plugins.settings import POD_NAMESPACE, read_settings
from metaflow_extensions.hitl.plugins.task_log import say

_PAUSES = (1, 2, 4, 8, 16)  # seconds between two tries to record a question; Argo then starts another container


def ask_and_leave(
    task: GatedTask,
    arguments: StepArguments,
    cases: UseCases,
    environ: Mapping[str, str],
    sleep: Callable[[float], object],
) -> Approval:
    """Ask for a task that an Argo workflow starts after the answer, and don't wait.

    Parameters
    ----------
    environ : Mapping[str, str]
        With what Metaflow tells its containers about their workflow (metaflow, ``plugins/argo/argo_workflows.py``).
    sleep : Callable[[float], object]
        Called with seconds, while the store is away.

    Raises
    ------
    StoreUnavailable
        It stayed away for half a minute. Nothing was asked.
    """
    settings = read_settings()
    workflow = environ["ARGO_WORKFLOW_NAME"]
    namespace = environ.get(POD_NAMESPACE) or settings.argo_namespace  # where Kubernetes says that this pod is
    asked = build_question(task, arguments, find(task, arguments.metrics), start="argo-workflows trigger")
    asked = with_plots(task, arguments, asked, cases.ledger.store)
    if asked.run_url is None and settings.argo_ui_url:
        link = f"{settings.argo_ui_url.rstrip('/')}/workflows/{namespace}/{workflow}"
        asked = replace(asked, run_url=link)
    place = Gate(engine=EngineKind.ARGO, namespace=namespace, workflow=workflow)
    owner = environ.get("METAFLOW_OWNER")  # who deployed the flow; the login of a pod is nobody's
    requester = Person(id=owner, name=owner, origin=Origin.CLAIM) if owner else root.local_person()
    outcome = insist(lambda: cases.ask(task.pathspec, asked, place, requester), sleep)
    for problem in outcome.pending:
        say(f"The question is recorded, and the bot posts it, because this pod could not: {problem}")
    for line in terminal.nobody(outcome.approval):
        say(line)
    if outcome.approval.decision is not None:
        say(terminal.decided(outcome.approval))
    return outcome.approval


def insist(ask: Callable[[], Outcome], sleep: Callable[[float], object]) -> Outcome:
    """Ask until the store takes it, for half a minute; raise StoreUnavailable then."""
    for pause in _PAUSES:
        try:
            return ask()
        except StoreUnavailable as error:  # noqa: PERF203 - the pause costs more than the try
            say(f"The question can't be recorded right now; the next try is in {pause} s: {error}")
            sleep(pause)
    return ask()
