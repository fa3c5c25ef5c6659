"""``python flow.py argo-workflows create --only-json``, for real, with the code package on an S3 server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.flows import clean_environment
from tests.fixtures.s3 import S3, make_client
from tests.integration.argo.shapes import IMPORTS, SHAPES

BUCKET = "argo-templates"


@dataclass(frozen=True)
class Compiled:
    """What one ``create`` printed."""

    code: int
    output: str
    said: str  # on standard error
    folder: Path
    environment: dict[str, str] = field(repr=False)

    @cached_property
    def template(self) -> dict[str, Any]:
        assert self.code == 0, self.said
        return json.loads(self.output)

    @cached_property
    def templates(self) -> dict[str, dict[str, Any]]:
        """Every template, by its name."""
        found = self.template["spec"]["templates"]
        assert len({one["name"] for one in found}) == len(found)
        return {one["name"]: one for one in found}

    def call(self, *arguments: str) -> str:
        """Run ``python flow.py ARGUMENTS`` where it was compiled, and return what it prints; it must succeed."""
        ended = _run([sys.executable, "flow.py", *arguments], self.folder, self.environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def gate(self, name: str, step: str | None = None) -> Gate:
        """Return the four templates of a gate by the name of the first."""
        plain = (step or name).replace("_", "-")
        return Gate(
            dag=self.templates[name],
            notify=self.templates[f"hitl-notify-{plain}"],
            suspend=self.templates[f"hitl-suspend-{plain}"],
            task=self.templates[f"{name}-task"],
        )


@dataclass(frozen=True)
class Gate:
    """The four templates of one gate."""

    dag: dict[str, Any]
    notify: dict[str, Any]
    suspend: dict[str, Any]
    task: dict[str, Any]


def environment_of(template: dict[str, Any]) -> dict[str, Any]:
    """Return a container's variables: values, and what stands for a value that only the cluster has."""
    entries = template["container"]["env"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value") or entry.get("valueFrom") for entry in entries}


def timeless(text: str) -> str:
    """Leave out of a template when it was compiled, the code package's name, and which extensions are installed."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "NOW", text)
    text = re.sub(r"data/[0-9a-f]{2}/[0-9a-f]{40}|\b[0-9a-f]{40}\b", "PACKAGE", text)
    return re.sub(r"(\d)\+[\w.;()+-]*hitl[\w.;()+-]*", r"\1", text)


@dataclass
class Compiler:
    """Compiles flows, each way once."""

    folder: Path
    place: S3
    done: dict[object, Compiled] = field(default_factory=dict)

    def __call__(
        self,
        source: str,
        *options: str,
        top: tuple[str, ...] = (),
        python: str | Path = sys.executable,
        seeded: bool = True,
        **settings: str,
    ) -> Compiled:
        """Compile a shape by its name, or a flow's class by its text.

        Parameters
        ----------
        source : str
            A key of ``SHAPES``, or text.
        options, top : str
            Of ``create``, and of the flow.
        python : str or Path
            The interpreter, with what is installed there.
        seeded : bool
            Whether the one random name in a template is always the same.
        settings : str
            Environment variables.
        """
        source = SHAPES.get(source, source)  # by its name and by its text it is the same
        key = (source, options, top, str(python), seeded, tuple(sorted(settings.items())))
        if key not in self.done:
            self.done[key] = self._compile(source, options, top, str(python), seeded, settings)
        return self.done[key]

    def _compile(
        self,
        source: str,
        options: tuple[str, ...],
        top: tuple[str, ...],
        python: str,
        seeded: bool,  # noqa: FBT001 - handed on
        settings: dict[str, str],
    ) -> Compiled:
        body = textwrap.dedent(source).strip()
        name = next(line.split()[1].split("(")[0] for line in body.splitlines() if line.startswith("class "))
        folder = self.folder / f"{len(self.done)}"
        folder.mkdir()
        imports = f"{IMPORTS}from metaflow import hitl\n" if "@hitl" in body else IMPORTS
        (folder / "flow.py").write_text(f"{imports}\n\n{body}\n\n\nif __name__ == '__main__':\n    {name}()\n")
        environment = {
            **self.place.environment(),
            "METAFLOW_HOME": str(folder / "no-configuration"),
            "METAFLOW_KUBERNETES_CONTAINER_IMAGE": "python:3.11",
            "METAFLOW_KUBERNETES_NAMESPACE": "flows",
            "METAFLOW_ARGO_EVENTS_EVENT": "metaflow-event",
            "METAFLOW_ARGO_EVENTS_EVENT_SOURCE": "argo-events-webhook",
            "METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT": "operate-workflow-sa",
            **settings,
        }
        environment = clean_environment(**{key: value for key, value in environment.items() if value})
        start = ["flow.py"]
        if seeded:
            code = "import random, runpy, sys; random.seed(1); runpy.run_path(sys.argv[0], run_name='__main__')"
            (folder / "seeded.py").write_text(code.replace("sys.argv[0]", "'flow.py'"))
            start = ["seeded.py"]
        ended = _run(
            [python, *start, "--no-pylint", *top, "argo-workflows", "create", "--only-json", *options],
            folder,
            environment,
        )
        return Compiled(ended.returncode, ended.stdout, ended.stderr, folder, environment)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="session")
def compiler(moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    """Compile flows; the same flow in the same way only once."""
    make_client(moto_endpoint).create_bucket(Bucket=BUCKET)
    return Compiler(tmp_path_factory.mktemp("flows"), S3(endpoint=moto_endpoint, bucket=BUCKET))


@pytest.fixture
def compiled(compiler: Compiler) -> Callable[..., Compiled]:
    """As ``compiler``, and the flow must compile."""

    def compile_it(source: str, *options: str, **settings: Any) -> Compiled:
        made = compiler(source, *options, **settings)
        assert made.code == 0, made.said
        return made

    return compile_it


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with everything that is installed here but this project."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        name = installed.name.lower()
        if not name.startswith(("metaflow_hitl", "__editable__")) and not (packages / installed.name).exists():
            (packages / installed.name).symlink_to(installed)
    return folder / "bin" / "python"
