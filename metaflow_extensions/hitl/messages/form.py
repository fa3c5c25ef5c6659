"""A schema's fields as input blocks of a Slack modal, and back.

The shapes are Slack's: https://docs.slack.dev/reference/block-kit/blocks/input-block and the pages of the elements
beside it; what a submitted one sends is ``view.state.values``, ``{block_id: {action_id: {"type": ..., ...}}}``
(https://docs.slack.dev/reference/interaction-payloads/view-interactions-payload). Plain dicts and the standard library
only, because pods build messages too.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from metaflow_extensions.hitl.approvals.schema import (
    Field,
    Kind,
    Problem,
    accepted,
    bounds,
    canonical,
    choice_text,
    fits,
    line,
    plain_digits,
    read_lines,
    read_text,
    storable,
)
from metaflow_extensions.hitl.approvals.schema.fields import read_datetime
from metaflow_extensions.hitl.slack import CHECKBOXES, FORM

ACTION_ID = "value"
"""The action_id of every input; its block tells which field it is."""

_RADIO_BUTTONS = 5  # Slack takes ten; more than five are read faster in a menu
_PROBLEM = 300  # characters under an input; our choice, Slack documents no limit
_YES, _NO = "Yes", "No"


def block_id(index: int) -> str:
    """Return the block_id of the field at an index. A name could be too long for one; a place in the schema can't."""
    return f"field:{index}"


def form_blocks(fields: Sequence[Field], *, values: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    """Build one input block a field.

    Parameters
    ----------
    fields : sequence of Field
        All fields of the schema, in order: a block's id is its place.
    values : Mapping, optional
        What to fill in beforehand, by name, in the form that records keep: what an earlier voter entered. None leaves
        an input empty. A name that is missing gets the field's default. A value that does not fit is left out, because
        Slack refuses a whole view for it.

    Returns
    -------
    list of dict
        At most 92 blocks for the fields of a normalised schema.
    """
    given = values or {}
    return [_block(index, field, given.get(field.name, field.default)) for index, field in enumerate(fields)]


def form_values(fields: Sequence[Field], state_values: Mapping[str, Any]) -> dict[str, object]:
    """Read what a person submitted.

    Parameters
    ----------
    fields : sequence of Field
        The fields that :func:`form_blocks` was given.
    state_values : Mapping
        ``view["state"]["values"]``.

    Returns
    -------
    dict
        Name to value, as ``inputs.validate`` takes it: None for an input that was left empty. What can't be read stays
        as it was sent, so that validation refuses it. A field whose block is not there is left out.
    """
    found: dict[str, object] = {}
    for index, field in enumerate(fields):
        element = (state_values.get(block_id(index)) or {}).get(ACTION_ID)
        if element is not None:
            found[field.name] = _value(field, element)
    return found


def form_errors(fields: Sequence[Field], problems: Iterable[Problem]) -> dict[str, str]:
    """Place each problem under its input, for ``response_action: "errors"``.

    A problem with a name that the form does not have stands under the first input, together with the name: Slack asks
    for the block_id of an input in the view (https://docs.slack.dev/surfaces/modals, "Displaying errors in views").
    """
    places = {field.name: block_id(index) for index, field in enumerate(fields)}
    errors: dict[str, str] = {}
    for problem in problems:
        at = places.get(problem.field)
        text = problem.text[:1].upper() + problem.text[1:] if at else f"{problem.field} {problem.text}"
        errors.setdefault(at or block_id(0), _cut(text, _PROBLEM))
    return errors


def _block(index: int, field: Field, value: object) -> dict[str, Any]:
    block: dict[str, Any] = {
        "type": "input",
        "block_id": block_id(index),
        "label": _plain(field.label, FORM.label),
        "element": {"action_id": ACTION_ID, **_element(field, _shown(field, value))},
        "optional": not field.required,
    }
    if hint := _hint(field):
        block["hint"] = _plain(hint, FORM.help)
    return block


def _hint(field: Field) -> str:
    """Say what the author says and what the field accepts. A placeholder would be gone once there is a value."""
    limits = _cut(bounds(field), FORM.placeholder)
    described = (field.help or "").rstrip()
    if not (described and limits):
        return limits or field.help or ""
    said = _cut(described, FORM.help - len(limits) - 3)
    return f"{said}{'' if said[-1] in '.!?:…' else '.'} {limits}."


def _shown(field: Field, value: object) -> object:
    """Return the value if the input can show it, or None."""
    if value is None:
        return None
    made = canonical(field, value)
    if made in ("", []) or not storable(made) or not fits(field, made):
        return None
    if field.kind is not Kind.DATETIME:
        return made
    moment = read_datetime(str(made))
    seconds = 0 if moment is None else int(moment.timestamp())
    return seconds if FORM.earliest <= seconds <= FORM.latest else None


def _element(field: Field, shown: object) -> dict[str, Any]:
    make = _ELEMENTS.get(field.kind, _text_input)
    return {key: value for key, value in make(field, shown).items() if value is not None}


def _text_input(field: Field, shown: object) -> dict[str, Any]:
    return {
        "type": "plain_text_input",
        "multiline": field.kind is Kind.TEXT,
        "initial_value": shown,
        "min_length": field.min_length or None,
        "max_length": field.max_length,
        "placeholder": _placeholder(field),
    }


def _lines_input(_field: Field, shown: object) -> dict[str, Any]:
    """One item a line; Slack counts characters, and can't count lines."""
    items = shown if isinstance(shown, list) else []
    lines = "\n".join(map(line, items)) or None
    return {"type": "plain_text_input", "multiline": True, "initial_value": lines, "max_length": FORM.text}


def _email_input(_field: Field, shown: object) -> dict[str, Any]:
    return {"type": "email_text_input", "initial_value": shown, "placeholder": _plain("name@example.com")}


def _url_input(_field: Field, shown: object) -> dict[str, Any]:
    return {"type": "url_text_input", "initial_value": shown, "placeholder": _plain("https://example.com/page")}


def _number_input(field: Field, shown: object) -> dict[str, Any]:
    """Slack takes limits and the value as strings, and knows no limit that is itself excluded."""
    return {
        "type": "number_input",
        "is_decimal_allowed": field.kind is Kind.FLOAT,
        "initial_value": _digits(shown),
        "min_value": _digits(field.min),
        "max_value": _digits(field.max),
        "placeholder": _placeholder(field),
    }


def _digits(number: object) -> str | None:
    return plain_digits(number) if isinstance(number, (int, float)) else None


def _yes_no(field: Field, shown: object) -> dict[str, Any]:
    options = [_option(_YES), _option(_NO)]
    chosen = None if shown is None else options[0 if shown is True else 1]
    return _one_of(field, options, chosen)


def _choice(field: Field, shown: object) -> dict[str, Any]:
    options = _options(field)
    return _one_of(field, options, next((option for option in options if _chosen(field, option) == shown), None))


def _one_of(field: Field, options: list[dict[str, Any]], chosen: dict[str, Any] | None) -> dict[str, Any]:
    # A radio button, once chosen, can't be taken back, so what may stay empty is a menu.
    if field.required and len(options) <= _RADIO_BUTTONS:
        return {"type": "radio_buttons", "options": options, "initial_option": chosen}
    return {
        "type": "static_select",
        "options": options,
        "initial_option": chosen,
        "placeholder": _plain("Choose one"),
    }


def _choices(field: Field, shown: object) -> dict[str, Any]:
    options = _options(field)
    items = shown if isinstance(shown, list) else []
    chosen = [option for option in options if _chosen(field, option) in items] or None
    if len(options) <= CHECKBOXES:
        return {"type": "checkboxes", "options": options, "initial_options": chosen}
    return {
        "type": "multi_static_select",
        "options": options,
        "initial_options": chosen,
        "max_selected_items": field.max_length,
        "placeholder": _plain("Choose some"),
    }


def _date(_field: Field, shown: object) -> dict[str, Any]:
    return {"type": "datepicker", "initial_date": shown, "placeholder": _plain("Choose a date")}


def _instant(_field: Field, shown: object) -> dict[str, Any]:
    """Slack shows and takes the person's own time zone; the value is seconds since 1970."""
    return {"type": "datetimepicker", "initial_date_time": shown}


def _user(_field: Field, shown: object) -> dict[str, Any]:
    return {"type": "users_select", "initial_user": shown, "placeholder": _plain("Choose a person")}


_ELEMENTS = {
    Kind.INT: _number_input,
    Kind.FLOAT: _number_input,
    Kind.BOOL: _yes_no,
    Kind.DATE: _date,
    Kind.DATETIME: _instant,
    Kind.CHOICE: _choice,
    Kind.MULTICHOICE: _choices,
    Kind.EMAIL: _email_input,
    Kind.URL: _url_input,
    Kind.USER: _user,
    Kind.LIST: _lines_input,
}


def _options(field: Field) -> list[dict[str, Any]]:
    return [_option(title, choice_text(choice)) for title, choice in field.labelled]


def _option(text: str, value: str | None = None) -> dict[str, Any]:
    """One option. A schema holds its value to half of what Slack takes as one."""
    return {"text": _plain(text), "value": text if value is None else value}


def _placeholder(field: Field) -> dict[str, Any] | None:
    text = accepted(field)
    return None if text == "text" or bounds(field) else _plain(text[:1].upper() + text[1:])


def _plain(text: str, most: int = FORM.placeholder) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(text, most)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _value(field: Field, element: Mapping[str, Any]) -> object:
    if field.kind is Kind.MULTICHOICE:
        return canonical(field, [_chosen(field, option) for option in element.get("selected_options") or []])
    if field.kind in {Kind.CHOICE, Kind.BOOL}:
        option = element.get("selected_option")
        return None if option is None else _chosen(field, option)
    if field.kind is Kind.DATETIME:
        return _moment(element.get("selected_date_time"))
    value: object = element.get(_VALUE_KEYS.get(field.kind, "value"))
    if field.kind is Kind.LIST and (value is None or isinstance(value, str)):
        return canonical(field, read_lines(field, value or ""))
    if not isinstance(value, str):
        return value
    typed = read_text(field, value) if field.kind in {Kind.INT, Kind.FLOAT} else value
    return typed if value.strip() else None


_VALUE_KEYS = {Kind.DATE: "selected_date", Kind.USER: "selected_user"}


def _chosen(field: Field, option: Mapping[str, Any]) -> object:
    text: object = option.get("value")
    if field.kind is Kind.BOOL:
        return {_YES: True, _NO: False}.get(str(text), text)
    return next((choice for choice in field.choices if choice_text(choice) == text), text)


def _moment(seconds: object) -> object:
    if not isinstance(seconds, int) or not FORM.earliest <= seconds <= FORM.latest:
        return seconds
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat()


def with_initials_of(shown: Mapping[str, Any], view: dict[str, Any]) -> dict[str, Any]:
    """Return a view that replaces another, beginning with the same values where the inputs are the same.

    Slack goes on showing what an input began with, whatever the new view says (github.com/slackapi/bolt-python/issues/
    1064): what is recorded must be what the person saw.
    """
    before = {block.get("block_id"): block.get("element") or {} for block in shown.get("blocks") or ()}
    blocks = [
        {**block, "element": _beginning_as(before[block["block_id"]], block["element"])}
        if block.get("element") and block.get("block_id") in before
        else block
        for block in view["blocks"]
    ]
    return {**view, "blocks": blocks}


def _beginning_as(before: Mapping[str, Any], element: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in element.items() if not name.startswith("initial_")}
    options = {option["value"]: option for option in element.get("options") or ()}
    for name, value in before.items():
        if name == "initial_option" and value.get("value") in options:
            kept[name] = options[value["value"]]
        elif name == "initial_options":
            kept[name] = [options[one["value"]] for one in value if one.get("value") in options]
        elif name.startswith("initial_") and name not in {"initial_option", "initial_options"}:
            kept[name] = value
    return kept
