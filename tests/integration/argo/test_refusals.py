"""Gates that can't become part of a workflow: nothing is deployed, and the author reads why."""

from __future__ import annotations

from textwrap import indent

import pytest

from tests.fixtures.shapes import GANG

TWO_STEPS = """
class Two(FlowSpec):
    @hitl({hitl})
    @step
    def start(self):
        self.next(self.{other})

    @step
    def {other}(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def two_steps(hitl: str = "", other: str = "other") -> str:
    return TWO_STEPS.format(hitl=hitl, other=other)


@pytest.mark.parametrize(
    ("hitl", "options", "words"),
    [
        ("timeout='2h'", ["--workflow-timeout", "3600"], ["2 h", "7200 s", "1 h", "3600 s"]),
        ("timeout='1h'", ["--workflow-timeout", "3600"], ["3600 s"]),
        ("timeout=None", ["--workflow-timeout", "3600"], ["forever", "3600 s"]),
        ("timeout='1m', on_timeout='notify'", ["--workflow-timeout", "3600"], ["forever", "3600 s"]),
    ],
)
def test_a_gate_that_may_outlast_the_workflow_is_refused(compiler, hitl, options, words):
    """Both figures are named: Argo would end the workflow, and the question with it, while people think."""
    made = compiler(two_steps(hitl), *options)
    assert made.code != 0
    assert made.output.strip() == ""
    for word in ["Step start", *words, "--workflow-timeout"]:
        assert word in made.said


def test_a_gate_that_fits_into_the_workflows_time_is_fine(compiled):
    """The limit stays on the workflow."""
    made = compiled(two_steps("timeout='30m'"), "--workflow-timeout", "3600")
    assert made.template["spec"]["activeDeadlineSeconds"] == 3600


@pytest.mark.parametrize("other", ["hitl_notify_start", "hitl_suspend_start"])
def test_a_step_that_is_called_like_a_gate_is_refused(compiler, other):
    """The error names both steps and what to do."""
    made = compiler(two_steps(other=other))
    assert made.code != 0
    assert "Step start" in made.said
    assert f"the step {other} has it" in " ".join(made.said.split())
    assert "Rename" in made.said


def test_a_step_may_be_called_like_a_gates_task(compiled):
    """`start` and `start_task` are both good names; the gate finds another one."""
    made = compiled(two_steps(other="start_task"))
    assert made.templates["start-task"]["metadata"]["annotations"]["metaflow/step_name"] == "start_task"
    assert [task["template"] for task in made.templates["start"]["dag"]["tasks"]] == [
        "hitl-notify-start",
        "hitl-suspend-start",
        "hitl-task-start",
    ]


def test_a_name_that_argo_would_not_take_is_refused(compiler):
    """With both lengths."""
    name = "a" * 116
    made = compiler(
        two_steps(other=name).replace(f"    @step\n    def {name}", f"    @hitl\n    @step\n    def {name}")
    )
    said = " ".join(made.said.split())
    assert made.code != 0
    assert f"Step {name}" in said
    assert "129 characters" in said
    assert "128" in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"METAFLOW_HITL_ROOT": "/mnt/records"}, "METAFLOW_HITL_ROOT"),
        (
            {"METAFLOW_HITL_NOTIFY_CPU": "lots"},
            "METAFLOW_HITL_NOTIFY_CPU must be a Kubernetes quantity",
        ),
        (
            {"METAFLOW_HITL_NOTIFY_MEMORY": "1 GB"},
            "METAFLOW_HITL_NOTIFY_MEMORY must be a Kubernetes quantity",
        ),
        ({"METAFLOW_HITL_SLACK_SECRET": "a/b/c"}, "METAFLOW_HITL_SLACK_SECRET must be the name of a Kubernetes secret"),
    ],
)
def test_a_setting_that_no_pod_could_use_is_refused(compiler, settings, words):
    """When compiling, not when the first gate is reached."""
    made = compiler(two_steps(), **settings)
    assert made.code != 0
    assert words in " ".join(made.said.split())


def test_a_step_of_many_pods_is_refused(compiler):
    """`@parallel` becomes a JobSet, which asks nobody; the error says where to put the gate, and blames no version."""
    made = compiler("from metaflow import parallel\n\n\nclass Many(FlowSpec):\n" + indent(GANG, "    "))
    said = " ".join(made.said.split())
    assert made.code != 0
    assert "Step train" in said
    assert "@hitl can't gate a step with @parallel on Argo Workflows" in said
    assert "Put @hitl on the step before it" in said
    assert "report this" not in said
