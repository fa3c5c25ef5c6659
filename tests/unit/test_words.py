"""The product's own vocabulary: what a package may not speak of, and one word for one thing."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from metaflow_extensions.hitl.approvals.record import Origin
from metaflow_extensions.hitl.approvals.schema.fields import LONGEST_TEXT
from metaflow_extensions.hitl.slack import FORM, SLACK

ROOT = Path(__file__).parents[2]
APPROVALS = ROOT / "metaflow_extensions/hitl/approvals"


def _lines_with(pattern: str, *folders: Path) -> list[str]:
    found = re.compile(pattern, re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if found.search(line)
    ]


def test_the_domain_does_not_know_slack():
    """No line of `approvals/` speaks of Slack: a second chat system, or a web inbox, is an equal door."""
    assert _lines_with("slack", APPROVALS) == []


def test_names_are_those_of_the_field():
    """Slack, Kubernetes and Python have words for what once had names of our own here; those don't come back."""
    ours = r"\bweather\b|\bnothings\b|\bToldClient\b|\bclass _?(Floor|Seat|Witness|Tended|Told|Suffer|Troubles)\b"
    assert _lines_with(ours, ROOT / "metaflow_extensions", ROOT / "metaflow_hitl", ROOT / "hitl_bot") == []


def test_an_origin_is_compared_by_its_value():
    """An origin that was read from a record is another object than the constant, so `is` would not find it."""
    assert _lines_with(r"\borigin is (not )?(Origin|SLACK)", ROOT / "metaflow_extensions", ROOT / "hitl_bot") == []


def test_any_chat_system_can_vouch_for_people():
    """Whoever signed in to a chat system is vouched for; a claimed name, the deadline and a rule are not."""
    assert Origin("discord").vouches
    assert SLACK.vouches
    assert not any(origin.vouches for origin in (Origin.CLAIM, Origin.CLOCK, Origin.RULE))


@pytest.mark.parametrize("name", ["", "Slack", "a b", "a/b", "é", "-x", "x" * 41])
def test_an_origin_is_a_plain_name(name):
    """The name of a chat system is small letters, digits and hyphens."""
    with pytest.raises(ValueError, match="not the name of a chat system"):
        Origin(name)


def test_a_text_without_a_limit_of_its_own_fits_into_slack_s_input():
    """What the record allows where the author says nothing can be typed in the form."""
    assert FORM.text >= LONGEST_TEXT


def _classes(package: Path, leave_out: str = "") -> Counter[str]:
    return Counter(
        node.name
        for path in package.rglob("*.py")
        if not leave_out or leave_out not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


@pytest.mark.parametrize(
    ("package", "leave_out"), [("metaflow_extensions/hitl", ""), ("hitl_bot", "sandbox")], ids=["flows", "bot"]
)
def test_no_class_name_means_two_things(package: str, leave_out: str):
    """In one package every class has a name of its own; the local Slack has Slack's words, and is a world apart."""
    assert [name for name, count in _classes(ROOT / package, leave_out).items() if count > 1] == []
