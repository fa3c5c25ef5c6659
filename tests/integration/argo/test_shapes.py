"""Every shape of flow, compiled: what a gate adds, and what it leaves alone."""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.argo.conftest import environment_of, timeless
from tests.integration.argo.shapes import SHAPES, chain

# By shape: the templates that became gates, with their steps, and the input parameters that Metaflow gives them.
GATES = {
    "linear": {
        "start": ("start", []),
        "deploy-it": ("deploy_it", ["input-paths"]),
        "watch": ("watch", ["input-paths"]),
        "end": ("end", ["input-paths"]),
    },
    "decorated": {name: (name, ["input-paths"]) for name in ("retried", "caught", "timed", "heavy", "secret")},
    "foreach": {
        "start": ("start", []),
        "outer": ("outer", ["input-paths", "split-index"]),
        "inner": ("inner", ["input-paths", "split-index"]),
        "inner-last": ("inner_last", ["input-paths", "split-index", "root-input-path"]),
        "inner-join": ("inner_join", ["input-paths", "split-cardinality", "split-index", "root-input-path"]),
        "outer-join": ("outer_join", ["input-paths", "split-cardinality"]),
    },
    "branches": {name: (name, ["input-paths"]) for name in ("left", "right", "join")},
    "conditional": {name: (name, ["input-paths"]) for name in ("small", "large", "meet")},
    "recursion": {"recursive-turn": ("turn", ["input-paths"])},
    "triggered": {"deploy": ("deploy", ["input-paths"])},
}
ALL_GATES = [(shape, name) for shape, gates in GATES.items() for name in gates]


@pytest.mark.parametrize(("shape", "name"), ALL_GATES)
def test_a_gate_is_asked_then_waits_then_runs(compiled, shape, name):
    """The step's template is a DAG of three: ask, suspend until the answer to that question, run."""
    step, inputs = GATES[shape][name]
    gate = compiled(shape).gate(name, step)
    plain = step.replace("_", "-")
    notify, suspend, task = gate.dag["dag"]["tasks"]
    assert [notify["name"], suspend["name"], task["name"]] == [
        f"hitl-notify-{plain}",
        f"hitl-suspend-{plain}",
        f"{name}-task",
    ]
    assert [one["template"] for one in (notify, suspend, task)] == [notify["name"], suspend["name"], task["name"]]
    assert "depends" not in notify
    assert suspend["depends"] == f"hitl-notify-{plain}.Succeeded"
    assert suspend["when"] == f"{{{{tasks.hitl-notify-{plain}.outputs.parameters.settled}}}} != true"
    assert task["depends"] == f"hitl-suspend-{plain}.Succeeded || hitl-suspend-{plain}.Skipped"
    passed_on = [{"name": one, "value": f"{{{{inputs.parameters.{one}}}}}"} for one in inputs]
    told = [
        {"name": one, "value": f"{{{{tasks.hitl-notify-{plain}.outputs.parameters.{one}}}}}"}
        for one in ("approval-id", "question-sha256")
    ]
    assert notify["arguments"]["parameters"] == passed_on
    assert task["arguments"]["parameters"] == [*passed_on, told[1]]
    assert suspend["arguments"]["parameters"] == told
    assert [one["name"] for one in gate.task["inputs"]["parameters"]] == [*inputs, "question-sha256"]
    assert [one["name"] for one in gate.dag["inputs"]["parameters"]] == inputs
    assert [one["name"] for one in gate.notify["inputs"]["parameters"]] == inputs
    assert [one["name"] for one in gate.suspend["inputs"]["parameters"]] == ["approval-id", "question-sha256"]


@pytest.mark.parametrize(("shape", "name"), ALL_GATES)
def test_a_gate_gives_out_what_its_step_gives_out(compiled, shape, name):
    """Each output parameter of the step is one of the DAG, and comes from the step's own container."""
    step, _ = GATES[shape][name]
    gate = compiled(shape).gate(name, step)
    given = {one["name"]: one["valueFrom"]["parameter"] for one in gate.dag["outputs"]["parameters"]}
    own = [one["name"] for one in gate.task["outputs"]["parameters"]]
    assert given == {one: f"{{{{tasks.{name}-task.outputs.parameters.{one}}}}}" for one in own}
    files = {
        "approval-id": "METAFLOW_HITL_ID_FILE",
        "settled": "METAFLOW_HITL_SETTLED_FILE",
        "question-sha256": "METAFLOW_HITL_QUESTION_FILE",
    }
    assert gate.notify["outputs"]["parameters"] == [
        {"name": parameter, "valueFrom": {"path": environment_of(gate.notify)[variable]}}
        for parameter, variable in files.items()
    ]


@pytest.mark.parametrize(("shape", "name"), ALL_GATES)
def test_asking_is_the_steps_own_command_with_one_change(compiled, shape, name):
    """The container that asks runs what the step runs, up to `hitl notify` in the place of `step`."""
    step, _ = GATES[shape][name]
    gate = compiled(shape).gate(name, step)
    asking, running = (one["container"]["command"] for one in (gate.notify, gate.task))
    assert asking[:2] == running[:2] == ["bash", "-c"]
    assert asking[2].replace(f" hitl notify {step} --run-id ", f" step {step} --run-id ") == running[2]
    assert asking[2].count(f" hitl notify {step} --run-id ") == 1
    assert f" step {step} --run-id " not in asking[2]


@pytest.mark.parametrize("shape", GATES)
def test_the_rest_of_the_workflow_is_as_metaflow_made_it(compiled, shape):
    """Ungated steps, DAGs, hooks, schedule and annotations do not know of the gates."""
    gated = compiled(shape)
    without = re.sub(r"@hitl(\(.*\))?\n", "\n", SHAPES[shape])
    plain = compiled(without)
    ours = {name for name in gated.templates if name not in plain.templates}
    step_templates = set(GATES[shape])
    assert ours == {
        one
        for name, (step, _) in GATES[shape].items()
        for one in (f"{name}-task", *(f"hitl-{part}-{step.replace('_', '-')}" for part in ("notify", "suspend")))
    }

    def text(made, names):
        rest = {**made.template, "spec": {**made.template["spec"], "templates": []}}
        return timeless(json.dumps([rest, *(made.templates[name] for name in names)], indent=1))

    others = [name for name in plain.templates if name not in step_templates]
    assert text(gated, others) == text(plain, others)


def test_a_recursive_steps_gate_is_inside_its_turn(compiled):
    """The step that repeats calls the gate once a turn, so every turn has a gate of its own."""
    made = compiled("recursion")
    turn, again = made.templates["turn"]["steps"]
    assert turn[0]["template"] == "recursive-turn"
    assert again[0]["template"] == "turn"
    assert "dag" in made.templates["recursive-turn"]


def test_triggers_schedule_and_hooks_are_there(compiled):
    """What starts a workflow, and what runs when it ends, are where Metaflow puts them."""
    made = compiled("triggered")
    annotations = made.template["metadata"]["annotations"]
    assert json.loads(annotations["metaflow/cron"])["schedule"]
    assert json.loads(annotations["metaflow/triggers"]) == [{"name": "data_arrived", "type": "event"}]
    assert made.template["spec"]["hooks"]
    assert made.template["metadata"]["name"].startswith("fraud.user.alice")


def test_a_hundred_gates_compile(compiled):
    """They share what is alike, and are less for Argo to keep than the steps alone; each asks and runs as itself."""
    made = compiled(chain(100))
    ungated = compiled(chain(100).replace("@hitl\n", "\n"))
    size, without = (len(json.dumps(one.template["spec"], separators=(",", ":"))) for one in (made, ungated))
    assert size < without / 2
    for number in range(100):
        notify, suspend, task = made.templates[f"step-{number:03}"]["dag"]["tasks"]
        names = (f"hitl-notify-step-{number:03}", f"hitl-suspend-step-{number:03}", f"step-{number:03}-task")
        assert (notify["name"], suspend["name"], task["name"]) == names
        assert "suspend" in made.templates[suspend["template"]]
        for call, command in ((notify, "hitl notify"), (task, "step")):
            container = called(made, call)
            assert f" {command} step_{number:03} --run-id " in container["container"]["command"][2]
            assert f"(echo step_{number:03}-" in container["container"]["command"][2]
            assert environment_of(container)["METAFLOW_STEP_NAME"] == f"step_{number:03}"
            assert container["metadata"]["annotations"]["metaflow/step_name"] == f"step_{number:03}"
    assert len(made.templates) < 200  # what the full definitions take
    assert "Argo" not in made.said.replace("Deploying Chain to Argo", "")


def called(made, task):
    """Return the template that a task calls, with the task's arguments in it, as Argo fills them in."""
    text = json.dumps(made.templates[task["template"]])
    for argument in task["arguments"]["parameters"]:
        text = text.replace(f"{{{{inputs.parameters.{argument['name']}}}}}", argument["value"])
    return json.loads(text)


def test_a_container_is_as_metaflow_made_it_once_the_step_is_filled_in(compiled):
    """What runs a step does not change with the number of gates, but for the container's name, which Argo replaces."""
    many, few = compiled(chain(21)), compiled(chain(20))
    shared, own = (called(made, made.templates["step-003"]["dag"]["tasks"][2]) for made in (many, few))
    assert shared["name"] == "hitl-task--1"
    assert own["name"] == "step-003-task"
    for template in (shared, own):
        template["container"].pop("name", None)
        template.pop("name")
        template["inputs"]["parameters"] = [
            one for one in template["inputs"]["parameters"] if one["name"] != "hitl-step"
        ]
    assert timeless(json.dumps(shared, sort_keys=True)) == timeless(json.dumps(own, sort_keys=True))


def test_a_few_gates_share_in_a_flow_that_is_large_without_them(compiled):
    """What counts is whether Argo takes the whole: a flow that fits without its gates fits with them."""
    parts = chain(50).split("@hitl\n")
    made = compiled("@hitl\n".join(parts[:13]) + "".join(parts[13:]))
    assert len([name for name in made.templates if name.startswith("hitl-notify-")]) == 1
    assert "hitl-notify--1" in made.templates
    assert "MAX_WORKFLOW_SIZE" not in made.said


def test_more_than_argo_takes_is_named(compiled):
    """Gates that have nothing alike fill a workflow: the author hears which of Argo's limits they may meet."""
    made = compiled(chain(70, "@resources(cpu={})"))
    assert "70 gates make 216 templates" in made.said
    assert "MAX_WORKFLOW_SIZE" in made.said
    ungated = compiled(chain(70, "@resources(cpu={})").replace("@hitl\n", "\n"))
    assert "MAX_WORKFLOW_SIZE" not in ungated.said  # Metaflow's own business


def test_gates_share_only_what_is_alike(compiled):
    """Another timeout is another node, another image another container; few gates share nothing."""
    source = chain(40).replace("@hitl\n", "@hitl(timeout='1h')\n", 1)
    made = compiled(source)
    limits = {
        task["name"]: made.templates[task["template"]]["suspend"]["duration"]
        for number in range(40)
        for task in made.templates[f"step-{number:03}"]["dag"]["tasks"]
        if task["name"].startswith("hitl-suspend-")
    }
    assert limits.pop("hitl-suspend-step-000") == "4200"
    assert set(limits.values()) == {"87000"}
    few = compiled(chain(20))
    assert f"hitl-notify-step-{19:03}" in few.templates


def test_a_flow_without_gates_is_the_same_as_without_the_extension(compiled, bare_python):
    """Byte for byte, but for the code package's name and Metaflow's list of extensions, which hold this project."""
    ours = compiled("ungated")
    bare = compiled("ungated", python=bare_python)
    assert "hitl" not in bare.output
    assert timeless(ours.output) == timeless(bare.output)
