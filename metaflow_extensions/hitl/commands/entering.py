"""The input of an approval as it is typed: ``--input`` with JSON, or ``--set`` with one value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaflow_extensions.hitl.api import parse_input
from metaflow_extensions.hitl.commands.exit_codes import BadEntry


def document(text: str | None) -> dict[str, Any]:
    """Read ``--input``: a JSON object, or ``@`` and the file it is in.

    Raises
    ------
    BadEntry
        It is something else.
    """
    if text is None:
        return {}
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise BadEntry(f"--input {text}: the file can't be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadEntry(
            f'--input is not valid JSON: {error}. Quote it for the shell: --input \'{{"name": "value"}}\''
        ) from error
    if not isinstance(value, dict):
        raise BadEntry('--input must be a JSON object. Write it as \'{"name": "value"}\'.')
    return value


def pairs(values: Sequence[str]) -> dict[str, str]:
    """Read what ``--set`` was given, NAME=VALUE each.

    Raises
    ------
    BadEntry
        One has no name.
    """
    read: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            raise BadEntry(f"--set needs NAME=VALUE, not {value!r}.")
        read[name.strip()] = text
    return read


def entered(schema: dict[str, Any] | None, whole: str | None, values: Sequence[str]) -> dict[str, Any]:
    """Return the input for one approval.

    Parameters
    ----------
    schema : dict, optional
        What the step asks for. Without one, values of ``--set`` stay text.
    whole : str, optional
        What ``--input`` was given.
    values : Sequence[str]
        What ``--set`` was given.

    Raises
    ------
    BadEntry, InvalidInput
        It can't be read, or does not fit.
    """
    if whole is not None and values:
        raise BadEntry("Use either --input (the whole input) or --set (single values), not both.")
    if not values:
        return document(whole)
    return parse_input(schema, pairs(values))
