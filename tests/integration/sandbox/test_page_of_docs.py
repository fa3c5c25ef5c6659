"""The page about the local Slack is true: its example is a test, and passes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.fixtures.flows import REPOSITORY, clean_environment

PAGE = (REPOSITORY / "docs" / "local-slack.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    """Copied into a folder of its own, the example runs with pytest as it is and passes."""
    [example] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_lunch.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, "test_lunch.py"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
