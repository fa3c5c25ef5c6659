"""``hitl:NAME=VALUE,…``: the decorator as text, as ``--with`` and ``METAFLOW_DECOSPECS`` have it.

Metaflow turns such a text into values and back (``Decorator.parse_decorator_spec``, ``make_decorator_spec``) and loses
something each time: ``False`` comes back as the text "False", ``None`` as the default, and a comma ends a message. So
what a person writes is read here by the kind of the argument, and what Metaflow passes on to its own commands is one
encoded argument, safe from commas, quotes and shells.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Any

ENCODED = "encoded"  # the argument that holds all the others
_TEXTS = frozenset({"message", "channel"})  # never a number, whatever they look like
_NEXT = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)")
_WORDS = {"true": True, "false": False, "none": None, "null": None}


def encode(arguments: Mapping[str, Any]) -> str:
    """Write arguments so that ``parse`` returns the same."""
    body = json.dumps(arguments, ensure_ascii=False, separators=(",", ":")).encode()
    return f"{ENCODED}={urlsafe_b64encode(body).decode().rstrip('=')}"


def parse(text: str, names: Collection[str]) -> dict[str, Any]:
    """Read what comes after ``hitl:``.

    Parameters
    ----------
    text : str
        ``NAME=VALUE,NAME=VALUE``.
    names : Collection[str]
        Of the arguments there are. A comma in a text ends it only where one of them follows.

    Raises
    ------
    ValueError
        A part has no ``=``, or the encoded arguments are damaged.
    """
    if not text.strip():
        return {}
    arguments: dict[str, Any] = {}
    before = ""
    for part in _NEXT.split(text):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if before in _TEXTS and name not in {*names, ENCODED}:
            arguments[before] += f",{part}"
            continue
        if not equals or not name:
            raise ValueError(f"--with hitl:{text} needs NAME=VALUE, not {part!r}.")
        arguments[name] = _value(name, value)
        before = name
    encoded = arguments.pop(ENCODED, None)
    return arguments if encoded is None else {**arguments, **_decoded(str(encoded))}


def _value(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    if name == ENCODED or text.lower() in _WORDS:
        return _WORDS.get(text.lower(), text)
    try:
        # A shell that took one level of quotes away leaves \" where JSON has ".
        return json.loads(text.replace('\\"', '"'))
    except ValueError:
        return text


def _decoded(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise ValueError(f"--with hitl:{ENCODED}=… is damaged. Write the arguments as NAME=VALUE.") from error
    if not isinstance(arguments, dict):
        raise ValueError(f"--with hitl:{ENCODED}=… is damaged. Write the arguments as NAME=VALUE.")  # noqa: TRY004
    return arguments
