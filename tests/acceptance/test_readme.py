"""The front page is true: its commands run, its settings exist, its pictures and links are there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import warnings
from enum import Enum
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from hitl_bot.policy.file import parse_policy
from hitl_bot.policy.model import PolicyOfFile, RuleOfFile
from hitl_bot.settings import Settings
from metaflow_extensions.hitl.notifiers.registry import SETTINGS
from tests.fixtures.flows import REPOSITORY, clean_environment

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# `make test` is what runs this, and `make demo` needs an environment of its own: .ci/run calls both.
RUN_BY_CI = {"make demo", "make test"}


DOCS = REPOSITORY / "docs"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def fenced(language: str) -> list[str]:
    """All lines of the blocks in a language, of all pages."""
    found = (block for page in PAGES for block in blocks(page, language))
    return [line.strip() for block in found for line in block.splitlines() if line.strip()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    first, *arguments = command.split()
    program = str(Path(sys.executable).parent / first)
    environment = clean_environment()
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def settings_in_the_table() -> set[str]:
    return set(
        re.findall(r"^\| `(METAFLOW_HITL_[A-Z_]+)`", (DOCS / "settings.md").read_text(encoding="utf-8"), re.MULTILINE)
    )


def settings_of_the_plugin() -> set[str]:
    config = REPOSITORY / "metaflow_extensions" / "hitl" / "config" / "mfextinit_hitl.py"
    found = {f"METAFLOW_{name}" for name in re.findall(r'from_conf\(\s*"(HITL_[A-Z_]+)"', config.read_text())}
    return found | set(SETTINGS)


def settings_of_the_bot() -> set[str]:
    return set(Settings.names())


@pytest.mark.parametrize("command", sorted(set(fenced("bash")) - RUN_BY_CI))
def test_every_command_runs(command, tmp_path):
    """A command in a block marked bash does what it says on a machine without any set-up."""
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr


def sessions():
    """Each command of a block marked console, with what it shall say."""
    return [
        (command, block.split("\n", 1)[1])
        for page in PAGES
        for block in blocks(page, "console")
        for command in [block.splitlines()[0].removeprefix("$ ")]
    ]


@pytest.mark.parametrize(("command", "said"), sessions(), ids=[command for command, _ in sessions()])
def test_every_command_says_what_the_page_says(command, said, tmp_path):
    """Word for word, with the policy that the page shows, and with a bad one."""
    (policy,) = blocks(DOCS / "policy.md", "yaml")
    (tmp_path / "policy.yaml").write_text(policy)
    (tmp_path / "bad.yaml").write_text("rules:\n  - name: production\n    quorun: 2\n")
    done = run(command, tmp_path)
    assert done.stdout + done.stderr == said


def test_the_policys_page_has_every_key():
    """The example uses each key of a rule and of the file, and the table names each key of a rule, in order."""
    (text,) = blocks(DOCS / "policy.md", "yaml")
    policy = parse_policy(text.encode(), "policy.yaml")
    assert policy.model_fields_set == set(PolicyOfFile.model_fields)
    assert policy.rules[0].model_fields_set == set(RuleOfFile.model_fields)
    page = (DOCS / "policy.md").read_text(encoding="utf-8")
    table = page.split("## What a rule can say")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)
    assert named == [name for name in RuleOfFile.model_fields if name != "match"]


@pytest.mark.parametrize(
    "decorated",
    [
        *blocks(DOCS / "slack.md", "python"),
        *blocks(DOCS / "evidence.md", "python"),
        *blocks(DOCS / "forms.md", "python"),
    ],
)
def test_every_decorator_of_a_page_is_taken(decorated):
    """Metaflow takes what the page writes, and the step asks for what it says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as below
        from metaflow import hitl, step  # noqa: PLC0415 - loads Metaflow

        from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator  # noqa: PLC0415

    @step
    def gated(self):
        pass

    model, decorator = decorated.strip().rsplit("@hitl", 1)
    names: dict[str, object] = {"hitl": hitl, "Enum": Enum, "BaseModel": BaseModel, "Field": Field}
    exec(compile(model, "page", "exec", dont_inherit=True), names)  # noqa: S102 - our own page
    given = eval(f"hitl{decorator}", names)(gated)  # noqa: S307 - likewise
    (found,) = [one for one in given.decorators if isinstance(one, HitlDecorator)]
    found.init()
    assert found.refused == ""


def test_ci_runs_the_commands_that_tests_can_not():
    """What is left out above is called by name in .ci/run."""
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert all(re.search(rf"^{command}\b", script, re.MULTILINE) for command in RUN_BY_CI)
    assert set(fenced("bash")) >= RUN_BY_CI


def test_every_setting_is_in_the_one_table():
    """The table names all settings of flows and bot, and no others."""
    assert settings_in_the_table() == settings_of_the_plugin() | settings_of_the_bot()


def test_every_argument_of_the_decorator_is_documented():
    """Each argument stands in the page's table and in the decorator's docstring, in order; the README has some."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Metaflow's own imports warn of is not ours
        from metaflow_extensions.hitl.plugins.hitl_decorator import HitlDecorator  # noqa: PLC0415 - loads Metaflow

    arguments = list(HitlDecorator.defaults)
    rows = re.compile(r"^\| `([a-z_]+)` \|.*$", re.MULTILINE)
    page = (DOCS / "arguments.md").read_text(encoding="utf-8")
    assert rows.findall(page) == arguments
    shown = [row[0].replace("](docs/", "](") for row in rows.finditer(README) if row[1] in arguments]
    assert shown
    assert set(shown) <= {row[0] for row in rows.finditer(page)}
    documented = re.findall(r"^([a-z_]+) : ", inspect.getdoc(HitlDecorator) or "", re.MULTILINE)
    assert documented == arguments


@pytest.mark.parametrize(
    "page",
    sorted({*PAGES, *REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")}),
    ids=lambda page: page.relative_to(REPOSITORY).as_posix(),
)
def test_every_picture_and_relative_link_is_there(page):
    """No link of a page points to nothing in the repository."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text) + re.findall(r'\bsrc(?:set)?="([^"]+)"', text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
