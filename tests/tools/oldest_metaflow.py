"""Install the oldest Metaflow that this project takes into a folder of the cache: ``make oldest-metaflow``.

The folder holds that one package and nothing else; a test puts it before everything that is installed here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.tools.build import NotBuiltError, folder

REPOSITORY = Path(__file__).parents[2]


def floor() -> str:
    """Return the oldest version that pyproject.toml lets in, with three numbers."""
    (version,) = re.findall(r'"metaflow>=(\d+\.\d+(?:\.\d+)?)"', (REPOSITORY / "pyproject.toml").read_text())
    return version if version.count(".") == 2 else f"{version}.0"


def place() -> Path:
    return folder("etcd").parent / f"metaflow-{floor()}"


def oldest_metaflow() -> Path:
    """Return the folder to import it from; raise NotBuiltError if it is not there."""
    if not place().is_dir():
        raise NotBuiltError(f"Metaflow {floor()} is not in the cache: run `make oldest-metaflow`")
    return place()


def main() -> None:
    target = place()
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", f"{unfinished}/all"]
            subprocess.run([*command, f"metaflow=={floor()}"], check=True)
            Path(unfinished, "all").rename(target)  # whole or not at all
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
