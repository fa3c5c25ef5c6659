"""What a method of the Web API is made of: its arguments, its refusals, its scope and tier."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from hitl_bot.sandbox.rates import Tier

if TYPE_CHECKING:
    from hitl_bot.sandbox.workspace import Workspace

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
    """The arguments of a call, the same whether they came as a form, as JSON or in the query."""

    def __init__(self, given: Json) -> None:
        self.given = given

    def has(self, name: str) -> bool:
        return self.given.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """Return an argument as text, "" if it is missing."""
        value = self.given.get(name)
        return "" if value is None else str(value)

    def required(self, name: str, code: str = "") -> str:
        """Return an argument, or refuse with a code of its own, else with invalid_arguments."""
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
