"""A choice that is made with a button, as the page on forms shows it: on a message, and in a run."""

from __future__ import annotations

import re
import sys

import pytest

from hitl_bot.sandbox.driver import Driver, NotConfirmed
from tests.acceptance.test_sandbox_command import exports_in, sandbox as running_sandbox
from tests.fixtures.flows import PATIENCE, REPOSITORY, Process, clean_environment

sandbox_command = running_sandbox


def test_a_person_chooses_the_way_with_a_button(sandbox_command, tmp_path):
    """Production is a button; after Slack's own question it approves, and the run goes that way and no other."""
    [flow] = re.findall(r"^```py\n(.*?)^```", (REPOSITORY / "docs" / "forms.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "way.py").write_text(flow)
    environment = {**clean_environment(), **exports_in(sandbox_command.output)}
    run = Process([sys.executable, "way.py", "run"], tmp_path, environment)
    try:
        bob = Driver(sandbox_command.wait_for_line("local Slack is at").split()[-1]).as_("bob")
        question = bob.wait_for_message("#ml-approvals", lambda message: "Where to?" in message.plain, timeout=PATIENCE)
        assert [one for one in question.buttons if "Details" not in one][:3] == ["staging", "production", "Reject…"]
        assert "*staging or production:* starts choose with it." in question.plain
        with pytest.raises(NotConfirmed):
            bob.click(question, "production")
        bob.click(question, "production", confirm="production")
        bob.wait_for_update(
            question, lambda message: "*Approved* by" in message.plain and "production" in message.plain
        )
        assert run.wait() == 0, run.output
        assert "Goes to production." in run.output
        assert "Goes to staging." not in run.output
    finally:
        run.stop()
