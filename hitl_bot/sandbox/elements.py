"""Checks of Block Kit's interactive elements.

Source: docs.slack.dev/reference/block-kit/block-elements
"""

import re
from collections.abc import Callable, Set as AbstractSet
from typing import Any

from . import limits

# What is wrong with a block or a view, said the way Slack says it.

Json = dict[str, Any]


class Complaints:
    """Collects ``message [json-pointer:/blocks/0/text]``, the lines of Slack's ``response_metadata.messages``."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, pointer: str, message: str) -> None:
        self.found.append(f"{message} [json-pointer:{pointer}]")

    def length(self, pointer: str, value: Any, most: int, least: int = 0) -> bool:
        """Complain unless the value is a string of that length; return whether it is a string at all."""
        if not isinstance(value, str):
            self.add(pointer, "must be a string")
            return False
        if len(value) < least:
            self.add(pointer, f"must be more than {least - 1} characters")
        if len(value) > most:
            self.add(pointer, f"must be less than {most + 1} characters")
        return True

    def optional_length(self, pointer: str, holder: Json, name: str, most: int, least: int = 0) -> None:
        if holder.get(name) is not None:
            self.length(f"{pointer}/{name}", holder[name], most, least)

    def items(self, pointer: str, value: Any, most: int, least: int = 1) -> list[Any]:
        """Complain unless the value is a list of that many items; return the items that can be checked."""
        if not isinstance(value, list):
            self.add(pointer, "must provide an array")
            return []
        if len(value) < least:
            self.add(pointer, f"no less than {least} items allowed")
        if len(value) > most:
            self.add(pointer, f"no more than {most} items allowed")
        return value

    def required(self, pointer: str, holder: Json, name: str) -> bool:
        if holder.get(name) is None:
            self.add(pointer, f"missing required field: {name}")
            return False
        return True

    def is_object(self, pointer: str, value: Any) -> bool:
        if not isinstance(value, dict):
            self.add(pointer, "must provide an object")
            return False
        return True


# Checks of Block Kit's composition objects: text, option, confirm.

PLAIN = frozenset({"plain_text"})
ANY_TEXT = frozenset({"plain_text", "mrkdwn"})


def check_text(found: Complaints, at: str, text: Any, most: int, kinds: frozenset[str] = PLAIN) -> None:
    """Check a text object, and fill in what Slack fills in (``emoji``, ``verbatim``)."""
    if not found.is_object(at, text):
        return
    if text.get("type") not in kinds:
        found.add(f"{at}/type", f"must be one of: {', '.join(sorted(kinds))}")
    if found.required(at, text, "text"):
        found.length(f"{at}/text", text["text"], most, 1)
    if text.get("type") == "plain_text":
        text.setdefault("emoji", True)
    else:
        text.setdefault("verbatim", False)


def check_optional_text(found: Complaints, at: str, holder: Json, name: str, most: int) -> None:
    if holder.get(name) is not None:
        check_text(found, f"{at}/{name}", holder[name], most)


def check_required_text(found: Complaints, at: str, holder: Json, name: str, most: int) -> None:
    if found.required(at, holder, name):
        check_text(found, f"{at}/{name}", holder[name], most)


def check_option(found: Complaints, at: str, option: Any, kinds: frozenset[str]) -> None:
    if not found.is_object(at, option):
        return
    if found.required(at, option, "text"):
        check_text(found, f"{at}/text", option["text"], limits.OPTION_TEXT, kinds)
    if found.required(at, option, "value"):
        found.length(f"{at}/value", option["value"], limits.OPTION_VALUE)
    if option.get("description") is not None:
        check_text(found, f"{at}/description", option["description"], limits.OPTION_DESCRIPTION, kinds)


def check_options(found: Complaints, at: str, element: Json, most: int, kinds: frozenset[str] = PLAIN) -> None:
    """Check ``options`` (or ``option_groups``) and that every initial option is exactly one of them."""
    options: list[Any] = []
    if element.get("option_groups") is not None and element.get("options") is None:
        groups = found.items(f"{at}/option_groups", element["option_groups"], limits.OPTION_GROUPS)
        for index, group in enumerate(groups):
            here = f"{at}/option_groups/{index}"
            if found.is_object(here, group):
                check_required_text(found, here, group, "label", limits.OPTION_TEXT)
                options += found.items(f"{here}/options", group.get("options"), most)
                _check_each(found, f"{here}/options", group.get("options"), kinds)
    elif found.required(at, element, "options"):
        options = found.items(f"{at}/options", element["options"], most)
        _check_each(found, f"{at}/options", options, kinds)
    values = [_value(option) for option in options]
    initial = element.get("initial_options") or []
    for option in [*initial, *filter(None, [element.get("initial_option")])]:
        if _value(option) not in values:
            name = "initial_options" if initial else "initial_option"
            found.add(f"{at}/{name}", "must match one of the options")


def _check_each(found: Complaints, at: str, options: Any, kinds: frozenset[str]) -> None:
    for index, option in enumerate(options if isinstance(options, list) else []):
        check_option(found, f"{at}/{index}", option, kinds)


def _value(option: Any) -> Any:
    return (option.get("value"), (option.get("text") or {}).get("text")) if isinstance(option, dict) else None


def check_confirm(found: Complaints, at: str, element: Json) -> None:
    if element.get("confirm") is None:
        return
    here, confirm = f"{at}/confirm", element["confirm"]
    if not found.is_object(here, confirm):
        return
    check_required_text(found, here, confirm, "title", limits.CONFIRM_TITLE)
    if found.required(here, confirm, "text"):
        check_text(found, f"{here}/text", confirm["text"], limits.CONFIRM_TEXT, ANY_TEXT)
    check_optional_text(found, here, confirm, "confirm", limits.CONFIRM_BUTTON)
    check_optional_text(found, here, confirm, "deny", limits.CONFIRM_BUTTON)
    check_style(found, here, confirm)


def check_style(found: Complaints, at: str, holder: Json) -> None:
    if holder.get("style") not in {None, "primary", "danger"}:
        found.add(f"{at}/style", "must be one of: primary, danger")


# Checks of Block Kit's interactive elements.

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
TIME = re.compile(r"\d{2}:\d{2}")
UNIX_SECONDS_LENGTH = 10


def check_element(found: Complaints, at: str, element: Any, allowed: AbstractSet[str]) -> None:
    """Check an element in a place where only some types are allowed."""
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
    """Check an image, as a block or as an element: it has one source, and an alt text."""
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
    check_style(found, at, element)


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
