"""Every message, view and Home that the bot can build, held to the types that Slack publishes of Block Kit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hitl_bot.doctor.prove.gallery import Exhibit, Validated, exhibits
from tests.fixtures.approvals import NOW
from tests.tools.build import NotBuiltError
from tests.tools.slack_types import slack_types

Compile = Callable[[list[Exhibit]], str]
_FLAGS = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext")


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Return what Slack's types find wrong with exhibits: nothing if they are right.

    A literal that is assigned to a type may hold no property that the type doesn't know.
    """
    try:
        tools = slack_types()
    except NotBuiltError as error:
        pytest.skip(str(error))

    def complain(shown: list[Exhibit]) -> str:
        lines = ['import type { KnownBlock, View } from "@slack/types";']
        for number, one in enumerate(shown):
            kind, value = ("View", one.body) if one.kind is Validated.VIEW else ("KnownBlock[]", one.body["blocks"])
            lines.append(f"export const shown{number}: {kind} = {json.dumps(value)}; // {one.name}")
        (tmp_path / "node_modules").symlink_to(tools / "node_modules")
        (tmp_path / "shown.ts").write_text("\n".join(lines), encoding="utf-8")
        command = [str(tools / "node_modules/.bin/tsc"), *_FLAGS, "shown.ts"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    return complain


def test_everything_has_the_types_that_slack_publishes(compiled: Compile) -> None:
    """Each block, element and view has the fields that Slack's own types have, and no others."""
    shown = list(exhibits(NOW))
    assert len(shown) > 100
    assert compiled(shown) == ""


def test_a_field_that_slack_does_not_have_is_seen(compiled: Compile) -> None:
    """The check does check."""
    blocks = [{"type": "section", "text": {"type": "plain_text", "text": "x", "emojis": False}}]
    assert "emojis" in compiled([Exhibit(name="x", kind=Validated.MESSAGE, body={"blocks": blocks})])
