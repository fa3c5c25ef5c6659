"""A choice that is made with a button, on Argo: the step's answer leads the workflow one way."""

from __future__ import annotations

import re

from tests.fixtures.flows import REPOSITORY


def test_the_way_that_a_person_chose_is_the_one_that_starts(compiled):
    """The flow of the page, compiled: a gated choice gives out its way, and each way starts by that alone."""
    [page] = re.findall(r"^```py\n(.*?)^```", (REPOSITORY / "docs" / "forms.md").read_text(), re.MULTILINE | re.DOTALL)
    source = page.partition("class ")[2].partition("if __name__")[0]
    made = compiled(f"class {source}")
    gate = made.gate("choose")
    assert "switch-step" in {one["name"] for one in gate.dag["outputs"]["parameters"]}
    (whole,) = [one for one in made.templates.values() if {"staging", "production"} <= _tasks(one)]
    for way in ("staging", "production"):
        (task,) = [one for one in whole["dag"]["tasks"] if one["name"] == way]
        assert "tasks['choose'].outputs.parameters['switch-step']" in task["when"]
        assert f"== '{way}'" in task["when"]


def _tasks(template) -> set[str]:
    return {one["name"] for one in template.get("dag", {}).get("tasks", ())}
