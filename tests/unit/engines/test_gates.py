"""What a decision makes of a gate: the phase, and the words on the node. Where a gate stands: tests/cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.errors import GateNotReached
from metaflow_extensions.hitl.approvals.question import OnReject, OnTimeout
from metaflow_extensions.hitl.approvals.record import Approval, Origin, Pathspec, Person, Verdict, Where
from metaflow_extensions.hitl.engines.gates import MESSAGE_LENGTH, Over, Waiting, assess, ending, why_gone
from metaflow_extensions.hitl.engines.nodes import Phase
from tests.fixtures.any_approval import texts
from tests.fixtures.approvals import ALICE, BOB, NOW, after, approval as any_approval, approving, pathspec, rejecting

LOCAL = Person(id="bob", name="bob", origin=Origin.CLAIM)
DAY = 86_400


def approval(where: Pathspec | None = None, **parts: Any) -> Approval:
    """Return a pending approval of the run that is the workflow below."""
    return any_approval(where or pathspec(run="argo-w"), **parts)


def message(reason: str, who: str = "bob") -> str:
    return ending(transitions.decide(approval(), rejecting(replace(ALICE, name=who), reason=f"x{reason}"))).message


@pytest.mark.parametrize(
    ("decided", "phase", "words"),
    [
        (transitions.decide(approval(), approving(ALICE)), Phase.SUCCEEDED, "approved by Alice Adams via Slack button"),
        (
            transitions.decide(approval(), approving(LOCAL, where=Where.COMMAND_LINE)),
            Phase.SUCCEEDED,
            "approved by bob via command line",
        ),
        (
            transitions.decide(approval(), rejecting(ALICE, where=Where.SLASH_COMMAND, reason="drift too high")),
            Phase.FAILED,
            "rejected by Alice Adams via Slack command: drift too high",
        ),
        (
            transitions.decide(approval(on_reject=OnReject.CONTINUE), rejecting(ALICE, reason="no")),
            Phase.SUCCEEDED,
            "rejected by Alice Adams via Slack form: no (the step runs and is told)",
        ),
        (
            transitions.expire(approval(timeout=DAY), after(DAY)),
            Phase.FAILED,
            "rejected by timeout: no one answered in 1 d",
        ),
        (
            transitions.expire(approval(timeout=7200, on_timeout=OnTimeout.APPROVE), after(9000)),
            Phase.SUCCEEDED,
            "approved by timeout: no one answered in 2 h",
        ),
    ],
)
def test_node_says_who_and_why(decided: Any, phase: Phase, words: str) -> None:
    """Each kind of decision has its phase, and words that name the person, or the deadline, and the reason."""
    assert (ending(decided).phase, ending(decided).message) == (phase, words)


@pytest.mark.parametrize("where", [where for where in Where if where is not Where.TIMEOUT])
def test_every_way_in_has_its_words(where: Where) -> None:
    """Whichever way somebody answers, the node says so."""
    assert ending(transitions.decide(approval(), approving(ALICE, where=where))).message.startswith(
        "approved by Alice Adams via"
    )


def test_node_names_everybody_whose_decision_it_is() -> None:
    """Who voted is named, and so is whom somebody decided for."""
    decided = transitions.decide(approval(), approving(BOB, voters=(ALICE, LOCAL, BOB)))
    assert ending(decided).message == "approved by Alice Adams, bob and Bob Brown via Slack button"
    decided = transitions.decide(approval(), approving(BOB, on_behalf_of=ALICE))
    assert ending(decided).message == "approved by Bob Brown for Alice Adams via Slack button"


def test_changes_fail_the_gate() -> None:
    """Whoever asks for changes stops this run; the node says what they want."""
    wanted = replace(approving(ALICE, where=Where.FORM), verdict=Verdict.CHANGES, reason="a lower rate")
    end = ending(transitions.decide(approval(allow_changes=True), wanted))
    assert (end.phase, end.message) == (Phase.FAILED, "changes requested by Alice Adams via Slack form: a lower rate")


def test_decision_that_does_not_count_fails_the_gate() -> None:
    """An approval that was annulled does not open the gate, and the node says why."""
    end = ending(
        transitions.not_accept(transitions.decide(approval(), approving(ALICE)), "the policy asks for two", NOW)
    )
    assert end.phase is Phase.FAILED
    assert end.message == "approved by Alice Adams, which does not count: the policy asks for two"


@given(texts(), texts())
def test_message_is_one_plain_line(reason: str, who: str) -> None:
    """Whatever a person is called and types, the message is one printable line that JSON and Argo can take."""
    said = message(reason, who)
    assert said.isprintable()
    assert "{{" not in said
    said.encode("utf-8")


def test_braces_are_no_template() -> None:
    """Argo puts messages into templates of exit handlers: braces that a person typed stay apart, all else stays."""
    assert message("{{workflow.name}} {{{=1}} {a}").endswith("x{ {workflow.name}} { { {=1}} {a}")


def test_long_reason_is_cut() -> None:
    """A message has a bound, and shows that it was cut."""
    assert len(message("a" * 5000)) == MESSAGE_LENGTH
    assert message("a" * 5000).endswith("a…")


# Corners of where a gate stands that no recording shows.


def workflow(*gates: dict[str, Any], **parts: Any) -> dict[str, Any]:
    parts = {"annotations": {"metaflow/flow_name": "TrainFlow"}, **parts}
    asked = {"parameters": [{"name": "approval-id", "value": approval().id}]}
    found = {str(number): {"type": "Suspend", "inputs": asked, **gate} for number, gate in enumerate(gates)}
    return {"metadata": {"name": "w", **parts}, "spec": {}, "status": {"phase": "Running", "nodes": found}}


def approved() -> Any:
    return transitions.decide(approval(), approving())


def test_gate_that_is_about_to_wait_is_waited_for() -> None:
    """A suspend node that is still Pending, or has no phase yet, is neither over nor gone."""
    for gate in ({"phase": "Pending"}, {"phase": ""}, {}):
        assert why_gone(workflow(gate), approval()) is None
        with pytest.raises(GateNotReached):
            assess(workflow(gate), approved())


def test_gate_that_waits_again_counts() -> None:
    """Where `argo retry` has left an ended node of the same question beside one that waits, the latter is the gate."""
    ended = {"phase": "Failed", "finishedAt": "2026-03-02T09:00:00Z"}
    found = workflow(ended, {"phase": "Running"})
    assert assess(found, approved()) == Waiting(node_ids=("1",))
    assert why_gone(found, approval()) is None


def test_last_ended_gate_counts() -> None:
    """Of several ended nodes of one question the one that ended last tells how it went."""
    first = {"phase": "Failed", "finishedAt": "2026-03-02T09:00:00Z"}
    last = {"phase": "Succeeded", "finishedAt": "2026-03-02T09:10:00Z"}
    assert assess(workflow(last, first), approved()) == Over()


def test_gate_that_was_stopped_is_gone() -> None:
    """`argo stop` with a selector fails one gate: nobody waits there, and its message says why."""
    found = workflow({"phase": "Failed", "message": "by carol", "finishedAt": "2026-03-02T09:00:00Z"})
    assert why_gone(found, approval()) == 'the gate was stopped in Argo: "by carol"'


RESUMED_AT, LATER = "2026-03-02T09:00:00Z", "2026-03-02T09:01:00Z"


def after_the_gate(gate: dict[str, Any], **spec: str) -> dict[str, Any]:
    """Return a workflow that has failed because its step did, after the gate had ended."""
    found = workflow({"boundaryID": "dag", "finishedAt": RESUMED_AT, **gate})
    found["status"]["nodes"]["dag"] = {"type": "DAG", "phase": "Failed", "finishedAt": LATER}
    found["status"] |= {"phase": "Failed", "message": "child failed"}
    found["spec"] = spec
    return found


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (
            {"phase": "Succeeded"},
            "somebody resumed the gate in Argo without an answer, so the step refused to start",
        ),
        (
            {"phase": "Succeeded", "message": "Resumed by: carol"},
            'somebody resumed the gate in Argo without an answer: "Resumed by: carol", so the step refused to start',
        ),
        ({"phase": "Failed", "message": "not on my watch"}, 'the gate was stopped in Argo: "not on my watch"'),
    ],
)
def test_a_workflow_that_ended_by_its_gate_says_so(gate: dict[str, Any], words: str) -> None:
    """A bare resume, or a set in Argo's UI, ends the workflow; what is told is what somebody did, not that it ended."""
    assert why_gone(after_the_gate(gate), approval(at=NOW)) == words


def test_a_gate_that_its_own_clock_opened_was_resumed_by_nobody() -> None:
    """While the bot was down the deadline passed; nobody is blamed for a resume."""
    asked = approval(at=NOW, timeout=60)
    late = after_the_gate({"phase": "Succeeded", "finishedAt": after(660).strftime("%Y-%m-%dT%H:%M:%SZ")})
    assert why_gone(late, asked) == "the deadline passed without an answer, so the step refused to start"


def test_a_workflow_that_was_stopped_says_that() -> None:
    """After Stop and Terminate the controller fails the gates itself, which nobody did by hand."""
    found = after_the_gate({"phase": "Failed", "message": "workflow shutdown with strategy: Stop"}, shutdown="Stop")
    assert why_gone(found, approval(at=NOW)) == 'the workflow w has ended (Failed): "child failed"'


def test_workflow_that_is_being_deleted_is_gone() -> None:
    """One that only waits for its finalizers goes on no more."""
    found = workflow({"phase": "Running"}, deletionTimestamp="2026-03-02T09:00:00Z")
    assert why_gone(found, approval()) == "the workflow w is being deleted"
    assert assess(found, approved()) == Over(problem="the workflow w is being deleted. Start a new run")


def test_ended_workflow_needs_no_nodes() -> None:
    """Of a workflow that has ended it makes no difference that its nodes can't be read."""
    found = workflow()
    found["status"] = {"phase": "Succeeded", "offloadNodeStatusVersion": "fnv:1"}
    assert why_gone(found, approval()) == "the workflow w has ended (Succeeded)"
    assert "has ended" in getattr(assess(found, approved()), "problem", "")


def test_step_that_failed_by_itself_was_let_go() -> None:
    """A step that failed after the approval is no gate that could not be opened."""
    gate = {"phase": "Succeeded", "boundaryID": "dag", "finishedAt": "2026-03-02T09:30:00Z"}
    found = workflow(gate)
    found["status"]["nodes"]["dag"] = {"type": "DAG", "phase": "Failed", "finishedAt": "2026-03-02T09:40:00Z"}
    assert assess(found, approved()) == Over()


def test_gate_that_this_opened_is_open_whatever_the_clocks_say() -> None:
    """A node with the decision's own words was ended by it, even if the step seems to have failed before the answer."""
    gate = {"phase": "Succeeded", "boundaryID": "dag", "message": ending(approved()).message}
    found = workflow(gate)
    found["status"]["nodes"]["dag"] = {"type": "DAG", "phase": "Failed", "finishedAt": "2026-03-02T09:00:00Z"}
    assert assess(found, approved()) == Over()


def test_a_workflow_that_is_another_run_is_not_resumed() -> None:
    """A record may name any workflow: one of another run or another flow is never touched, whatever waits in it."""
    other_run = transitions.decide(any_approval(pathspec(run="argo-v")), approving())
    other_flow = workflow({"phase": "Running"}, annotations={"metaflow/flow_name": "Another"})
    for found, decided in ((workflow({"phase": "Running"}), other_run), (other_flow, approved())):
        over = assess(found, decided)
        assert isinstance(over, Over)
        assert "is not the run" in over.problem
        assert "is not the run" in (why_gone(found, decided) or "")


def test_a_workflow_that_waited_for_its_turn_is_known_by_its_template() -> None:
    """Argo copies no metadata to a workflow that a limit held up: the template it stores says which flow's it is."""
    held_up = workflow({"phase": "Running", "startedAt": "2026-03-02T09:30:00Z"}, annotations={})
    for flow, said in (("TrainFlow", Waiting(node_ids=("0",))), ("Another", None)):
        stored = {"workflowMetadata": {"annotations": {"metaflow/flow_name": flow}}}
        held_up["status"]["storedWorkflowTemplateSpec"] = stored
        found = assess(held_up, approved())
        assert found == said if said else isinstance(found, Over)
    held_up["metadata"]["annotations"] = {"metaflow/flow_name": "TrainFlow"}
    assert assess(held_up, approved()) == Waiting(node_ids=("0",))  # what it says itself comes first


def test_clocks_may_differ_a_little() -> None:
    """A workflow that seems some minutes younger than the question, by another clock, is still the one that asked."""
    assert why_gone(workflow(creationTimestamp="2026-03-02T09:34:00Z"), approval(at=NOW)) is None
    assert "another workflow" in (why_gone(workflow(creationTimestamp="2026-03-02T09:36:00Z"), approval(at=NOW)) or "")
