"""What a method of the Web API is made of: its arguments, its refusals, its scope and tier."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hitl_bot.sandbox.faults import Tier
from hitl_bot.sandbox.workspace import Workspace

# Slack's own reference as data: arguments, errors, scopes and tiers of each method.

_TIERS = {"t1": Tier.ONE, "t2": Tier.TWO, "t3": Tier.THREE, "t4": Tier.FOUR}
_POSTING = "chat.postMessage"  # "special": one a second and channel


@dataclass(frozen=True, kw_only=True)
class Documented:
    """What the reference says about one method."""

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
    """Return the arguments that Slack doesn't document for a method; none if the method isn't in the reference."""
    documented = METHODS.get(method)
    # Bolt sends team_id with every call that a listener makes (slack_bolt 1.30, ``util/utils.py``).
    return [] if documented is None else sorted(set(names) - documented.arguments - {"token", "team_id"})


def is_documented(method: str, error: str) -> bool:
    """Whether Slack documents that a method may answer this error."""
    documented = METHODS.get(method)
    return documented is None or error in documented.errors or error in COMMON_ERRORS


# What a method of the Web API is made of: its arguments, its refusals, its scope and tier.

Json = dict[str, Any]


class SlackError(Exception):
    """Slack's ``{"ok": false, "error": code}``, with whatever else the answer carries."""

    def __init__(self, code: str, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.extra = extra

    @classmethod
    def with_messages(cls, code: str, messages: list[str]) -> SlackError:
        """An error with ``response_metadata.messages``, and ``errors`` where Slack repeats them."""
        lines = [f"[ERROR] {message}" for message in messages]
        errors = {"errors": messages} if code == "invalid_blocks" else {}
        return cls(code, **errors, response_metadata={"messages": lines})


def missing_scope(workspace: Workspace, scope: str) -> None:
    """Refuse a call unless the app has a scope."""
    scopes = workspace.app.scopes
    if scope not in scopes:
        raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(scopes)))


class Token(Enum):
    """Which kind of token a method takes."""

    BOT = "xoxb"
    APP = "xapp"
    NONE = ""


class Arguments:
    """The arguments of a call, whether they came as a form, as JSON or in the query."""

    def __init__(self, given: Json) -> None:
        self.given = given

    def has(self, name: str) -> bool:
        return self.given.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """Return an argument as text, "" if it is missing."""
        value = self.given.get(name)
        return "" if value is None else str(value)

    def required(self, name: str, code: str = "") -> str:
        """Return an argument, or refuse with its own code if it has one, else with invalid_arguments."""
        value = self.text(name)
        if value:
            return value
        if code:
            raise SlackError(code)
        raise SlackError.with_messages("invalid_arguments", [f"missing required field: {name}"])

    def truth(self, name: str) -> bool:
        return self.text(name).lower() in {"1", "true", "on"}

    def number(self, name: str, default: int) -> int:
        value = self.text(name)
        if value and not value.lstrip("-").isdigit():
            raise SlackError.with_messages("invalid_arguments", [f"must be an integer [json-pointer:/{name}]"])
        return int(value) if value else default

    def decoded(self, name: str, code: str) -> Any:
        """Return an argument that may come as JSON text (as forms need it); None if it is missing."""
        value = self.given.get(name)
        if value in (None, ""):
            return None
        if not isinstance(value, str):
            return json.loads(json.dumps(value))  # a copy: the caller keeps its own
        try:
            return json.loads(value)
        except ValueError:
            raise SlackError(code) from None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method: what it does, and what a caller needs for it."""

    name: str
    run: Callable[[Workspace, Arguments], Json]
    tier: Tier = Tier.THREE
    scope: str = ""
    token: Token = Token.BOT


def page_of(args: Arguments, items: list[Any], default: int) -> tuple[list[Any], Json]:
    """Cut a list into the page that ``cursor`` and ``limit`` ask for.

    Returns
    -------
    list
        The page.
    dict
        ``response_metadata``, whose ``next_cursor`` is "" on the last page.
    """
    limit = args.number("limit", default) or default
    cursor = args.text("cursor")
    if cursor and not cursor.removeprefix("at:").isdigit():
        raise SlackError("invalid_cursor")
    start = int(cursor.removeprefix("at:") or 0) if cursor else 0
    following = start + limit
    return items[start:following], {"next_cursor": f"at:{following}" if following < len(items) else ""}
