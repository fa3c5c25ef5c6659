"""The English of the product: sentences that a native technical writer would not write stay out."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = [
    *(
        path
        for folder in ("hitl_bot", "metaflow_extensions", "metaflow_hitl")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "sandbox" not in path.parts  # the local Slack has Slack's words
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "manifests/README.md",
    *sorted(ROOT.glob("*.md")),
]

# Where a phrase is right (there are no people), the pattern leaves it out.
AVOIDED = {
    "say 'is not a …'": r"(?<!there )(?<!There )\b(is|are) no (?!longer\b|further\b|more\b|new\b)[a-zA-Z]+\b",
    "say 'a quorum of' or 'how many'": r"\b[Ss]o many of\b",
    "name the person": r"\bwho asked must\b|\bnobody knows who\b",
    "say 'can no longer be answered'": r"\btakes no answers?\b",
    "say 'no longer'": r"\bany more\b",
    "say 'fix'": r"\b[Mm]end(s|ed)?\b",
    "say 'that decision is final'": r"\bThat stands\b|\bwho stands\b",
    "say 'forever'": r"\bfor ever\b",
    "say 'None' or 'empty values'": r"nothings\b",
    "say 'after'": r"\bbehind (the|its) deadline\b|\bbehind /hitl\b",
    "say 'someone matches'": r"\bnobody stands behind\b|\bNobody in Slack is\b|\bSlack knows nobody\b",
    "say 'email'": r"\b[Ee]-mail\b",
    "say 'went wrong'": r"\bSomething broke\b",
    "say 'mistakes' or 'problems'": r"\b[Ww]hat can't work\b",
}


@cache
def _sentences() -> list[tuple[str, str]]:
    return [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in WRITTEN
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    ]


@pytest.mark.parametrize("advice", AVOIDED)
def test_no_sentence_is_written_in_a_way_that_was_given_up(advice: str):
    """Of messages, errors, docstrings, comments and pages none has a phrase of the list."""
    pattern = re.compile(AVOIDED[advice])
    assert [f"{where}: {line.strip()}" for where, line in _sentences() if pattern.search(line)] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "message=3 is no text.",
        "So many of each",
        "takes no answer any more",
        "mend `approvers`",
        "who asked must not approve",
        "Something broke, and nothing was decided.",
        "reports what can't work in its gates",
    ],
)
def test_the_patterns_find_what_they_are_for(sentence: str):
    """A phrase that was once in a message is found."""
    assert any(re.search(pattern, sentence) for pattern in AVOIDED.values())


def test_what_is_right_is_left_alone():
    """'There is no …', 'is no longer …' and 'Recommended' are good English."""
    right = "There is no approval. It is no longer open. There are no people. Recommended: amend it."
    assert not any(re.search(pattern, right) for pattern in AVOIDED.values())
