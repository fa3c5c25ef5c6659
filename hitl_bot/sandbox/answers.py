"""Turns what a person enters in a form into ``state.values``, and makes the checks that a Slack client makes.

Source of the shapes: docs.slack.dev/reference/interaction-payloads/view-interactions-payload and the page of each
element. What a Slack client checks before it sends a submission: required fields, lengths, numbers, addresses.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from .blocks import elements_of
from .elements import Json

_FIELDS = {
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "overflow": ("selected_option", ""),
    "multi_static_select": ("selected_options", "initial_options"),
    "checkboxes": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "channels_select": ("selected_channel", "initial_channel"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
_MANY = frozenset({"selected_options", "selected_users", "selected_conversations"})
_REQUIRED = "Please complete this required field."


class UnknownOption(ValueError):
    """Somebody chose something that the element does not offer."""


def initial_values(blocks: list[Json]) -> Json:
    """Return ``state.values`` of a form that nobody has touched."""
    values: Json = {}
    for block in blocks:
        for element in elements_of(block):
            if element["type"] in _FIELDS and element["type"] != "overflow":
                field, initial = _FIELDS[element["type"]]
                value = element.get(initial) if element.get(initial) is not None else ([] if field in _MANY else None)
                values.setdefault(block["block_id"], {})[element["action_id"]] = {"type": element["type"], field: value}
    return values


def kept_values(blocks: list[Json], old: Json) -> Json:
    """Return the values of an updated form: an entry is kept if block_id, action_id and type stay the same."""
    values = initial_values(blocks)
    for block_id, actions in values.items():
        for action_id, state in actions.items():
            before = old.get(block_id, {}).get(action_id)
            if before is not None and before["type"] == state["type"]:
                actions[action_id] = before
    return values


def with_entries(blocks: list[Json], values: Json, entries: Json) -> Json:
    """Return the values after a person's entries.

    Parameters
    ----------
    blocks : list of dict
        The form.
    values : dict
        {block_id: {action_id: state}} so far.
    entries : dict
        {block_id: {action_id: entry}}. An entry is the text typed, the value or the label of the option chosen, an id,
        a date, seconds since 1970, a list of those, or None for nothing.

    Raises
    ------
    UnknownOption
        An entry chooses something that is not offered, or is for a field that is not there.
    """
    after = {block_id: dict(actions) for block_id, actions in values.items()}
    elements = {(block["block_id"], one["action_id"]): one for block in blocks for one in elements_of(block)}
    for block_id, actions in entries.items():
        for action_id, entry in actions.items():
            element = elements.get((block_id, action_id))
            if element is None:
                raise UnknownOption(f"no field {block_id}/{action_id}")
            after.setdefault(block_id, {})[action_id] = state_of(element, entry)
    return after


def state_of(element: Json, entry: Any) -> Json:
    """Return the state of one element: ``{"type": "datepicker", "selected_date": "2026-11-24"}``."""
    field = _FIELDS[element["type"]][0]
    if field in _MANY:
        chosen = [entry] if isinstance(entry, str) else list(entry or [])
        value: Any = [_chosen(element, one) for one in chosen] if field == "selected_options" else chosen
    elif field == "selected_option":
        value = None if entry in {None, ""} else _chosen(element, entry)
    elif field == "selected_date_time":
        value = None if entry in {None, ""} else int(entry)
    else:
        value = None if entry in {None, ""} else str(entry)
    return {"type": element["type"], field: value}


def _chosen(element: Json, entry: Any) -> Json:
    options = list(element.get("options") or [])
    options += [option for group in element.get("option_groups") or [] for option in group["options"]]
    wanted = entry.get("value") if isinstance(entry, dict) else str(entry)
    by_value = [option for option in options if option["value"] == wanted]
    by_label = [option for option in options if option["text"]["text"] == wanted]
    if not (by_value or by_label):
        offered = ", ".join(option["text"]["text"] for option in options)
        raise UnknownOption(f"{wanted!r} is not offered; there is: {offered}")
    return dict((by_value or by_label)[0])


def client_errors(blocks: list[Json], values: Json) -> dict[str, str]:
    """Return what a Slack client itself would refuse before it sends the form: {block_id: text}."""
    errors = {}
    for block in blocks:
        if block["type"] != "input":
            continue
        element = block["element"]
        state = values[block["block_id"]][element["action_id"]]
        value = state[_FIELDS[element["type"]][0]]
        if value in (None, "", []):
            if not block.get("optional"):
                errors[block["block_id"]] = _REQUIRED
        elif message := _refusal(element, value):
            errors[block["block_id"]] = message
    return errors


def _refusal(element: Json, value: Any) -> str:
    kind = element["type"]
    if kind == "plain_text_input":
        return _bad_length(element, value)
    if kind == "number_input":
        return _bad_number(element, value)
    if kind == "email_text_input" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        return "Please enter a valid email address."
    if kind == "url_text_input" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S+", value, re.IGNORECASE):
        return "Please enter a valid URL."
    most = element.get("max_selected_items")
    return f"Choose at most {most}." if most and isinstance(value, list) and len(value) > most else ""


def _bad_length(element: Json, value: str) -> str:
    least, most = element.get("min_length") or 0, element.get("max_length") or 3000
    if len(value) < least:
        return f"Enter at least {least} characters."
    return f"Enter at most {most} characters." if len(value) > most else ""


def _bad_number(element: Json, value: str) -> str:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return "Please enter a number."
    if not number.is_finite():
        return "Please enter a number."
    if not element.get("is_decimal_allowed") and number != number.to_integral_value():
        return "Please enter a whole number."
    if element.get("min_value") is not None and number < Decimal(element["min_value"]):
        return f"Enter a number of at least {element['min_value']}."
    if element.get("max_value") is not None and number > Decimal(element["max_value"]):
        return f"Enter a number of at most {element['max_value']}."
    return ""
