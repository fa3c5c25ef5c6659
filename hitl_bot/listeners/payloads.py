"""What Slack sends, as far as the listeners read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a message stands."""

    channel: str
    ts: str


def user_of(body: Json) -> str:
    """Return the id of the person behind a request; empty if there is none.

    Interactions have ``user.id``, slash commands ``user_id``, events ``event.user``.
    """
    user = body.get("user") or body.get("user_id") or (body.get("event") or {}).get("user") or ""
    return str(user.get("id", "")) if isinstance(user, dict) else str(user)


def is_home(body: Json) -> bool:
    """Whether a button of the Home tab was clicked."""
    return (body.get("view") or {}).get("type") == "home"


def place_of(body: Json) -> Place | None:
    """Return the message in a channel whose button was clicked; None in a view, and for what one person alone sees."""
    container = body.get("container") or {}
    if container.get("type") != "message" or container.get("is_ephemeral"):
        return None
    return Place(channel=str(container.get("channel_id", "")), ts=str(container.get("message_ts", "")))
