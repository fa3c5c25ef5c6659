"""Refuse, when the flow is loaded, what could not be shown when somebody wants to answer."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain

from .fields import (
    TEXTUAL,
    Field,
    InputSchemaError,
    Kind,
    accepted,
    as_list,
    as_number,
    choice_text,
    plain_digits,
    read_datetime,
)
from .values import fits, storable

# What a chat system can show of a form. The adapter of each has its numbers.

_ANY = sys.maxsize


@dataclass(frozen=True, kw_only=True)
class FormLimits:
    """The limits of a form. The defaults set no limit.

    Attributes
    ----------
    system : str
        How people call what shows the form; errors name it.
    fields : int
        How many fit below the question.
    total_bytes : int
        Of all fields together, in JSON.
    field_bytes, option_bytes : int
        What a field and one of its choices take at most, beside their words.
    label, help, placeholder, choice, text : int
        Characters.
    choices : int
        Of one field.
    earliest, latest : int
        Moments, in seconds since 1970.
    """

    system: str = "the form"
    fields: int = _ANY
    total_bytes: int = _ANY
    field_bytes: int = 0
    option_bytes: int = 0
    label: int = _ANY
    help: int = _ANY
    placeholder: int = _ANY
    choices: int = _ANY
    choice: int = _ANY
    text: int = _ANY
    earliest: int = -_ANY
    latest: int = _ANY


UNLIMITED = FormLimits()

# Refuse, when the flow is loaded, what could not be shown when somebody wants to answer.


def refuse_unshowable(form: Iterable[Field], limits: FormLimits) -> None:
    """Raise InputSchemaError for the first field that contradicts itself or goes over one of the limits."""
    total = 0
    for field in form:
        for what in chain(
            _words(field, limits), _limits(field, limits), _choices(field, limits), _default(field, limits)
        ):
            raise InputSchemaError(what, field=field.name)
        total += _bytes(field, limits)
        if total > limits.total_bytes:
            raise InputSchemaError(
                f"with it the form is too large: {limits.system} takes {limits.total_bytes:,} bytes of fields. "
                "Shorten labels, help, choices or defaults.",
                field=field.name,
            )


# Each of these yields what is wrong; only the first is ever asked for, so the later lines may rely on the earlier.


def _words(field: Field, limits: FormLimits) -> Iterator[str]:
    if len(field.label) > limits.label:
        yield f"the label has {len(field.label):,} characters; {limits.system} shows at most {limits.label:,}"
    if field.help is not None and len(field.help) > limits.help:
        yield f"the help has {len(field.help):,} characters; {limits.system} shows at most {limits.help:,}"
    if not all(storable(words) for words in (field.label, field.help, field.pattern)):
        yield "the label, the help or the pattern holds half a character (a lone surrogate)"


def _limits(field: Field, limits: FormLimits) -> Iterator[str]:
    if not all(storable(number) for number in (field.min, field.max, field.above, field.below)):
        yield "a limit is infinite, not a number, or has more than 999 digits"
    if _is_void(field):
        yield f"no value can be {accepted(field)}"
    least, most = field.min_length or 0, field.max_length
    if field.kind in TEXTUAL and max(least, most or 0) > limits.text:
        yield f"a length of {max(least, most or 0):,} is too much; {limits.system} takes {limits.text:,} characters"
    if field.item is not None:
        yield from _limits(field.item, limits)
        if 2 * least > limits.text:
            yield f"at least {least:,} items are too many; {limits.system} takes {limits.text:,} characters"
    if field.kind is Kind.MULTICHOICE and least > len(field.choices):
        yield f"at least {least:,} of {len(field.choices)} choices can't be made"
    if most == 0:
        yield "a maximum length of 0 leaves nothing to enter"
    if most is not None and least > most:
        yield f"the minimum length, {least:,}, is more than the maximum, {most:,}"


def _is_void(field: Field) -> bool:
    """Say whether the limits of a number leave none."""
    lows = [low for low in (field.min, field.above) if low is not None]
    highs = [high for high in (field.max, field.below) if high is not None]
    if not lows or not highs:
        return False
    low, high = max(lows), min(highs)
    return low > high or (low == high and (low == field.above or high == field.below))


def _choices(field: Field, limits: FormLimits) -> Iterator[str]:
    if field.kind not in {Kind.CHOICE, Kind.MULTICHOICE}:
        return
    if not field.choices:
        yield "there are no choices"
    if len(field.choices) > limits.choices:
        yield f"{len(field.choices)} choices are too many; {limits.system} shows at most {limits.choices}"
    seen: set[str | int | float] = set()
    for choice in field.choices:
        if not storable(choice):
            yield "a choice is infinite, not a number, or not a complete string"
        text = choice_text(choice)
        if not text or text != text.strip() or not text.isprintable():
            yield f"the choice {choice!r} is empty, or has control characters or space around it"
        if len(text) > limits.choice:
            yield f"the choice {text[:20]}… has {len(text):,} characters; {limits.system} shows at most {limits.choice}"
        if text in seen or choice in seen:
            yield f"the choice {text!r} is there twice"
        seen |= {text, choice}
    yield from _titles(field, limits)


def _titles(field: Field, limits: FormLimits) -> Iterator[str]:
    for title in field.titles:
        if not title or title != title.strip() or not title.isprintable() or len(title) > limits.choice:
            yield (
                f"the title {title[:20]!r} of a choice must have 1 to {limits.choice} characters, and no control "
                "characters or space around it"
            )
        if field.titles.count(title) > 1:
            yield f"the title {title!r} is there twice"


def _default(field: Field, limits: FormLimits) -> Iterator[str]:
    if field.default is None:
        return
    if not storable(field.default) or not fits(field, field.default) or not _matches(field):
        yield f"the default does not fit: it must be {accepted(field)}"
    moment = read_datetime(str(field.default)) if field.kind is Kind.DATETIME else None
    if moment is not None and not limits.earliest <= moment.timestamp() <= limits.latest:
        first, last = (datetime.fromtimestamp(at, tz=timezone.utc) for at in (limits.earliest, limits.latest))
        yield (
            f"the default is a moment that {limits.system} can't show; it must lie between "
            f"{first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"
        )


def _matches(field: Field) -> bool:
    # The author's own pattern on the author's own default, in the author's own process: nobody else waits for it.
    item = field.item or field
    values = as_list(field.default) if field.item else [field.default]
    return item.pattern is None or all(re.search(item.pattern, str(value)) for value in values or [])


def _bytes(field: Field, limits: FormLimits) -> int:
    """Return no less than the field's input block takes in JSON, every character outside ASCII written as an escape."""
    options = sum(
        limits.option_bytes + len(json.dumps(title)) + len(json.dumps(choice_text(choice)))
        for title, choice in field.labelled
    )
    chosen = options if field.default is not None else 0
    words = (field.label, field.help, field.default, accepted(field)[: limits.placeholder])
    numbers = (as_number(field.default), field.min, field.max)
    digits = sum(len(plain_digits(number)) for number in numbers if number is not None)
    return limits.field_bytes + options + chosen + sum(len(json.dumps(text)) for text in words) + digits
