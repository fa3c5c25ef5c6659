"""Whether a body has the shape of what Slack sends, as far as Bolt and the listeners rely on it.

A body that is signed and has another shape is nobody's mistake that a retry could cure: it is refused as it comes, and
not handed on to fail somewhere (docs.slack.dev/reference/interaction-payloads, docs.slack.dev/interactivity/
implementing-slash-commands, docs.slack.dev/apis/events-api).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

Json = Mapping[str, Any]


def is_slacks(body: bytes, content_type: str) -> bool:
    """Whether Bolt and the listeners can read a body."""
    try:
        text = body.decode("utf-8")
        if content_type.split(";", 1)[0].strip().lower() == "application/json":
            return _is_event(json.loads(text))
        fields = {name: values[-1] for name, values in parse_qs(text, strict_parsing=True).items()}
        if "payload" in fields:
            return _is_interaction(json.loads(fields["payload"]))
    except (ValueError, RecursionError):
        return False
    return fields.get("ssl_check") == "1" or bool(fields.get("command", "").startswith("/") and fields.get("user_id"))


def _is_event(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    if body.get("type") == "url_verification":
        return isinstance(body.get("challenge"), str)
    event = body.get("event")
    return isinstance(event, dict) and isinstance(event.get("type"), str) and _are_objects(body, "authorizations")


def _is_interaction(payload: Any) -> bool:
    if not isinstance(payload, dict) or not _is_person(payload.get("user")):
        return False
    if not all(payload.get(name) is None or isinstance(payload[name], dict) for name in _OBJECTS):
        return False
    kind = payload.get("type")
    check = _KINDS.get(kind) if isinstance(kind, str) else None
    return check is not None and check(payload)


_OBJECTS = ("team", "enterprise", "channel", "container", "message", "state")


def _is_person(user: Any) -> bool:
    return isinstance(user, dict) and isinstance(user.get("id"), str) and bool(user["id"])


def _are_objects(payload: Json, name: str) -> bool:
    found = payload.get(name)
    return found is None or (isinstance(found, list) and all(isinstance(one, dict) for one in found))


def _are_actions(payload: Json) -> bool:
    actions = payload.get("actions")
    if not (isinstance(actions, list) and actions and _are_objects(payload, "actions")):
        return False
    named = all(isinstance(one.get("action_id"), str) and isinstance(one.get("type"), str) for one in actions)
    return named and (payload.get("view") is None or _is_view(payload))


def _is_view(payload: Json) -> bool:
    view = payload.get("view")
    if not isinstance(view, dict) or not isinstance(view.get("id"), str) or not _are_objects(view, "blocks"):
        return False
    state = view.get("state")
    values = state.get("values", {}) if isinstance(state, dict) else {}
    shaped = isinstance(values, dict) and all(_is_block_state(one) for one in values.values())
    return shaped and (state is None or isinstance(state, dict)) and isinstance(view.get("callback_id", ""), str)


def _is_block_state(actions: Any) -> bool:
    return isinstance(actions, dict) and all(isinstance(one, dict) for one in actions.values())


def _is_shortcut(payload: Json) -> bool:
    return isinstance(payload.get("callback_id"), str)


_KINDS: dict[str, Callable[[Json], bool]] = {
    "block_actions": _are_actions,
    "view_submission": _is_view,
    "view_closed": _is_view,
    "message_action": _is_shortcut,
    "shortcut": _is_shortcut,
}
