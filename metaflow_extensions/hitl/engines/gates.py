"""The state of a gate in an Argo Workflow, and what a decision makes of it. No I/O.

A gate is a node of type Suspend whose input parameter ``approval-id`` is the id of the approval. It waits while its
phase is Running (argo-workflows 4.1.2, ``IsActiveSuspendNode`` in ``pkg/apis/workflow/v1alpha1/workflow_types.go``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metaflow_extensions.hitl.approvals.duration import in_words
from metaflow_extensions.hitl.approvals.errors import GateNotReached
from metaflow_extensions.hitl.approvals.proposing import asked_digest
from metaflow_extensions.hitl.approvals.record import Approval, Decision, Verdict, Where

from .nodes import (
    QUESTION,
    Ending,
    Node,
    Nodes,
    NodesElsewhere,
    Phase,
    Workflow,
    annotated,
    input_of,
    name_of,
    read_nodes,
    suspend_nodes,
)

MESSAGE_LENGTH = 1_000  # of a node's message; what does not fit is in the record
CLOCKS_APART = timedelta(minutes=5)  # the record carries the asking pod's clock, the workflow the API server's

_FLOW = "metaflow/flow_name"  # an annotation
_ENDED = frozenset({"Succeeded", "Failed", "Error"})  # phases of a workflow
_FAILED = frozenset({"Failed", "Error", "Skipped", "Omitted"})  # phases of a node after which nothing of it starts
_ANSWERED = {
    Where.BUTTON: "Slack button",
    Where.FORM: "Slack form",
    Where.SLASH_COMMAND: "Slack command",
    Where.COMMAND_LINE: "command line",
    Where.RULE: "metrics",
    Where.IN_ADVANCE: "in advance, in Slack",
    Where.NEWER_QUESTION: "a newer run",
    Where.CONFIRMATION: "command line, confirmed in Slack",
}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The gate can be ended: the ids of the suspend nodes that wait for it, at least one."""

    node_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Over:
    """There is nothing left to end. ``problem`` is empty if it ended as the decision says, else it says what is."""

    problem: str = ""


# What a decision asks for.


def ending(approval: Approval) -> Ending:
    """Say how the gate of a decided approval ends.

    Raises
    ------
    ValueError
        It is not decided.
    """
    if approval.decision is None:
        raise ValueError(f"{approval.id} is not decided, so there is nothing to carry out")
    phase = Phase.SUCCEEDED if approval.lets_run else Phase.FAILED
    return Ending(phase=phase, message=_plain(_said(approval, approval.decision)))


def _said(approval: Approval, decision: Decision) -> str:
    by = _by(decision)
    if approval.closing is not None:
        return f"{decision.verdict.value} by {by}, which does not count: {approval.closing.reason}"
    if decision.where is Where.TIMEOUT:
        waited = (approval.deadline or decision.at) - approval.requested_at
        return f"{decision.verdict.value} by timeout: no one answered in {in_words(waited.total_seconds())}"
    said = f"{decision.verdict.value} by {by} via {_ANSWERED[decision.where]}"
    if decision.reason:
        said += f": {decision.reason}"
    if decision.verdict is not Verdict.APPROVE and approval.lets_run:
        said += " (the step runs and is told)"
    return said


def _by(decision: Decision) -> str:
    """Name everybody whose decision it is."""
    if len(decision.voters) > 1:
        return f"{', '.join(voter.name for voter in decision.voters[:-1])} and {decision.voters[-1].name}"
    if decision.on_behalf_of is not None:
        return f"{decision.by.name} for {decision.on_behalf_of.name}"
    return decision.by.name


def _plain(text: str) -> str:
    """Make one line of it that Argo shows as it stands.

    Argo puts the messages of failed nodes into templates of exit handlers (``{{workflow.failures}}``), where another
    pair of braces, typed by a person, would be a template of its own.
    """
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    line = "".join(character for character in line if character.isprintable())
    line = re.sub(r"\{(?=\{)", "{ ", line)
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"


# The state of a gate.


def assess(workflow: Workflow, approval: Approval) -> Waiting | Over:
    """Say what there is to do about a decided approval.

    Raises
    ------
    GateNotReached
        The workflow runs and has no such gate yet.
    NodesElsewhere
        The object does not hold its nodes in a form that can be read here.
    """
    foreign = why_foreign(workflow, approval)
    if foreign is not None:
        return Over(problem=f"{foreign}. Nothing was resumed. Start a new run")
    stopped = why_stopped(workflow)
    if stopped is not None and approval.lets_run:
        stopped += ". Start a new run"
    try:
        nodes = read_nodes(workflow)
    except NodesElsewhere:
        if stopped is None:
            raise
        nodes = {}
    gates = suspend_nodes(nodes, approval.id)
    waiting = tuple(node_id for node_id, node in gates.items() if node.get("phase") == "Running")
    if waiting:
        if approval.lets_run and (replaced := _why_replaced(gates, approval)) is not None:
            return Over(problem=f"{replaced}. Nothing was resumed. Start a new run")
        return Waiting(node_ids=waiting) if stopped is None else Over(problem=stopped)
    ended = _last_ended(gates)
    if ended is not None:
        return Over(problem=_against(ended, nodes, approval))
    if stopped is not None:
        return Over(problem=stopped)
    if _is_another(workflow, approval):
        return Over(problem=_other_gate(workflow))
    raise GateNotReached(
        f"When this was decided, workflow {name_of(workflow)} had not reached the gate of {approval.id}. "
        "The decision takes effect when it does."
    )


def why_gone(workflow: Workflow, approval: Approval) -> str | None:
    """Say why nobody waits for an answer to a pending approval, or None while somebody may.

    Raises
    ------
    NodesElsewhere
        As for ``assess``.
    """
    foreign = why_foreign(workflow, approval)
    if foreign is not None:
        return foreign
    stopped = why_stopped(workflow)
    try:
        nodes = read_nodes(workflow)
    except NodesElsewhere:
        if stopped is None:
            raise
        return stopped
    gates = suspend_nodes(nodes, approval.id)
    # A workflow that ended because of its gate: what became of the gate says more.
    return (
        _why_ended(workflow, gates, nodes, approval)
        or stopped
        or _why_replaced(gates, approval)
        or _why_missing(workflow, gates, approval)
    )


def _why_ended(workflow: Workflow, gates: Nodes, nodes: Nodes, approval: Approval) -> str | None:
    """Say who or what ended the gate without an answer, or None while it waits or the step may still look for one."""
    last = _last_ended(gates)
    if last is None or any(not _has_ended(node) for node in gates.values()):
        return None
    if (workflow.get("spec") or {}).get("shutdown"):
        return None  # the controller failed it, because somebody stopped the workflow
    if last["phase"] in _FAILED:
        return f"the gate was stopped in Argo{_quoted(last)}"
    # Resumed by hand, or by its own clock: the step starts, and looks for the answer itself. Until it has, an answer
    # still counts, and a deadline still decides.
    if not _has_failed(_wrapper(last, nodes)):
        return None
    if approval.deadline is not None and not _is_before(last, approval.deadline):
        return "the deadline passed without an answer, so the step refused to start"
    return f"somebody resumed the gate in Argo without an answer{_quoted(last)}, so the step refused to start"


def _why_replaced(gates: Nodes, approval: Approval) -> str | None:
    """Say that the run asked something else than what was signed, and thus shown to people; None if it did not.

    Where nobody signs, whoever can replace a question can answer it, too, so there is nothing to hold it to.
    """
    if approval.vouched_by is None:
        return None
    asked = {input_of(node, QUESTION) for node in gates.values()} - {None}  # None: compiled by an older release
    if asked <= {asked_digest(approval.question)}:
        return None
    return "the run asked another question: somebody replaced its proposal before the bot read it"


def _why_missing(workflow: Workflow, gates: Nodes, approval: Approval) -> str | None:
    # The question is asked before the workflow comes to the gate, so a missing gate is not a reason.
    return _other_gate(workflow) if not gates and _is_another(workflow, approval) else None


def why_foreign(workflow: Workflow, approval: Approval) -> str | None:
    """Say why a workflow is not the one whose task the approval is about, or None if it is.

    The record names a workflow, and whoever wrote the record may have named any. What the cluster says counts: Metaflow
    calls the run after the workflow, and annotates the workflow with its flow (metaflow 2.19,
    ``plugins/argo/argo_workflows.py``).
    """
    name, pathspec = name_of(workflow), approval.pathspec
    if pathspec.run != f"argo-{name}" or annotated(workflow, _FLOW)[:1] != (pathspec.flow,):
        return f"the workflow {name} is not the run {pathspec.run} of {pathspec.flow}"
    return None


def has_gate(workflow: Workflow, approval: Approval) -> bool:
    """Whether a gate of this approval waits in the workflow, or did; raise NodesElsewhere as ``assess``."""
    return why_foreign(workflow, approval) is None and bool(suspend_nodes(read_nodes(workflow), approval.id))


def why_stopped(workflow: Workflow) -> str | None:
    """Say why no gate of this workflow goes on, or None while one may."""
    name, status = name_of(workflow), workflow.get("status") or {}
    phase = status.get("phase")
    if phase in _ENDED:
        return f"the workflow {name} has ended ({phase}){_quoted(status)}"
    if workflow["metadata"].get("deletionTimestamp"):
        return f"the workflow {name} is being deleted"
    # Terminate or Stop: the controller fails every gate in its next turn (``workflow/controller/operator.go``,
    # ``failNodesWithoutCreatedPodsAfterDeadlineOrShutdown``).
    if (workflow.get("spec") or {}).get("shutdown"):
        return f"the workflow {name} was stopped in Argo"
    return None


def missing(name: str, namespace: str) -> str:
    """Say that there is no such workflow."""
    return f"the workflow {name} no longer exists in namespace {namespace}: it was deleted, or its TTL expired"


def _against(node: Node, nodes: Nodes, approval: Approval) -> str:
    """Say what is wrong about how a gate had ended before a decision came to it; empty if nothing is."""
    decision = approval.decision
    if decision is None or node.get("message") == ending(approval).message:
        return ""
    if node["phase"] in _FAILED:
        if not approval.lets_run:
            return ""
        return f"the gate had been stopped in Argo before{_quoted(node)}. Start a new run"
    wrapper = _wrapper(node, nodes)
    if approval.lets_run and _has_failed(wrapper) and _is_before(wrapper, decision.at):
        return (
            f"somebody had resumed the gate in Argo before there was an answer{_quoted(node)}, so the step refused to "
            "start. Start a new run"
        )
    if not approval.lets_run and decision.where is not Where.TIMEOUT:
        return (
            f"somebody had resumed the gate in Argo before{_quoted(node)}. The step looks for the answer itself, and "
            "does not run its code"
        )
    # After a deadline the gate may open by its own clock, and the step refuses: that is how it works without a bot.
    return ""


def _last_ended(gates: Nodes) -> Node | None:
    ended = [node for node in gates.values() if _has_ended(node)]
    return max(ended, key=lambda node: str(node.get("finishedAt")), default=None)


def _has_ended(node: Node) -> bool:
    return _has_failed(node) or node.get("phase") == "Succeeded"


def _wrapper(node: Node, nodes: Nodes) -> Node:
    """Return the DAG that the gate and its task are in."""
    return nodes.get(str(node.get("boundaryID")), {})


def _has_failed(node: Node) -> bool:
    return node.get("phase") in _FAILED


def _is_before(node: Node, moment: datetime) -> bool:
    finished_at = node.get("finishedAt")
    return bool(finished_at) and _moment(str(finished_at)) < moment


def _is_another(workflow: Workflow, approval: Approval) -> bool:
    """Whether the workflow was created after the question was asked, under the name of one that is gone."""
    created = workflow["metadata"].get("creationTimestamp")
    return bool(created) and _moment(str(created)) > approval.requested_at + CLOCKS_APART


def _other_gate(workflow: Workflow) -> str:
    return f"another workflow was created under the name {name_of(workflow)}, and asks its own questions"


def _quoted(thing: Mapping[str, Any]) -> str:
    message = _plain(str(thing.get("message") or ""))
    return f': "{message}"' if message else ""


def _moment(text: str) -> datetime:
    """Read a time as Kubernetes writes it: RFC 3339 in UTC, in whole seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
