"""What the process that would launch a pod turns into first."""

from __future__ import annotations

import runpy

import pytest

from tests.fixtures.flows import REPOSITORY

# By its path, as it is run: it needs neither Metaflow nor this project.
waiting = runpy.run_path(str(REPOSITORY / "metaflow_extensions" / "hitl" / "plugins" / "launch.py"))["waiting"]

TOP = ["/usr/bin/python3", "flow.py", "--quiet", "--datastore", "s3", "--with", "kubernetes:cpu=1"]
OPTIONS = ["deploy", "--run-id", "7", "--task-id", "12", "--input-paths", "7/start/11"]


@pytest.mark.parametrize("kind", ["kubernetes", "batch"])
def test_it_waits_with_the_flows_options_and_then_launches(kind):
    """The same interpreter, file and options of the flow; the launching command comes whole behind two hyphens."""
    command = [*TOP, kind, "step", "deploy", "{}", "sha", "url", "--run-id", "7", "--cpu", "1"]
    assert waiting(OPTIONS, command) == [*TOP, "hitl", "wait-and-run", *OPTIONS, "--", *command]


def test_an_option_that_is_called_like_the_launcher_is_not_taken_for_it():
    """Only the command is followed by `step` and the step's name."""
    command = [*TOP, "--tag", "kubernetes", "kubernetes", "step", "deploy", "{}", "sha", "url"]
    assert waiting(OPTIONS, command)[: len(TOP) + 4] == [*TOP, "--tag", "kubernetes", "hitl", "wait-and-run"]


@pytest.mark.parametrize("command", [[*TOP, "step", "deploy"], [*TOP, "kubernetes", "step", "train"], TOP])
def test_nothing_is_launched_that_is_not_understood(command):
    """A command of another shape is no reason to start ungated."""
    with pytest.raises(ValueError, match="does not launch a task of step deploy"):
        waiting(OPTIONS, command)
