"""The extension as it is installed: from a wheel, and editable."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.fixtures.flows import REPOSITORY, clean_environment
from tests.fixtures.packages import closure

PACKAGES = ("hitl_bot/", "metaflow_extensions/", "metaflow_hitl/")

FORMS = """
from metaflow import FlowSpec, step
from {module} import hitl

class Both(FlowSpec):
    @hitl(message="Go?")
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Both()
"""


def build(hook, folder):
    """Build a wheel or an sdist from a copy of the repository, as ``python -m build`` does; return its path."""
    source, made = folder / "source", folder / hook
    if not source.exists():
        for name in repository_files():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, source / name)
    made.mkdir()
    call = f"from setuptools import build_meta; build_meta.build_{hook}({str(made)!r})"
    subprocess.run([sys.executable, "-c", call], cwd=source, check=True, env=clean_environment(), capture_output=True)
    (built,) = made.iterdir()
    return built


def repository_files():
    """Every file of the repository, without what .gitignore names."""
    ignored = [line.rstrip("/") for line in (REPOSITORY / ".gitignore").read_text().splitlines()]
    found = []
    for parent, folders, files in os.walk(REPOSITORY):
        place = Path(parent).relative_to(REPOSITORY)
        folders[:] = [name for name in folders if name != ".git" and not is_ignored(place / name, ignored)]
        found += [
            (place / name).as_posix() for name in files if name != ".git" and not is_ignored(place / name, ignored)
        ]
    return found


def is_ignored(path, patterns):
    return any(fnmatch(path.name, pattern) or path.as_posix() == pattern for pattern in patterns)


def environment_with(wheel, distributions, folder):
    """Make an environment of the wheel and of some distributions that are installed here; return its Python."""
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    for tops in ({file.parts[0] for file in found.files} for found in distributions):
        for top in tops - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(sysconfig.get_path("purelib")) / top)
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True, env=clean_environment())
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("built")


@pytest.fixture(scope="module")
def wheel(folder):
    return build("wheel", folder)


@pytest.fixture(scope="module")
def wheel_python(wheel, folder):
    """What ``pip install metaflow-hitl`` gives: the wheel and the packages that it needs, and nothing else."""
    return environment_with(wheel, closure().values(), folder / "base")


@pytest.fixture(scope="module")
def bot_python(wheel, folder):
    """What ``pip install "metaflow-hitl[bot]"`` gives, with a Kubernetes client that needs no aiohttp, as before 36."""
    found = {name: one for name, one in closure("bot").items() if name != "aiohttp"}
    return environment_with(wheel, found.values(), folder / "bot")


@pytest.fixture(params=["wheel", "editable"])
def python(request):
    return request.getfixturevalue("wheel_python") if request.param == "wheel" else Path(sys.executable)


@pytest.mark.parametrize("module", ["metaflow", "metaflow_extensions.hitl.plugins.hitl_decorator"])
def test_both_imports_give_the_decorator(python, module, tmp_path):
    """Either import gates the step, whichever comes first, and `hitl` is a command of the flow."""
    (tmp_path / "flow.py").write_text(FORMS.format(module=module))
    environment = clean_environment(METAFLOW_HOME=str(tmp_path))
    command = [str(python), "flow.py", "hitl", "list"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = f"import {module}; from metaflow import hitl; print(hitl.args[0].name, hitl.args[0].__module__)"
    done = subprocess.run(
        [str(python), "-c", first], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["hitl", "metaflow_extensions.hitl.plugins.hitl_decorator"]
    assert done.stderr == ""


def test_the_wheel_holds_the_three_packages(wheel):
    """Every file of the three packages is in the wheel, with the licence, and nothing else is."""
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if not name.endswith("/")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == {name for name in repository_files() if name.startswith(PACKAGES)}
    assert {name.partition("/")[2] for name in metadata} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }


def test_the_index_shows_a_readme_without_broken_links(wheel):
    """The description is the README, and whatever link or picture is left in it has a whole address."""
    with zipfile.ZipFile(wheel) as opened:
        [name] = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = opened.read(name).decode()
    assert "## Set up Slack" in metadata
    assert "Description-Content-Type: text/markdown" in metadata
    assert [link for link in re.findall(r"\]\(([^)]+)\)", metadata) if not link.startswith("https://")] == []


def test_the_source_distribution_holds_the_repository(folder):
    """Every file is in it, but for what only the forge and Docker's client read."""
    with tarfile.open(build("sdist", folder)) as opened:
        names = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert names - made == {name for name in repository_files() if not name.startswith(".")}


@pytest.mark.parametrize(
    ("installed", "arguments", "needed"),
    [
        ("wheel_python", ["--help"], 'pip install "metaflow-hitl[bot]"'),
        ("wheel_python", ["doctor"], 'pip install "metaflow-hitl[bot]"'),
        ("bot_python", ["demo"], 'pip install "metaflow-hitl[bot,sandbox]"'),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(installed, arguments, needed, request, tmp_path):
    """One line, no traceback, and the command that helps."""
    python = request.getfixturevalue(installed)
    command = [str(python.parent / "hitl-bot"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("hitl-bot: ")
    assert done.stderr.endswith(f"{needed}\n")
    assert done.stderr.count("\n") == 1


def test_the_bot_runs_from_its_extra_alone(bot_python, tmp_path):
    """All commands are listed, and the manifest is printed, with nothing of the local Slack installed."""
    for arguments in (["--help"], ["serve", "--help"], ["doctor", "--help"], ["manifest"]):
        command = [str(bot_python.parent / "hitl-bot"), *arguments]
        subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, check=True)
