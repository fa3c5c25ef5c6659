"""The table of the listeners, held to the ids that messages carry and to the words that /hitl explains."""

from __future__ import annotations

import ast
from pathlib import Path

from hitl_bot.listeners import table
from metaflow_extensions.hitl.messages import controls
from metaflow_extensions.hitl.messages.replies import help_text

NOTHING_TO_SUBMIT = {controls.NOTICE_VIEW, controls.HOME_VIEW}
INPUTS_AND_METADATA = {
    controls.REASON_BLOCK,
    controls.PARAMETER_BLOCK,
    controls.SHARDS_BLOCK,
    controls.OTHERS_BLOCK,
    controls.TO_COME_BLOCK,
    controls.OBLIGATION_TEXT,
    controls.OBLIGATION_OWNER,
    controls.OBLIGATION_DUE,
    controls.EVENT_TYPE,
    controls.SAID,
}


def test_every_id_has_its_callback() -> None:
    """Each id that Slack sends back is in the table once; the others are inputs, metadata, or views without Submit."""
    ids = {value for name, value in vars(controls).items() if name.isupper() and str(value).startswith("hitl_")}
    ids |= {*controls.CHOOSE, *controls.LINKS}
    listened = [*table.BUTTONS, *table.FORMS, *table.MESSAGE_SHORTCUTS]
    assert len(listened) == len(set(listened))
    known = {*listened, *NOTHING_TO_SUBMIT, *INPUTS_AND_METADATA}
    assert ids - known == set(), "tie each of these to a callback in hitl_bot/listeners/table.py, or name it above"
    assert known - ids == set(), "these are not in messages/controls.py"


def test_every_word_is_explained() -> None:
    """`/hitl help` explains each word of the table, and no other."""
    explained = {row.split()[1] for row in help_text()["text"].split(", ") if row.startswith("/hitl ")}
    words = {word for word in (*table.WORDS, *table.WORDS_WITH_ID) if word}
    assert words - explained == set(), "explain each of these in _WORDS, messages/replies.py"
    assert explained - words == set(), "these are not in hitl_bot/listeners/table.py"
    assert not set(table.WORDS) & set(table.WORDS_WITH_ID)


def test_nothing_is_tied_to_an_id_elsewhere() -> None:
    """No other module of the bot registers a callback with Bolt."""
    package = Path(table.__file__).parents[1]
    kinds = {"action", "view", "command", "shortcut", "event", "options", "message"}
    for path in package.rglob("*.py"):
        if "sandbox" in path.parts or path.name == "table.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in kinds:
                assert ast.unparse(node.func.value) != "app", f"{path}:{node.lineno}"
