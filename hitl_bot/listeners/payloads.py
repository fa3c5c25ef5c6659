"""What Slack sends, as far as the listeners read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


_INITIAL = {  # by the field of an element's state: where the element says what it begins with
    "value": "initial_value",
    "selected_option": "initial_option",
    "selected_options": "initial_options",
    "selected_date": "initial_date",
    "selected_date_time": "initial_date_time",
    "selected_user": "initial_user",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a message is."""

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


def asks_about(body: Json, approval_id: str) -> bool:
    """Whether the message that was clicked, as Slack has it, offers buttons for this approval."""
    blocks = (body.get("message") or {}).get("blocks") or ()
    return any(element.get("value") == approval_id for block in blocks for element in block.get("elements") or ())


def is_in_attachment(body: Json) -> bool:
    """Whether the button stands in an attachment: in a message that somebody shared, or in another app's."""
    return (body.get("container") or {}).get("type") == "message_attachment"


def fill_in_initial_values(body: Json) -> None:
    """Put into a view's state what its inputs show and Slack leaves out.

    After a view was updated, Slack sends nothing for an input that was there before and that the person did not touch,
    although they see what it began with (github.com/slackapi/bolt-js/issues/1258). Whoever empties an input sends it
    empty, so nothing that is taken away comes back.
    """
    view = body.get("view")
    state = view.get("state") if isinstance(view, dict) else None
    if not isinstance(view, dict) or not isinstance(state, dict):
        return
    values: Json = state.setdefault("values", {})
    for block in view.get("blocks") or ():
        element = block.get("element") or {}
        begins = {field: element[name] for field, name in _INITIAL.items() if element.get(name) is not None}
        if begins and element.get("action_id") not in values.get(block["block_id"], {}):
            entry = {"type": element["type"], **begins}
            values.setdefault(block["block_id"], {})[element["action_id"]] = entry
