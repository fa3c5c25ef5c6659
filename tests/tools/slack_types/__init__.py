"""Put the types that Slack publishes of Block Kit, and a compiler, into the tests' cache folder: ``make slack-types``.

``@slack/types`` (MIT) says what Slack's blocks and views are made of; nothing of it is kept in this repository. The
lock file beside this names exact versions with their hashes, and no registry.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.tools.build import NotBuiltError, folder

HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json")


def place() -> Path:
    """Return the folder of exactly what the lock file names."""
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    return folder("etcd").parent / f"slack-types-{digest}"


def slack_types() -> Path:
    """Return the folder that holds ``node_modules``; raise NotBuiltError if it is not there."""
    if not place().is_dir():
        raise NotBuiltError("Slack's types are not in the cache: run `make slack-types` (needs npm)")
    return place()


def main() -> None:
    target = place()
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
            made = Path(unfinished, "all")
            made.mkdir()
            for name in _FILES:
                shutil.copy(HERE / name, made)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            subprocess.run(command, check=True, cwd=made)
            made.rename(target)  # whole or not at all
    sys.stdout.write(f"{target}\n")
