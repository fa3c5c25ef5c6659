"""The public surface: what is promised, and that it is there."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import metaflow_hitl

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
MODULES = ("metaflow_hitl", "metaflow_hitl.ports", "metaflow_hitl.testing")


@pytest.mark.parametrize("name", MODULES)
def test_everything_that_is_exported_is_listed(name):
    """`__all__` is sorted, names what the module has, and leaves out nothing public."""
    module = importlib.import_module(name)
    public = {
        one
        for one, value in vars(module).items()
        if not one.startswith("_") and not inspect.ismodule(value) and one != "annotations"
    }
    assert list(module.__all__) == sorted(module.__all__)
    assert set(module.__all__) - {"__version__"} == public


@pytest.mark.parametrize("name", MODULES)
def test_everything_that_is_exported_is_on_the_page(name):
    """docs/api.md names each, so that a promise is never made by accident."""
    missing = [one for one in importlib.import_module(name).__all__ if not re.search(rf"`{re.escape(one)}\b", PAGE)]
    assert missing == []


def test_importing_it_imports_neither_metaflow_nor_boto3():
    """A script that looks at approvals starts at once."""
    code = (
        "import sys, metaflow_hitl, metaflow_hitl.ports; print(*{'metaflow', 'boto3', 'jsonschema'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_error_of_it_is_a_hitl_error():
    """`except HitlError` catches all that it raises on purpose."""
    errors = [one for one in map(vars(metaflow_hitl).get, metaflow_hitl.__all__) if inspect.isclass(one)]
    raised = [one for one in errors if issubclass(one, Exception)]
    assert len(raised) > 10
    assert all(issubclass(one, metaflow_hitl.HitlError) for one in raised)
