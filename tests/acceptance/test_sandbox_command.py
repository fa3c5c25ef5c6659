"""``hitl-bot sandbox``: the local Slack and the bot for somebody's own flow, by what the command prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from hitl_bot.sandbox.driver import Driver
from tests.fixtures.flows import PATIENCE, Process, clean_environment

FLOW = """
from metaflow import FlowSpec, current, hitl, step

class Own(FlowSpec):
    @step
    def start(self):
        self.answer = 42
        self.next(self.gate)

    @hitl(message="Is {self.answer} the answer?", input_schema={"why": "str", "notes": "str?"})
    @step
    def gate(self):
        print(f"{current.hitl.decided_by}: {self.hitl_input}")
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Own()
"""


def exports_in(output: str) -> dict[str, str]:
    """Let a shell read the lines that are there to be pasted."""
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("export METAFLOW_")]
    said = subprocess.run(
        ["sh", "-c", "\n".join([*lines, "env"])],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in said.splitlines() if line.startswith("METAFLOW_"))


@pytest.fixture
def sandbox(tmp_path):
    running = Process(
        [sys.executable, "-m", "hitl_bot", "sandbox"], tmp_path, {**clean_environment(), "PYTHONUNBUFFERED": "1"}
    )
    running.wait_for_line("until you press Ctrl-C")
    yield running
    running.stop()


def test_a_flow_of_ones_own_asks_in_the_local_slack(sandbox, tmp_path):
    """With the printed exports a flow asks there; the command that it prints counts once its person confirms it."""
    url = sandbox.wait_for_line("local Slack is at").split()[-1]
    (tmp_path / "own.py").write_text(FLOW)
    environment = {**clean_environment(), "PYTHONUNBUFFERED": "1", **exports_in(sandbox.output)}
    run = Process([sys.executable, "own.py", "run"], tmp_path, environment)
    try:
        alice = Driver(url).as_("alice")
        question = alice.wait_for_message("#ml-approvals", lambda message: "Is 42" in message.plain, timeout=PATIENCE)
        assert question.buttons[:1] == ["Approve…"]
        command = run.wait_for_line(" hitl approve ").split(" hitl ")[1].replace("why=...", "why=it-is")
        typed = subprocess.run(
            [sys.executable, "own.py", "hitl", *shlex.split(command), "--wait", "0"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert typed.returncode == 3, typed.stdout + typed.stderr
        asked = alice.wait_for_message(alice.id, lambda message: "Was that you?" in message.plain, timeout=PATIENCE)
        alice.click(asked, "Yes, that was me")
        assert run.wait() == 0, run.output
        assert "alice: {'why': 'it-is', 'notes': None}" in run.output
    finally:
        run.stop()
    sandbox.process.terminate()
    assert sandbox.wait() == 0, sandbox.output


def test_what_the_demo_prints_works_in_another_terminal(tmp_path):
    """After the lines that are there to be pasted, the command that rejects finds the question and answers it."""
    demo = Process(
        [sys.executable, "-m", "hitl_bot", "demo"],
        tmp_path,
        {**os.environ, "BROWSER": "none", "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    try:
        command = demo.wait_for_line("or reject").split("or reject")[1].strip()
        pasted = [line.strip() for line in demo.lines if line.startswith(("  cd ", "  export "))]
        shown = shlex.split(command)
        listed = " ".join([*shown[:2], "hitl", "show", shown[4]])
        done = subprocess.run(
            ["sh", "-c", "\n".join([*pasted, listed])],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert shown[4] in done.stdout
    finally:
        demo.process.terminate()
        demo.wait()
        demo.stop()
