"""Every key of the policy: it is read, it demands something, it is described, and it is documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from hitl_bot.policy.model import RuleOfFile, demanded
from metaflow_extensions.hitl.approvals.question import PolicyRule

DOCS = (Path(__file__).parents[3] / "docs/policy.md").read_text(encoding="utf-8")
# A value of each key that demands something. A key that is added to the file shows in the tests below until it is here.
VALUES = {
    "quorum": 2,
    "approvers": [{"group": "@risk", "quorum": 1}],
    "named_approvers": "required",
    "deciders": ["@ml-leads"],
    "reason": "required",
    "longest_timeout": "8h",
    "channel": "#prod-approvals",
    "command_line": "refused",
    "self_approval": "refused",
    "delegation": "refused",
    "in_advance": "refused",
    "approval_by_timeout": "refused",
    "automatic_approval": "shadow",
    "continue_on_reject": "refused",
    "claimed_requester": "allowed",
    "outsiders": ["dave@agency.example"],
    "on_veto": "count",
    "obligations": "required",
}
NOT_DEMANDED = {"name", "match", "quiet_hours"}  # which approvals it is about, and when the bot keeps quiet


def _rule(**values):
    return RuleOfFile.model_validate({"name": "production", **values})


def test_every_key_is_known_here():
    """The values above name every key that demands something."""
    assert set(RuleOfFile.model_fields) - NOT_DEMANDED - set(VALUES) == set(), "give each of these a value in VALUES"
    assert set(VALUES) <= set(RuleOfFile.model_fields)


@pytest.mark.parametrize("key", VALUES)
def test_every_key_demands_something_and_is_described(key):
    """A key changes what the domain holds approvals to, and `hitl-bot policy check` says so."""
    plain, strict = _rule(), _rule(**{key: VALUES[key]})
    assert strict.demands != plain.demands, f"RuleOfFile.demands leaves {key} out"
    assert list(demanded(strict)) != list(demanded(plain)), f"_WORDS in hitl_bot/policy/model.py leaves {key} out"


def test_every_demand_has_a_key():
    """Each part of what the domain holds approvals to differs from its default with some key."""
    reached = {
        part.name
        for key, value in VALUES.items()
        for part in fields(PolicyRule)
        if getattr(_rule(**{key: value}).demands, part.name) != getattr(_rule().demands, part.name)
    }
    unreached = {part.name for part in fields(PolicyRule)} - {"name"} - reached
    assert unreached == set(), "no key of RuleOfFile sets these parts of PolicyRule"


def test_every_key_is_documented():
    """The page on the policy has a row for each key."""
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", DOCS, re.MULTILINE))
    undocumented = set(RuleOfFile.model_fields) - {"match"} - rows
    assert undocumented == set(), "give each of these a row in docs/policy.md"
