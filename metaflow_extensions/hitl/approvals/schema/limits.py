"""What a chat system can show of a form. The adapter of each has its numbers."""

from __future__ import annotations

import sys
from dataclasses import dataclass

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
