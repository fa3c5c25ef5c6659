"""The image's recipe: what it is built from is there, whole and pinned, and it runs as who the manifests say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.fixtures.packages import closure, locks

ROOT = Path(__file__).parents[3]
RECIPE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of this name, in order."""
    return re.findall(rf"^{name} (.*)$", RECIPE, re.MULTILINE)


def sources() -> list[str]:
    """Return what is copied out of the repository."""
    copies = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    return [source for *copied, _target in copies for source in copied]


def test_what_is_copied_is_there_and_let_through() -> None:
    """Each file or folder that is copied exists, and .dockerignore, which holds back everything else, names it."""
    assert all((ROOT / source).exists() for source in sources())
    assert IGNORED[1] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(sources())
    assert IGNORED[-3:] == ["hitl_bot/sandbox", "**/__pycache__", "**/*.pyc"]  # the last line that fits decides


def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """From those files alone the package installs, without the local Slack, and the bot's command runs."""
    context, installed = tmp_path / "context", tmp_path / "installed"
    context.mkdir()
    for source in sources():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, context / source, ignore=shutil.ignore_patterns("__pycache__", "sandbox"))
        else:
            shutil.copy(ROOT / source, context)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(installed), str(context)], check=True, timeout=6000)
    command = installed / "bin" / json.loads(instructions("ENTRYPOINT")[0])[0]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    arguments = [*json.loads(instructions("CMD")[0]), "--help"]
    shown = subprocess.run(
        [sys.executable, str(command), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert "--mode [socket|http]" in shown.stdout
    assert not (installed / "hitl_bot" / "sandbox").exists()
    [licence] = installed.glob("metaflow_hitl-*.dist-info/licenses/LICENSE")
    assert "Apache License" in licence.read_text()


def test_everything_that_is_installed_is_locked() -> None:
    """Each distribution that the image gets has one exact version with its hashes, and nothing but those is fetched."""
    locked = locks("bot")
    assert closure("bot", "apprise").keys() <= locked.keys()
    assert locked.keys().isdisjoint({"setuptools", "pytest", "moto", "hypothesis", "playwright"})
    installs = [part for line in instructions("RUN") for part in line.split("&&") if "pip install" in part]
    assert [re.findall(r"--require-hashes --requirement (\S+)|(--no-deps --no-index)", one) for one in installs] == [
        [("requirements/build.txt", "")],
        [("requirements/bot.txt", "")],
        [("", "--no-deps --no-index")],
    ]
    assert all(
        "--no-deps --no-build-isolation" in part
        for line in instructions("RUN")
        for part in line.split("&&")
        if "pip wheel" in part
    )


def test_the_base_is_pinned_and_the_same_twice() -> None:
    """Both stages begin from one release of Python, so that what the first builds runs in the second."""
    [default] = instructions("ARG")
    assert re.fullmatch(r"PYTHON=3\.\d+-slim", default)
    assert [stage.split()[0] for stage in instructions("FROM")] == ["python:${PYTHON}"] * 2


def test_it_runs_as_who_the_manifests_say() -> None:
    """The last stage's user is the one of the Deployment, by number, and not root."""
    user, group = instructions("USER")[-1].split(":")
    deployment = yaml.safe_load((ROOT / "manifests" / "base" / "deployment.yaml").read_text())
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert (int(user), int(group)) == (context["runAsUser"], context["runAsGroup"])
    assert int(user) > 0


def test_nothing_is_left_in_it() -> None:
    """No cache of pip's is kept, and no secret is handed to the build."""
    assert all("--no-cache-dir" in line for line in instructions("RUN") if "pip install" in line)
    assert not re.search(r"(TOKEN|SECRET|PASSWORD)", RECIPE)
