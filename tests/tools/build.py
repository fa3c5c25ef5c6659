"""Build the servers that the tests run, each from the Go module that pins it in a folder beside this file.

``python tests/tools/build.py etcd kubernetes`` builds what is not there yet and prints one folder a module.
The folder's name holds a hash of the pins, so that a cache of it never goes stale: a new pin is a new folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Pins:
    """What one module builds: ``binaries`` is {name of the file: Go package}; ``make_target`` builds them all."""

    binaries: dict[str, str]
    make_target: str


MODULES = {
    # Apart from kubernetes, whose own client would raise this server to a version that it doesn't pin.
    "etcd": Pins(binaries={"etcd": "go.etcd.io/etcd/server/v3"}, make_target="cluster-tools"),
    "kubernetes": Pins(
        binaries={
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        },
        make_target="cluster-tools",
    ),
    "versitygw": Pins(binaries={"versitygw": "github.com/versity/versitygw/cmd/versitygw"}, make_target="s3-tools"),
}


class CannotBuildError(Exception):
    """Go is missing, or it refused."""


class NotBuiltError(Exception):
    """A binary isn't in the cache; the message names the make target that puts it there."""


def folder(module: str) -> Path:
    """Where the binaries of a module belong, built or not.

    ``METAFLOW_HITL_TOOLS`` names the cache; without it, it is ``metaflow-hitl/tools`` in the user's cache folder.
    """
    cache = os.environ.get("METAFLOW_HITL_TOOLS")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    pins = (HERE / module / "go.mod").read_bytes() + (HERE / module / "go.sum").read_bytes()
    machine = f"{sys.platform}-{platform.machine()}".encode()  # a home folder may be shared by unlike machines
    digest = hashlib.sha256(machine + pins).hexdigest()[:16]
    return (Path(cache) if cache else Path(home) / "metaflow-hitl" / "tools").absolute() / f"{module}-{digest}"


def binary(module: str, name: str) -> Path:
    """The path of a binary that has been built.

    Raises
    ------
    NotBuiltError
        It has not.
    """
    path = folder(module) / name
    if not path.is_file():
        raise NotBuiltError(f"{name} is not built: run `make {MODULES[module].make_target}` (needs Go)")
    return path


def build(module: str) -> Path:
    """Build what a module lacks; the answer is its folder.

    Raises
    ------
    CannotBuildError
        Go is missing or refused. Binaries that were built before it did are kept.
    """
    into = folder(module)
    wanted = {name: package for name, package in MODULES[module].binaries.items() if not (into / name).is_file()}
    if not wanted:
        return into
    go = shutil.which("go")
    if go is None:
        raise CannotBuildError(f"Go is not installed, and {', '.join(wanted)} can only be built with it")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as unfinished:
        for name, package in wanted.items():
            sys.stderr.write(f"building {name} ({package})\n")
            target = Path(unfinished) / name
            flags = ["-trimpath", f"-ldflags=-s -w{_version_flags(module)}", "-o", str(target)]
            done = subprocess.run(
                [go, "build", *flags, package],
                cwd=HERE / module,
                # Statically linked: built on one machine, the cache serves another. And a workspace file
                # above this folder must not change the pins.
                env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
                check=False,
            )
            if done.returncode:
                raise CannotBuildError(f"go build {package} ended with {done.returncode}; its output stands above")
            target.rename(into / name)  # whole or not at all, also when two build at once
    return into


def source(module: str, version: str) -> Path:
    """Where the files of a Go module are, downloaded once by Go; nothing of it is built.

    Raises
    ------
    CannotBuildError
        Go is missing, or can't get it.
    """
    go = shutil.which("go")
    if go is None:
        raise CannotBuildError(f"Go is not installed, and only it can get {module}")
    with tempfile.TemporaryDirectory() as nowhere:
        wanted = [go, "mod", "download", "-json", f"{module}@{version}"]
        done = subprocess.run(wanted, cwd=nowhere, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuildError(f"Go did not get {module} {version}: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _version_flags(module: str) -> str:
    """What makes Kubernetes report its version: without it, /version says v0.0.0 and clients warn."""
    if module != "kubernetes":
        return ""
    pinned = re.search(
        r"^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (HERE / module / "go.mod").read_text(), re.MULTILINE
    )
    if pinned is None:
        raise CannotBuildError("go.mod does not say which version of k8s.io/kubernetes")
    values = zip(("gitVersion", "gitMajor", "gitMinor"), pinned.groups(), strict=True)
    return "".join(f" -X k8s.io/component-base/version.{name}={value}" for name, value in values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", nargs="+", choices=sorted(MODULES))
    try:
        for module in parser.parse_args().module:
            sys.stdout.write(f"{build(module)}\n")
    except CannotBuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
