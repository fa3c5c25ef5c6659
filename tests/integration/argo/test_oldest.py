"""The oldest Metaflow that pyproject.toml lets in compiles gates of every shape, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.cluster.control_plane import ADMIN
from tests.fixtures.flows import REPOSITORY, clean_environment
from tests.integration.argo.shapes import SHAPES
from tests.integration.argo.test_shapes import GATES
from tests.tools.build import NotBuiltError
from tests.tools.oldest_metaflow import floor, oldest_metaflow


@pytest.fixture(scope="session")
def oldest_python(tmp_path_factory):
    """An interpreter with that Metaflow, this project from its wheel, and everything else that is installed here."""
    try:
        metaflow = oldest_metaflow()
    except NotBuiltError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("oldest")
    source = folder / "source"
    shutil.copytree(
        REPOSITORY,
        source,
        ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "test-artifacts", "__pycache__"),
    )
    pip = [sys.executable, "-m", "pip", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    wheels = str(folder / "wheels")
    subprocess.run(
        [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", wheels, str(source)],
        check=True,
        env=clean_environment(),
    )
    (wheel,) = Path(wheels).glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    (packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    for origin in (metaflow, Path(sysconfig.get_path("purelib"))):
        for installed in origin.iterdir():
            name = installed.name.lower()
            ours = name.startswith(("metaflow_hitl", "__editable__"))
            other = origin != metaflow and name.startswith("metaflow")
            if not ours and not other and not (packages / installed.name).exists():
                (packages / installed.name).symlink_to(installed)
    target = ["--target", str(packages)]
    subprocess.run([*pip, "install", *offline, *target, str(wheel)], check=True, env=clean_environment())
    return folder / "venv" / "bin" / "python"


@pytest.mark.parametrize("shape", GATES)
def test_gates_compile_alike(compiler, cluster, namespace, oldest_python, shape):
    """The same templates around every gate, with the same tasks, inputs and outputs as with the newest."""
    settings = {
        "KUBECONFIG": str(cluster.kubeconfig(ADMIN, namespace=namespace)),  # it looks for a deployment even so
        "METAFLOW_KUBERNETES_NAMESPACE": namespace,
    }
    source = SHAPES[shape].replace('extended_resources={"vendor.example/fpga": "1"},', "")  # of a later release
    old = compiler(source, python=oldest_python, **settings)
    assert f"Metaflow {floor()} executing" in old.said
    new = compiler(source)
    for name, (step, _) in GATES[shape].items():
        before, now = old.gate(name, step), new.gate(name, step)
        for part in ("dag", "suspend"):
            assert getattr(before, part) == getattr(now, part)
        for part in ("notify", "task"):
            then, today = getattr(before, part), getattr(now, part)
            for key in ("name", "inputs", "outputs", "retryStrategy"):
                assert then.get(key) == today.get(key)
        assert f" hitl notify {step} --run-id " in before.notify["container"]["command"][2]


FAULTY = """
@step
def start(self):
    self.next(self.deploy)

@catch(var="error")
@hitl(message={message!r}, timeout="1s")
@step
def deploy(self):
    print("DEPLOY RUNS")
    self.next(self.end)

@step
def end(self):
    print("END RUNS")
"""


@pytest.mark.parametrize("message", ["{self.nothing}", "Deploy?"])
def test_nothing_gets_around_a_gate_there_either(flow, oldest_python, message):
    """Neither an error before the answer, nor a deadline, nor `spin` lets the step run, whatever `@catch` says."""
    gated = flow(FAULTY.format(message=message), python=str(oldest_python))
    for run in (gated.call("run"), gated.call("spin", "deploy", "--skip-decorators")):
        assert run.process.returncode != 0
        assert "The gate stays closed" in run.output
        assert "RUNS" not in run.output


def test_with_hitl_gates_every_step_there_too(flow, oldest_python):
    """The specification is read and handed on by this project, not by Metaflow."""
    gated = flow(FAULTY.replace('@hitl(message={message!r}, timeout="1s")', ""), python=str(oldest_python))
    run = gated.call("run", "--with", "hitl:timeout=1s,on_timeout=approve,allow_changes=false,message=5, a=b?")
    assert run.process.returncode == 0, run.output
    assert run.output.count(": 5, a=b?") == 3
