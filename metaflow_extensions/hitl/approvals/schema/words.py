"""What a field accepts, in words for people."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches

from metaflow_extensions.hitl.approvals.schema.fields import LONGEST_TEXT, NOUNS, TEXTUAL, Field, Kind

WHOLE_PATTERN = ("^(?:", r")$(?!\n)")
"""What stands around a pattern that the whole value must match. ``$`` alone lets a line break pass in Python; the part
behind it says the same in every dialect of regular expressions."""

_CHOICES_SHOWN = 10
_PATTERN_SHOWN = 100


def accepted(field: Field) -> str:
    """Say what a field accepts: "a whole number from 1 to 100"."""
    if field.kind is Kind.CHOICE:
        return f"one of {_listed(field.choices)}"
    if field.kind is Kind.MULTICHOICE:
        least, most = field.min_length or None, field.max_length
        count = _between(least, most) if least or most is not None else "any"
        return f"{count} of {_listed(field.choices)}, each once"
    parts = [NOUNS[field.kind]]
    if field.kind in TEXTUAL:
        parts.append(_characters(field))
    if field.kind in {Kind.INT, Kind.FLOAT}:
        parts.append(_range(field))
    if field.pattern is not None:
        parts.append(f"that matches {_shown(field.pattern)}")
    return " ".join(part for part in parts if part)


def bounds(field: Field) -> str:
    """Say what limits a field has beyond its type; empty if it has none, or if its input shows them itself."""
    words = accepted(field)
    if field.kind is Kind.CHOICE or words == NOUNS.get(field.kind):
        return ""
    if field.kind is Kind.MULTICHOICE:
        return f"Choose {words.partition(' of ')[0]}" if field.min_length or field.max_length is not None else ""
    return words[:1].upper() + words[1:]


def _characters(field: Field) -> str:
    """A least length of 1 means filled in, and a greatest that the author did not choose is of no interest."""
    most = None if field.max_length == LONGEST_TEXT else field.max_length
    if most is None and (field.min_length or 0) <= 1:
        return ""
    return f"of {_between(field.min_length, most)} characters"


def _between(least: int | None, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    if not least:
        return f"at most {most}"
    return str(least) if least == most else f"{least} to {most}"


def _range(field: Field) -> str:
    if field.min is not None and field.max is not None and field.above is None and field.below is None:
        return f"from {plain_digits(field.min)} to {plain_digits(field.max)}"
    limits = {"at least": field.min, "at most": field.max, "above": field.above, "below": field.below}
    return " and ".join(f"{word} {plain_digits(limit)}" for word, limit in limits.items() if limit is not None)


def _shown(pattern: str) -> str:
    before, after = WHOLE_PATTERN
    if pattern.startswith(before) and pattern.endswith(after):
        pattern = pattern[len(before) : -len(after)]
    return pattern if len(pattern) <= _PATTERN_SHOWN else pattern[: _PATTERN_SHOWN - 1] + "…"


def _listed(choices: tuple[str | int | float, ...]) -> str:
    texts = [choice_text(choice) for choice in choices]
    if len(texts) <= _CHOICES_SHOWN:
        return ", ".join(texts)
    return f"{', '.join(texts[:_CHOICES_SHOWN])}, … ({len(texts)} in all)"


def choice_text(choice: str | float) -> str:
    """Return what a choice looks like in a form and on a command line."""
    return choice if isinstance(choice, str) else repr(choice)


def plain_digits(number: float) -> str:
    """Write a number without an exponent, so that it can be typed: ``0.0000001``, not ``1e-07``."""
    return format(Decimal(repr(number)), "f")


def close_match(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, if one is near."""
    near = get_close_matches(name, list(known), n=1)
    return near[0] if near else None
