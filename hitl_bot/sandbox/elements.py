"""Checks of Block Kit's interactive elements.

Source: docs.slack.dev/reference/block-kit/block-elements
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set as AbstractSet
from typing import Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.complaints import Complaints, Json
from hitl_bot.sandbox.composition import (
    ANY_TEXT,
    check_confirm,
    check_optional_text,
    check_options,
    check_required_text,
    check_style as _check_style,
)

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
TIME = re.compile(r"\d{2}:\d{2}")
UNIX_SECONDS_LENGTH = 10


def check_element(found: Complaints, at: str, element: Any, allowed: AbstractSet[str]) -> None:
    """Check an element that stands where only some types are allowed."""
    if not found.is_object(at, element):
        return
    kind = element.get("type")
    if kind not in allowed or kind not in _CHECKS:
        found.add(f"{at}/type", f"unsupported type: {kind}")
        return
    found.optional_length(at, element, "action_id", limits.ACTION_ID, 1)
    _CHECKS[kind](found, at, element)
    check_confirm(found, at, element)


def check_image(found: Complaints, at: str, element: Json) -> None:
    """Check an image, as a block or as an element: it has one source, and words for who can't see it."""
    if (element.get("image_url") is None) == (element.get("slack_file") is None):
        found.add(at, "must have exactly one of: image_url, slack_file")
    found.optional_length(at, element, "image_url", limits.URL, 1)
    if found.required(at, element, "alt_text"):
        found.length(f"{at}/alt_text", element["alt_text"], limits.ALT_TEXT)


def _button(found: Complaints, at: str, element: Json) -> None:
    check_required_text(found, at, element, "text", limits.BUTTON_TEXT)
    found.optional_length(at, element, "value", limits.BUTTON_VALUE)
    found.optional_length(at, element, "url", limits.URL)
    found.optional_length(at, element, "accessibility_label", limits.BUTTON_TEXT)
    _check_style(found, at, element)


def _overflow(found: Complaints, at: str, element: Json) -> None:
    check_options(found, at, element, limits.OVERFLOW_OPTIONS, ANY_TEXT)


def _placeholder(found: Complaints, at: str, element: Json) -> None:
    check_optional_text(found, at, element, "placeholder", limits.PLACEHOLDER)


def _static_select(found: Complaints, at: str, element: Json) -> None:
    _placeholder(found, at, element)
    check_options(found, at, element, limits.SELECT_OPTIONS)
    _most_selected(found, at, element)


def _most_selected(found: Complaints, at: str, element: Json) -> None:
    most = element.get("max_selected_items")
    if most is not None and (not isinstance(most, int) or most < 1):
        found.add(f"{at}/max_selected_items", "must be an integer greater than 0")


def _people_select(found: Complaints, at: str, element: Json) -> None:
    _placeholder(found, at, element)
    _most_selected(found, at, element)


def _choices(found: Complaints, at: str, element: Json) -> None:
    check_options(found, at, element, limits.CHOICES, ANY_TEXT)


def _typed(found: Complaints, at: str, element: Json) -> None:
    _placeholder(found, at, element)
    found.optional_length(at, element, "initial_value", limits.TYPED_TEXT)


def _plain_text_input(found: Complaints, at: str, element: Json) -> None:
    _typed(found, at, element)
    for name, least in (("min_length", 0), ("max_length", 1)):
        value = element.get(name)
        if value is not None and (not isinstance(value, int) or not least <= value <= limits.TYPED_TEXT):
            found.add(f"{at}/{name}", f"must be an integer from {least} to {limits.TYPED_TEXT}")


def _number_input(found: Complaints, at: str, element: Json) -> None:
    _placeholder(found, at, element)
    if not isinstance(element.get("is_decimal_allowed"), bool):
        found.add(at, "missing required field: is_decimal_allowed")
    for name in ("initial_value", "min_value", "max_value"):
        value = element.get(name)
        # They are strings in Slack's definition: a number is refused.
        if value is not None and found.length(f"{at}/{name}", value, limits.TYPED_TEXT) and not _is_number(value):
            found.add(f"{at}/{name}", "must be a number")


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None


def _pattern(pattern: re.Pattern[str], name: str) -> Callable[[Complaints, str, Json], None]:
    def check(found: Complaints, at: str, element: Json) -> None:
        _placeholder(found, at, element)
        value = element.get(name)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            found.add(f"{at}/{name}", f"must match {pattern.pattern}")

    return check


def _datetimepicker(found: Complaints, at: str, element: Json) -> None:
    value = element.get("initial_date_time")
    if value is not None and not (isinstance(value, int) and len(str(value)) == UNIX_SECONDS_LENGTH):
        found.add(f"{at}/initial_date_time", "must be an integer of 10 digits")


_CHECKS: dict[str, Callable[[Complaints, str, Json], None]] = {
    "button": _button,
    "overflow": _overflow,
    "static_select": _static_select,
    "multi_static_select": _static_select,
    "users_select": _people_select,
    "multi_users_select": _people_select,
    "conversations_select": _people_select,
    "multi_conversations_select": _people_select,
    "channels_select": _people_select,
    "radio_buttons": _choices,
    "checkboxes": _choices,
    "plain_text_input": _plain_text_input,
    "number_input": _number_input,
    "email_text_input": _typed,
    "url_text_input": _typed,
    "datepicker": _pattern(DATE, "initial_date"),
    "timepicker": _pattern(TIME, "initial_time"),
    "datetimepicker": _datetimepicker,
    "image": check_image,
}

SELECTS = frozenset(
    {
        "static_select",
        "multi_static_select",
        "users_select",
        "multi_users_select",
        "conversations_select",
        "multi_conversations_select",
        "channels_select",
    }
)
PICKERS = frozenset({"datepicker", "timepicker", "datetimepicker"})
CHOICES = frozenset({"radio_buttons", "checkboxes"})
TYPED = frozenset({"plain_text_input", "number_input", "email_text_input", "url_text_input"})

IN_ACTIONS = frozenset({"button", "overflow"}) | SELECTS | PICKERS | CHOICES
IN_SECTION = frozenset({"button", "overflow", "image"}) | SELECTS | PICKERS | CHOICES
IN_INPUT = SELECTS | PICKERS | CHOICES | TYPED
