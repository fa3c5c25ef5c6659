"""The front page is true: its commands run, its settings exist, its pictures and links are there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from hitl_bot.settings import Settings
from tests.fixtures.flows import REPOSITORY, clean_environment

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# `make test` is what runs this, and `make demo` needs an environment of its own: .ci/run calls both.
RUN_BY_CI = {"make demo", "make test"}


def fenced(language: str) -> list[str]:
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def settings_in_the_table() -> set[str]:
    return set(re.findall(r"^\| `(METAFLOW_HITL_[A-Z_]+)`", README, re.MULTILINE))


def settings_of_the_plugin() -> set[str]:
    config = REPOSITORY / "metaflow_extensions" / "hitl" / "config" / "mfextinit_hitl.py"
    return {f"METAFLOW_{name}" for name in re.findall(r'from_conf\(\s*"(HITL_[A-Z_]+)"', config.read_text())}


def settings_of_the_bot() -> set[str]:
    return {str(field.validation_alias) for field in Settings.model_fields.values()}


@pytest.mark.parametrize("command", sorted(set(fenced("bash")) - RUN_BY_CI))
def test_every_command_runs(command, tmp_path):
    """A command in a block marked bash does what it says on a machine without any set-up."""
    first, *arguments = command.split()
    program = str(Path(sys.executable).parent / first)
    done = subprocess.run(
        [program, *arguments], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_ci_runs_the_commands_that_tests_can_not():
    """What is left out above is called by name in .ci/run."""
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert all(re.search(rf"^{command}\b", script, re.MULTILINE) for command in RUN_BY_CI)
    assert set(fenced("bash")) >= RUN_BY_CI


def test_every_setting_is_in_the_one_table():
    """The table names all settings of flows and bot, and no others."""
    assert settings_in_the_table() == settings_of_the_plugin() | settings_of_the_bot()


def test_every_argument_of_the_decorator_is_documented():
    """Each argument stands in the README's table and in the decorator's docstring, in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Metaflow's own imports warn of is not ours
        from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator  # noqa: PLC0415 - loads Metaflow

    arguments = list(HitlDecorator.defaults)
    assert [name for name in re.findall(r"^\| `([a-z_]+)` \|", README, re.MULTILINE) if name in arguments] == arguments
    documented = re.findall(r"^([a-z_]+) : ", inspect.getdoc(HitlDecorator) or "", re.MULTILINE)
    assert documented == arguments


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_relative_link_is_there(page):
    """No link of a page leads nowhere in the repository."""
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
