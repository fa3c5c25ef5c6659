"""Slack's own reference as data: arguments, errors, scopes and tiers of each method.

``reference.json`` holds facts gathered from docs.slack.dev/reference/methods, in a form of our own. The sandbox notes
each call that differs: an argument that Slack doesn't know, or an error that Slack doesn't document for the method.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hitl_bot.sandbox.rates import Tier

_TIERS = {"t1": Tier.ONE, "t2": Tier.TWO, "t3": Tier.THREE, "t4": Tier.FOUR}
_POSTING = "chat.postMessage"  # "special": one a second and channel


@dataclass(frozen=True, kw_only=True)
class Documented:
    """What the reference says of one method."""

    arguments: frozenset[str]
    errors: frozenset[str]
    scopes: frozenset[str]
    tier: Tier


def _read() -> tuple[dict[str, Documented], frozenset[str]]:
    data = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
    methods = {
        name: Documented(
            arguments=frozenset(one["args"]),
            errors=frozenset(one["errors"]),
            scopes=frozenset(one["scopes"]),
            tier=Tier.POSTING if name == _POSTING else _TIERS.get(one["tier"], Tier.NONE),
        )
        for name, one in data["methods"].items()
    }
    return methods, frozenset(data["common_errors"])


METHODS, COMMON_ERRORS = _read()


def unknown_arguments(method: str, names: Iterable[str]) -> list[str]:
    """Return the arguments that Slack doesn't document for a method; of a method that is not in the reference none."""
    documented = METHODS.get(method)
    # Bolt sends team_id with every call that a listener makes (slack_bolt 1.30, ``util/utils.py``).
    return [] if documented is None else sorted(set(names) - documented.arguments - {"token", "team_id"})


def is_documented(method: str, error: str) -> bool:
    """Whether Slack documents that a method may answer this error."""
    documented = METHODS.get(method)
    return documented is None or error in documented.errors or error in COMMON_ERRORS
