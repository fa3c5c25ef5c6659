"""Checks of Block Kit's composition objects: text, option, confirm.

Source: docs.slack.dev/reference/block-kit/composition-objects
"""

from __future__ import annotations

from typing import Any

from hitl_bot.sandbox import limits
from hitl_bot.sandbox.complaints import Complaints, Json

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
