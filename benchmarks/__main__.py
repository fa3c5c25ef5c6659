"""``python -m benchmarks [NAME...]``: measure, print each row as soon as it is known, and write JSON.

A subject is a module of this folder with a function ``measure()`` that returns or yields rows. Nothing here is a
test: figures depend on the machine, and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

from benchmarks.rows import Row, heads, line
from hitl_bot.settings import LogFormat, LogLevel
from hitl_bot.telemetry.logs import set_up_logs

HERE = Path(__file__).parent
SUBJECTS = sorted(path.stem for path in HERE.glob("*.py") if "\ndef measure(" in path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, print rows as they come, write JSON."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)}; all of them by default")
    names = parser.parse_args().names or SUBJECTS
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; choose of {', '.join(SUBJECTS)}")
    set_up_logs(LogFormat.CONSOLE, LogLevel.ERROR)  # each run of a bot has a key of its own, and warns of the others'
    # An installed package is compiled. Without bytecode each process would compile its sources, and keep more memory.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows: list[Row] = []
    print(heads(), flush=True)
    for name in names:
        print(f"Measuring {name} …", file=sys.stderr, flush=True)
        for row in import_module(f"benchmarks.{name}").measure():
            rows.append(row)
            print(line(row), flush=True)
    missed = [row.name for row in rows if row.met is False]
    print(f"\nGoals missed: {', '.join(missed) or 'none'}. Written to {_write(rows)}")


def _write(rows: list[Row]) -> Path:
    now = datetime.now(timezone.utc)
    result = {
        "at": now.isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "rows": [row.as_json() for row in rows],
    }
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
