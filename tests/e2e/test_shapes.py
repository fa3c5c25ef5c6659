"""Gates in every shape of flow, on a real Argo."""

from __future__ import annotations

import os
import re
from textwrap import dedent

import pytest

from tests.e2e.test_gates import question
from tests.fixtures.flows import REPOSITORY
from tests.fixtures.shapes import BRANCHES


@pytest.fixture
def metaflow_runs_conditions():
    """What Metaflow 2.19 makes of conditions refers to tasks that were skipped, which Argo 4 refuses, gates or not."""
    if os.environ.get("HITL_E2E_ARGO_VERSION", "3").startswith("4"):
        pytest.skip("Metaflow's own conditions do not run on Argo 4")


def approve(deployed, gate):
    said = deployed.flow.hitl("approve", deployed.approval(gate).id)
    assert said.process.returncode == 0, said.output
    assert "argo resume" not in said.output


def messages(deployed, gates):
    return sorted(deployed.approval(gate).question.message for gate in gates)


def test_start(deploy):
    """The first step asks before it starts, with the run's parameters."""
    deployed = deploy("""
        alpha = Parameter("alpha", default="0.5")

        @hitl(message="Start with {self.alpha}?")
        @step
        def start(self):
            print("RUNS start")
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    run = deployed.trigger("--alpha", "0.7")
    gates = run.wait_until_suspended()
    assert messages(deployed, gates) == ["Start with 0.7?"]
    approve(deployed, gates[0])
    assert run.end() == "Succeeded", run.story()
    assert "RUNS start" in run.logs()


def test_foreach_and_its_join(deploy):
    """Every shard has a gate of its own: one goes on, the others keep waiting; the join sees all of them."""
    deployed = deploy(
        """
        @step
        def start(self):
            self.items = ["a", "b", "c"]
            self.next(self.shard, foreach="items")

        @hitl(message="Shard {self.input}?")
        @step
        def shard(self):
            print("RUNS", self.input)
            self.item = self.input
            self.next(self.join)

        @hitl(message="Join {inputs.shard.item}?")
        @step
        def join(self, inputs):
            print("JOINS", sorted(one.item for one in inputs))
            self.next(self.end)

        @step
        def end(self):
            pass
    """.replace("inputs.shard.item", "inputs[0].item")
    )
    run = deployed.trigger()
    gates = run.wait_until_suspended(3)
    assert messages(deployed, gates) == ["Shard a?", "Shard b?", "Shard c?"]
    first = next(gate for gate in gates if deployed.approval(gate).question.message == "Shard b?")
    approve(deployed, first)
    run.until(lambda one: "RUNS b" in one.logs())
    left = run.wait_until_suspended(2)
    assert messages(deployed, left) == ["Shard a?", "Shard c?"]
    for gate in left:
        approve(deployed, gate)
    (join,) = run.until(
        lambda one: [gate for gate in one.suspended() if "join" in gate["displayName"] and not one.unfinished_pods()]
    )
    assert messages(deployed, [join])[0] in {"Join a?", "Join b?", "Join c?"}
    approve(deployed, join)
    assert run.end() == "Succeeded", run.story()
    assert "JOINS ['a', 'b', 'c']" in run.logs()


def test_a_foreach_in_a_foreach(deploy):
    """Every inner shard of every outer one asks for itself, and only its own answer opens it."""
    deployed = deploy("""
        @step
        def start(self):
            self.letters = ["a", "b"]
            self.next(self.outer, foreach="letters")

        @step
        def outer(self):
            self.letter = self.input
            self.numbers = [1, 2]
            self.next(self.inner, foreach="numbers")

        @hitl(message="Inner {self.letter}{self.input}?")
        @step
        def inner(self):
            print("RUNS", self.letter, self.input)
            self.label = f"{self.letter}{self.input}"
            self.next(self.inner_join)

        @step
        def inner_join(self, inputs):
            self.labels = sorted(one.label for one in inputs)
            self.next(self.outer_join)

        @step
        def outer_join(self, inputs):
            print("JOINS", sorted(label for one in inputs for label in one.labels))
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    run = deployed.trigger()
    gates = run.wait_until_suspended(4)
    assert messages(deployed, gates) == ["Inner a1?", "Inner a2?", "Inner b1?", "Inner b2?"]
    gates.sort(key=lambda gate: deployed.approval(gate).question.message)
    approve(deployed, gates.pop(1))
    run.until(lambda one: "RUNS a 2" in one.logs())
    assert messages(deployed, run.wait_until_suspended(3)) == ["Inner a1?", "Inner b1?", "Inner b2?"]
    for gate in gates:
        approve(deployed, gate)
    assert run.end() == "Succeeded", run.story()
    assert "JOINS ['a1', 'a2', 'b1', 'b2']" in run.logs()


def test_gates_that_share_their_templates(deploy):
    """In a flow of many gates each asks, waits and runs for its own step, although the templates are shared."""
    names = [f"gate_{number}" for number in range(21)]
    steps = [
        f"""
        @hitl(message="{name} after {{self.last}}?")
        @step
        def {name}(self):
            print("RUNS", current.step_name, current.hitl.decided_by)
            self.last = current.step_name
            self.next(self.{following})
        """
        for name, following in zip(names, [*names[1:], "end"], strict=True)
    ]
    begin = f"""
        @step
        def start(self):
            self.last = "start"
            self.next(self.{names[0]})
        """
    end = """
        @step
        def end(self):
            pass
        """
    deployed = deploy("".join([begin, *steps, end]))
    run = deployed.trigger()
    (first,) = run.wait_until_suspended()
    assert (first["displayName"], messages(deployed, [first])) == ("hitl-suspend-gate-0", ["gate_0 after start?"])
    assert first["templateName"] == "hitl-suspend--1"
    approve(deployed, first)
    (second,) = run.until(
        lambda one: [gate for gate in one.suspended() if gate["id"] != first["id"] and not one.unfinished_pods()]
    )
    assert (second["displayName"], messages(deployed, [second])) == ("hitl-suspend-gate-1", ["gate_1 after gate_0?"])
    assert "RUNS gate_0 alice" in run.logs()
    said = deployed.flow.hitl("reject", deployed.approval(second).id, "--reason", "enough")
    assert said.process.returncode == 0, said.output
    assert run.end() == "Failed"
    assert "RUNS gate_1" not in run.logs()


def test_a_rejected_shard_fails_alone(deploy):
    """The other shard runs to its end; then the run fails, as Metaflow does it."""
    deployed = deploy("""
        @step
        def start(self):
            self.items = ["a", "b"]
            self.next(self.shard, foreach="items")

        @hitl(message="Shard {self.input}?")
        @step
        def shard(self):
            print("RUNS", self.input)
            self.next(self.join)

        @step
        def join(self, inputs):
            print("JOINS")
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    run = deployed.trigger()
    gates = run.wait_until_suspended(2)
    gates.sort(key=lambda gate: deployed.approval(gate).question.message)
    approve(deployed, gates[0])
    run.until(lambda one: "RUNS a" in one.logs())
    deployed.flow.hitl("reject", deployed.approval(gates[1]).id, "--reason", "no")
    assert run.end() == "Failed"
    assert "RUNS b" not in run.logs()
    assert "JOINS" not in run.logs()


def test_two_gates_in_parallel(deploy):
    """Both branches wait at once, each for its own answer."""
    deployed = deploy(BRANCHES)
    run = deployed.trigger()
    gates = run.wait_until_suspended(2)
    assert messages(deployed, gates) == ["Left?", "Right?"]
    for gate in gates:
        approve(deployed, gate)
    assert run.end() == "Succeeded", run.story()
    assert {"RUNS left", "RUNS right"} <= set(run.logs().splitlines())


def test_a_conditional_branch_and_where_it_meets(deploy, metaflow_runs_conditions):
    """The branch that is taken asks, the other one does not, and so does the step where they meet."""
    deployed = deploy("""
        @step
        def start(self):
            self.size = "small"
            self.next({"small": self.small, "large": self.large}, condition="size")

        @hitl(message="Small?")
        @step
        def small(self):
            self.next(self.meet)

        @hitl(message="Large?")
        @step
        def large(self):
            self.next(self.meet)

        @hitl(message="Meet {self.size}?")
        @step
        def meet(self):
            print("RUNS meet")
            self.next(self.end)

        @step
        def end(self):
            pass
    """)
    run = deployed.trigger()
    (gate,) = run.wait_until_suspended()
    assert messages(deployed, [gate]) == ["Small?"]
    approve(deployed, gate)
    (meet,) = run.until(
        lambda one: [gate for gate in one.suspended() if "meet" in gate["displayName"] and not one.unfinished_pods()]
    )
    assert messages(deployed, [meet]) == ["Meet small?"]
    approve(deployed, meet)
    assert run.end() == "Succeeded", run.story()
    assert "RUNS meet" in run.logs()


def test_a_button_chooses_the_branch(deploy, bot, metaflow_runs_conditions):
    """The flow of the page on forms: production is a button, and the run goes that way and no other."""
    page = (REPOSITORY / "docs" / "forms.md").read_text()
    [body] = re.findall(r"class ChooseTheWay\(FlowSpec\):\n(.*?)\n\n\nif __name__", page, re.DOTALL)
    deployed = deploy(dedent(body))
    bot(deployed)
    run = deployed.trigger()
    run.wait_until_suspended()
    bob, message = question(deployed, "Where to?", button="production")
    bob.click(message, "production", confirm="production")
    assert run.end() == "Succeeded", run.story()
    assert "Goes to production." in run.logs()
    assert "Goes to staging." not in run.logs()


def test_every_turn_of_a_recursion_asks(deploy, metaflow_runs_conditions):
    """Each turn has a gate of its own, with what the turn before left."""
    deployed = deploy("""
        @step
        def start(self):
            self.count = 0
            self.next(self.turn)

        @hitl(message="Turn {self.count}?")
        @step
        def turn(self):
            self.count += 1
            self.again = "yes" if self.count < 2 else "no"
            self.next({"yes": self.turn, "no": self.end}, condition="again")

        @step
        def end(self):
            print("TURNS", self.count)
    """)
    run = deployed.trigger()
    (first,) = run.wait_until_suspended()
    assert messages(deployed, [first]) == ["Turn 0?"]
    approve(deployed, first)
    (second,) = run.until(
        lambda one: [gate for gate in one.suspended() if gate["id"] != first["id"] and not one.unfinished_pods()]
    )
    assert messages(deployed, [second]) == ["Turn 1?"]
    approve(deployed, second)
    assert run.end() == "Succeeded", run.story()
    assert "TURNS 2" in run.logs()
