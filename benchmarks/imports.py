"""What the extension adds to ``import metaflow``.

Three environments, each with what ``pip install metaflow-hitl`` brings: one without any extension, one with an
extension that does nothing, one with this project's wheel. The second tells what Metaflow's own search takes, which
looks into every installed distribution; what this project adds to it is mostly the reading of its own list of files.

A whole import takes 200 ms and more, and differs by 20 from one time to the next. What is added is therefore taken from
the modules in which Metaflow finds and loads extensions, as ``python -X importtime`` tells them apart. The environments
take turns, and are compared by their quickest imports: noise only ever adds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.rows import Row

ROUNDS = 30
_REPOSITORY = Path(__file__).parents[1]
# Metaflow 2.19: these find the extensions, load their settings and load their plugins.
_LOADERS = {"metaflow.extension_support", "metaflow.metaflow_config", "metaflow.plugins"}
_NOT_OURS = ("METAFLOW_", "PYTHON")
_NOTHING = {
    "metaflow_extensions/nothing/__init__.py": "",
    "metaflow_extensions/nothing/plugins/__init__.py": "",
    "nothing-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: nothing\nVersion: 1\n",
    "nothing-1.dist-info/top_level.txt": "metaflow_extensions\n",
}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import of Metaflow, in milliseconds: all of it, and what finds and loads extensions."""

    whole: float
    loaders: float


def measure() -> list[Row]:
    """Import Metaflow in each environment in turn."""
    with tempfile.TemporaryDirectory(prefix="hitl-bench-") as folder:
        home = Path(folder)
        pythons = [_environment(home / name) for name in ("bare", "nothing", "ours")]
        _install_nothing(_packages(home / "nothing"))
        _install_wheel(_packages(home / "ours"), home)
        for python in pythons:
            _import(python, home)  # compiles what was never imported
        rounds = [[_import(python, home) for python in pythons] for _ in range(ROUNDS)]
    bare, nothing, ours = ([one[place] for one in rounds] for place in range(3))
    whole = [[one.whole for one in imports] for imports in (bare, ours)]
    return [
        Row.of("import metaflow without any extension", whole[0], "ms"),
        Row.of("import metaflow with this one", whole[1], "ms", min(whole[1]) / min(whole[0])),
        _added("added by an extension that does nothing", bare, nothing),
        _added("added by this one", bare, ours),
    ]


def _added(name: str, before: list[Import], after: list[Import]) -> Row:
    pairs = [late.loaders - early.loaders for early, late in zip(before, after, strict=True)]
    quickest = min(one.loaders for one in after) - min(one.loaders for one in before)
    return replace(Row.of(name, pairs, "ms"), value=quickest)


def _packages(environment: Path) -> Path:
    (found,) = (environment / "lib").glob("python3*/site-packages")
    return found


def _environment(folder: Path) -> Path:
    """Make an environment with links to all that this project needs, and not this project; return its interpreter."""
    venv.create(folder, symlinks=True)
    packages = _packages(folder)
    for name in sorted(_needed("metaflow-hitl") - {"metaflow-hitl"}):
        distribution = metadata.distribution(name)
        for first in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            if first != "__pycache__" and not (packages / first).exists():
                (packages / first).symlink_to(str(distribution.locate_file(first)))
    return folder / "bin" / "python"


def _needed(name: str) -> set[str]:
    """Return the distribution and all that it needs, extras left out."""
    found: set[str] = set()
    todo = [(name, frozenset[str]())]
    while todo:
        current, extras = todo.pop()
        try:
            lines = metadata.requires(current) or ()
        except metadata.PackageNotFoundError:
            continue  # whatever it is for, `import metaflow` does without
        found.add(current)
        for line in lines:
            needed = Requirement(line)
            wanted = needed.marker is None or any(needed.marker.evaluate({"extra": one}) for one in ("", *extras))
            if wanted and needed.name not in found:
                todo.append((needed.name, frozenset(needed.extras)))
    return found


def _install_nothing(packages: Path) -> None:
    for name, text in _NOTHING.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    (packages / "nothing-1.dist-info" / "RECORD").write_text("".join(f"{name},,\n" for name in _NOTHING))


def _install_wheel(packages: Path, folder: Path) -> None:
    source = folder / "source"
    source.mkdir()
    for name in ("hitl_bot", "metaflow_extensions", "metaflow_hitl"):
        shutil.copytree(_REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(_REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(packages), str(wheel)], check=True)


def _import(python: Path, home: Path) -> Import:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
    environment = {**kept, "METAFLOW_HOME": str(home / "no-configuration")}
    command = [str(python), "-X", "importtime", "-c", "import metaflow"]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=True)
    lines = (line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()[1:])
    took = {name.strip(): (int(alone), int(whole)) for alone, whole, name in lines}  # microseconds
    return Import(whole=took["metaflow"][1] / 1000, loaders=sum(took[name][0] for name in _LOADERS) / 1000)
