"""Timeouts as an author writes them, and spans of time as a person reads them."""

import re

from .errors import HitlError

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_COUNT = r"[0-9]{1,9}"  # ASCII; nine digits are 31 years in seconds
_WRITTEN = re.compile(" *".join(rf"(?:({_COUNT}) *{unit})?" for unit in _UNITS))
_LONGEST = 366 * 86_400  # a gate that waits for longer than a year is a mistake in the unit


class BadDuration(HitlError, ValueError):
    """This is not a duration. Use "30m", "24h", "7d", "1h30m", or a number of seconds, up to 366 days."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(
            f"{value!r} is not a valid `{name}`. "
            'Use "30m", "24h", "7d", "1h30m" or a number of seconds, up to 366 days.'
        )


def parse_duration(name: str, value: object) -> int:
    """Read a span of time.

    Parameters
    ----------
    name : str
        The setting it was written for; the error names it.
    value : object
        Days, hours, minutes and seconds in this order (``"1h30m"``), or a positive whole number of seconds.

    Returns
    -------
    int
        Seconds, from 1 to 366 days.

    Raises
    ------
    BadDuration
        It is anything else.
    """
    seconds = 0
    if isinstance(value, str):
        text = value.strip().lower()
        if match := _WRITTEN.fullmatch(text):
            seconds = sum(int(number or 0) * unit for number, unit in zip(match.groups(), _UNITS.values(), strict=True))
        elif re.fullmatch(_COUNT, text):
            seconds = int(text)
    elif isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    if not 0 < seconds <= _LONGEST:
        raise BadDuration(name, value)
    return seconds


def in_words(seconds: float) -> str:
    """Say a span of time as briefly as a person would: ``45 s``, ``3 min``, ``2 h 5 min``, ``3 d``."""
    left = max(0, int(seconds))
    if left < _UNITS["m"]:
        return f"{left} s"
    if left < _UNITS["h"]:
        return f"{left // 60} min"
    large, small = ("d", "h") if left >= _UNITS["d"] else ("h", "min")
    unit, part = (86_400, 3_600) if large == "d" else (3_600, 60)
    rest = left % unit // part
    return f"{left // unit} {large} {rest} {small}" if rest else f"{left // unit} {large}"
