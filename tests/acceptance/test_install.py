"""The extension as it is installed: from a wheel, and editable."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.fixtures.flows import REPOSITORY, clean_environment

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


@pytest.fixture(scope="module")
def wheel_python(tmp_path_factory):
    """Install the wheel into an environment that sees every dependency and not the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "test-artifacts", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, env=clean_environment())
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    (packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        name = installed.name.lower()
        if not name.startswith(("metaflow_hitl", "__editable__")) and not (packages / installed.name).exists():
            (packages / installed.name).symlink_to(installed)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            str(packages),
            str(wheel),
        ],
        check=True,
        env=clean_environment(),
    )
    return folder / "venv" / "bin" / "python"


@pytest.fixture(params=["wheel", "editable"])
def python(request):
    return request.getfixturevalue("wheel_python") if request.param == "wheel" else Path(sys.executable)


@pytest.mark.parametrize("module", ["metaflow", "metaflow_extensions.hitl.plugins.hitl_decorator"])
def test_both_imports_give_the_decorator(python, module, tmp_path):
    """Either import gates the step, whichever comes first, and `hitl` is a command of the flow."""
    (tmp_path / "flow.py").write_text(FORMS.format(module=module))
    environment = clean_environment(METAFLOW_HOME=str(tmp_path))
    for arguments in (["show"], ["hitl", "list"]):
        done = subprocess.run(
            [str(python), "flow.py", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    first = f"import {module}; from metaflow import hitl; print(hitl.args[0].name, hitl.args[0].__module__)"
    done = subprocess.run(
        [str(python), "-c", first], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["hitl", "metaflow_extensions.hitl.plugins.hitl_decorator"]
    assert done.stderr == ""


def test_the_wheel_brings_what_it_needs(wheel_python, tmp_path):
    """The sandbox's page and the type markers are in the wheel, and the tests are not."""
    look = "from importlib.metadata import files; print(*[str(f) for f in files('metaflow-hitl')], sep='\\n')"
    done = subprocess.run(
        [str(wheel_python), "-c", look],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    names = done.stdout.split()
    assert {"hitl_bot/sandbox/page/index.html", "hitl_bot/py.typed", "metaflow_extensions/hitl/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith("tests")]
    assert "metaflow_extensions/__init__.py" not in names
