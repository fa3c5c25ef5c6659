"""A store in a directory, questions in it, and the command `hitl` as a person or a script types it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metaflow_extensions.hitl.commands import standalone
from metaflow_extensions.hitl.inputs import validate
from metaflow_extensions.hitl.stores import open_store
from tests.fixtures.approvals import Bench


@dataclass
class Terminal:
    """Where commands are typed; `code`, `out` and `err` are the last one's."""

    capsys: pytest.CaptureFixture[str]
    bench: Bench
    code: int = 0
    out: str = ""
    err: str = ""

    def hitl(self, *words: str) -> int:
        self.code = standalone.main(words)
        self.out, self.err = self.capsys.readouterr()
        return self.code

    def json(self, *words: str) -> Any:
        self.hitl(*words, "--json")
        return json.loads(self.out)


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    """The machine has no set-up but a root and a user, rita, who also asks."""
    for name, value in {
        "METAFLOW_HOME": str(tmp_path / "home"),
        "METAFLOW_HITL_ROOT": str(tmp_path / "records"),
        "METAFLOW_USER": "rita",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    bench = Bench(store=open_store(str(tmp_path / "records")), check_input=validate)
    return Terminal(capsys, bench)
