"""Checks of blocks and views: structure, Slack's limits, and IDs that must be unique.

What the sandbox does not know is refused as an unsupported type and never accepted unchecked.
Source: docs.slack.dev/reference/block-kit/blocks and docs.slack.dev/reference/views
"""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from . import limits
from .elements import (
    ANY_TEXT,
    IN_ACTIONS,
    IN_INPUT,
    IN_SECTION,
    Complaints,
    Json,
    check_element,
    check_image,
    check_optional_text,
    check_required_text,
    check_text,
)

# Checks of the table block.

_ALIGNMENTS = ("left", "center", "right")


def check_table(found: Complaints, at: str, block: Json) -> None:
    """Check rows, cells and the settings of columns."""
    if not found.required(at, block, "rows"):
        return
    characters = 0
    for number, row in enumerate(found.items(f"{at}/rows", block["rows"], limits.TABLE_ROWS)):
        for column, cell in enumerate(found.items(f"{at}/rows/{number}", row, limits.TABLE_COLUMNS)):
            characters += _check_cell(found, f"{at}/rows/{number}/{column}", cell)
    if characters > limits.TABLE_CHARACTERS:
        found.add(f"{at}/rows", f"no more than {limits.TABLE_CHARACTERS} characters allowed in a table")
    if block.get("column_settings") is not None:
        _check_settings(found, f"{at}/column_settings", block["column_settings"])


def check_single(found: Complaints, at: str, blocks: list[Any]) -> None:
    """Complain about a second table."""
    if sum(isinstance(block, dict) and block.get("type") == "table" for block in blocks) > 1:
        found.add(at, "only_one_table_allowed")


def _check_cell(found: Complaints, at: str, cell: Any) -> int:
    """Check one cell; return how many characters it counts as."""
    if not found.is_object(at, cell):
        return 0
    kind = cell.get("type")
    if kind == "raw_text":
        if found.required(at, cell, "text") and found.length(f"{at}/text", cell["text"], limits.TABLE_CHARACTERS, 1):
            return len(cell["text"])
    elif kind == "raw_number":
        if not isinstance(cell.get("value"), (int, float)):
            found.add(at, "missing required field: value")
        return len(str(cell.get("value")))
    elif kind == "rich_text":
        found.required(at, cell, "elements")
    else:
        found.add(f"{at}/type", f"unsupported type: {kind}")
    return 0


def _check_settings(found: Complaints, at: str, settings: Any) -> None:
    for column, setting in enumerate(found.items(at, settings, limits.TABLE_COLUMNS)):
        if setting is None or not found.is_object(f"{at}/{column}", setting):
            continue
        if setting.get("align") not in {None, *_ALIGNMENTS}:
            found.add(f"{at}/{column}/align", f"must be one of: {', '.join(_ALIGNMENTS)}")
        if not isinstance(setting.get("is_wrapped", False), bool):
            found.add(f"{at}/{column}/is_wrapped", "must be a boolean")


# Checks of blocks and views: structure, Slack's limits, and ids that must differ.


def complaints_about_blocks(blocks: Any, most: int = limits.MESSAGE_BLOCKS) -> list[str]:
    """Return what is wrong with the blocks of a message.

    Parameters
    ----------
    blocks : Any
        What the app sent, already decoded. Texts get the fields that Slack fills in.
    most : int
        How many blocks are allowed.

    Returns
    -------
    list of str
        Lines such as ``missing required field: text [json-pointer:/blocks/0]``; [] if no problems were found.
    """
    found = Complaints()
    _check_blocks(found, "/blocks", blocks, most, least=0)
    return found.found


def complaints_about_view(view: Any) -> list[str]:
    """Return what is wrong with a modal or a Home tab; the pointers begin with ``/view``."""
    found = Complaints()
    if not found.is_object("/view", view):
        return found.found
    kind = view.get("type")
    if kind not in {"modal", "home"}:
        found.add("/view/type", "must be one of: modal, home")
    if found.required("/view", view, "blocks"):
        _check_blocks(found, "/view/blocks", view["blocks"], limits.VIEW_BLOCKS, least=0)
    if kind == "modal":
        check_required_text(found, "/view", view, "title", limits.VIEW_TITLE)
        check_optional_text(found, "/view", view, "submit", limits.VIEW_BUTTON)
        check_optional_text(found, "/view", view, "close", limits.VIEW_BUTTON)
        if _has_input(view) and view.get("submit") is None:
            found.add("/view", "missing required field: submit")
    found.optional_length("/view", view, "private_metadata", limits.PRIVATE_METADATA)
    found.optional_length("/view", view, "callback_id", limits.CALLBACK_ID)
    found.optional_length("/view", view, "external_id", limits.EXTERNAL_ID)
    return found.found


def is_view_too_large(view: Json) -> bool:
    return len(json.dumps(view).encode()) > limits.VIEW_BYTES


def are_blocks_too_long(blocks: list[Json]) -> bool:
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) > limits.MESSAGE_BLOCKS_LENGTH


def elements_of(block: Json) -> Iterator[Json]:
    """Yield the interactive elements of a block."""
    if block["type"] == "actions":
        yield from block["elements"]
    elif block["type"] == "section" and (block.get("accessory") or {}).get("type", "image") != "image":
        yield block["accessory"]
    elif block["type"] == "input":
        yield block["element"]


def name_everything(blocks: list[Json], counter: Iterator[int]) -> None:
    """Give an ID to every block and every interactive element that has none, as Slack does."""
    for block in blocks:
        if not block.get("block_id"):
            block["block_id"] = f"b{next(counter):04x}"
        for element in elements_of(block):
            if not element.get("action_id"):
                element["action_id"] = f"a{next(counter):04x}"


def _has_input(view: Json) -> bool:
    blocks = view.get("blocks")
    return any(
        isinstance(one, dict) and one.get("type") == "input" for one in (blocks if isinstance(blocks, list) else [])
    )


def _check_blocks(found: Complaints, at: str, blocks: Any, most: int, least: int) -> None:
    for index, block in enumerate(found.items(at, blocks, most, least)):
        _check_block(found, f"{at}/{index}", block)
    check_single(found, at, blocks if isinstance(blocks, list) else [])
    if not found.found:  # only now is the shape such that ids can be read
        _check_ids(found, at, blocks)


def _check_block(found: Complaints, at: str, block: Any) -> None:
    if not found.is_object(at, block):
        return
    check = _CHECKS.get(block.get("type"))
    if check is None:
        found.add(f"{at}/type", f"unsupported type: {block.get('type')}")
        return
    found.optional_length(at, block, "block_id", limits.BLOCK_ID)
    check(found, at, block)


def _check_ids(found: Complaints, at: str, blocks: list[Json]) -> None:
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if block_id and block_id in seen:
            found.add(f"{at}/{index}/block_id", f'`block_id` "{block_id}" already exists')
        seen.add(block_id or "")
        actions: set[str] = set()
        for number, element in enumerate(elements_of(block)):
            action_id = element.get("action_id")
            if action_id and action_id in actions:
                message = f'`action_id` "{action_id}" already exists for another element'
                found.add(f"{at}/{index}/elements/{number}/action_id", message)
            actions.add(action_id or "")
    focused = sum(1 for element in itertools.chain(*map(elements_of, blocks)) if element.get("focus_on_load"))
    if focused > 1:
        found.add(at, "only one element can have focus_on_load")


def _section(found: Complaints, at: str, block: Json) -> None:
    if block.get("text") is None and block.get("fields") is None:
        found.add(at, "missing required field: text")
    if block.get("text") is not None:
        check_text(found, f"{at}/text", block["text"], limits.SECTION_TEXT, ANY_TEXT)
    if block.get("fields") is not None:
        for index, field in enumerate(found.items(f"{at}/fields", block["fields"], limits.SECTION_FIELDS)):
            check_text(found, f"{at}/fields/{index}", field, limits.FIELD_TEXT, ANY_TEXT)
    if block.get("accessory") is not None:
        check_element(found, f"{at}/accessory", block["accessory"], IN_SECTION)


def _header(found: Complaints, at: str, block: Json) -> None:
    check_required_text(found, at, block, "text", limits.HEADER_TEXT)


def _divider(_found: Complaints, _at: str, _block: Json) -> None:
    """A divider has nothing to check."""


def _context(found: Complaints, at: str, block: Json) -> None:
    if not found.required(at, block, "elements"):
        return
    for index, element in enumerate(found.items(f"{at}/elements", block["elements"], limits.CONTEXT_ELEMENTS)):
        here = f"{at}/elements/{index}"
        if isinstance(element, dict) and element.get("type") == "image":
            check_image(found, here, element)
        else:
            check_text(found, here, element, limits.SECTION_TEXT, ANY_TEXT)


def _actions(found: Complaints, at: str, block: Json) -> None:
    if found.required(at, block, "elements"):
        for index, element in enumerate(found.items(f"{at}/elements", block["elements"], limits.ACTIONS_ELEMENTS)):
            check_element(found, f"{at}/elements/{index}", element, IN_ACTIONS)


def _image(found: Complaints, at: str, block: Json) -> None:
    check_image(found, at, block)
    check_optional_text(found, at, block, "title", limits.IMAGE_TITLE)


def _input(found: Complaints, at: str, block: Json) -> None:
    check_required_text(found, at, block, "label", limits.INPUT_LABEL)
    check_optional_text(found, at, block, "hint", limits.INPUT_HINT)
    if found.required(at, block, "element"):
        check_element(found, f"{at}/element", block["element"], IN_INPUT)


def _markdown(found: Complaints, at: str, block: Json) -> None:
    if found.required(at, block, "text"):
        found.length(f"{at}/text", block["text"], limits.MARKDOWN_TEXT, 1)


RICH_TEXT = frozenset({"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"})


def _rich_text(found: Complaints, at: str, block: Json) -> None:
    if not found.required(at, block, "elements"):
        return
    for index, element in enumerate(found.items(f"{at}/elements", block["elements"], limits.VIEW_BLOCKS)):
        here = f"{at}/elements/{index}"
        if found.is_object(here, element):
            if element.get("type") not in RICH_TEXT:
                found.add(f"{here}/type", f"unsupported type: {element.get('type')}")
            found.required(here, element, "elements")


_CHECKS: dict[Any, Callable[[Complaints, str, Json], None]] = {
    "section": _section,
    "header": _header,
    "divider": _divider,
    "context": _context,
    "actions": _actions,
    "image": _image,
    "input": _input,
    "markdown": _markdown,
    "rich_text": _rich_text,
    "table": check_table,
}
