"""An author's patterns, tried with a time limit: some never end on thirty characters, and a bot serves everybody.

``regex`` reads what Python's ``re`` reads, lets other threads work while it does, and stops when its time is over.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product

import regex

from metaflow_extensions.hitl.approvals.schema import InputSchemaError, fields

LONGEST_INPUT = 3000  # characters; as many as Slack's own text input takes
LONGEST_PATTERN = 1000
_LIMIT = 0.5  # seconds for one value: far more than any pattern needs that is not a trap
_PROBE_LIMIT = 0.05  # seconds for one of the texts that a trap is looked for with
_REPEATS = 40
_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}


class PatternTooSlow(Exception):
    """The pattern could not be tried on this value in time."""


def matches(pattern: str, text: str) -> bool:
    """Say whether a pattern is found in a text, as JSON Schema's ``pattern`` asks.

    Raises
    ------
    PatternTooSlow
        The text is longer than 3,000 characters, or half a second was not enough. Also for a pattern that is none.
    """
    if len(text) > LONGEST_INPUT or len(pattern) > LONGEST_PATTERN:
        raise PatternTooSlow
    try:
        return regex.search(pattern, text, timeout=_LIMIT, concurrent=True) is not None
    except (TimeoutError, regex.error, RecursionError, MemoryError) as error:
        raise PatternTooSlow from error


def trap(pattern: str) -> str | None:
    """Say why a pattern can't be offered to people: too long, or a text was found that it takes too long to judge.

    A pattern that passes may still be slow on some other text; ``matches`` stops it then.
    """
    if len(pattern) > LONGEST_PATTERN:
        return f"the pattern has {len(pattern):,} characters; at most {LONGEST_PATTERN:,} are accepted"
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, MemoryError) as error:
        return f"the pattern can't be used: {error}"
    slow = next((probe for probe in _probes(pattern) if _is_slow(compiled, probe)), None)
    if slow is None:
        return None
    return (
        f"the pattern takes too long on a value such as {slow[:20].rstrip(chr(0))!r}…, because its parts can match the "
        "same characters in many ways. Write it so that each character can be matched in one way only"
    )


def _is_slow(compiled: regex.Pattern[str], text: str) -> bool:
    try:
        compiled.search(text, timeout=_PROBE_LIMIT)
    except TimeoutError:
        return True
    return False


def check_patterns(schema: Mapping[str, object] | None) -> None:
    """Raise InputSchemaError about the first pattern of a schema in normal form that can't be offered to people."""
    for field in fields(schema or {}):
        pattern = (field.item or field).pattern
        problem = None if pattern is None else trap(pattern)
        if problem is not None:
            raise InputSchemaError(problem, field=field.name)


def _probes(pattern: str) -> Iterator[str]:
    """Yield texts that repeat what the pattern has characters for, and fail at the end."""
    letters = list(dict.fromkeys(_characters(pattern)))[:8] or ["a"]
    (literal,) = re.findall(r"\A[\^(?:]*([A-Za-z0-9_ :/@-]*)", pattern)
    for beginning, unit in product(dict.fromkeys(("", literal)), [*letters, *map("".join, product(letters, letters))]):
        yield f"{beginning}{unit * _REPEATS}\0"


def _characters(pattern: str) -> Iterator[str]:
    for escaped, plain in re.findall(r"\\(.)|(\w|[-@.,:;/ ])", pattern, re.DOTALL):
        if plain == ".":
            yield "a"
        elif plain:
            yield plain
        else:
            yield _CLASSES.get(escaped, "" if escaped.isalnum() else escaped) or "a"
