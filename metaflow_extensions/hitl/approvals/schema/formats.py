"""The formats that a text can have, each as a question about one string.

The ``jsonschema`` library asks these same functions, so a value can't be judged in two ways, and no optional package
decides whether a format is checked at all.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from urllib.parse import urlsplit

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<hour>\d{2}:\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r" ?(?P<offset>[Zz]|[+-]\d{2}:\d{2})?",
    re.ASCII,
)
_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(?:\.[^@\s<>,;.]+)*")
_USER = re.compile(r"[A-Z][A-Z0-9]{2,30}", re.ASCII)
_EMAIL_MOST = 254  # RFC 5321, 4.5.3.1.3: a path of 256 with its angle brackets


def read_date(text: str) -> date | None:
    """Read ``2026-11-24``; None for anything else, ISO 8601's other spellings included."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read_datetime(text: str) -> datetime | None:
    """Read ``2026-11-24T17:00`` with or without seconds, up to six decimals of them, and an offset; else None.

    The result is aware: without an offset the time is taken as UTC.
    """
    found = _DATETIME.fullmatch(text)
    if found is None:
        return None
    offset = (found["offset"] or "Z").upper().replace("Z", "+00:00")
    # Python 3.10 reads three or six decimals only.
    fraction = f".{found['fraction']:0<6}" if found["fraction"] else ""
    try:
        moment = datetime.fromisoformat(f"{found['day']}T{found['hour']}:{found['second'] or '00'}{fraction}{offset}")
        moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):  # the 30th of February; the first of January of year 1, east of Greenwich
        return None
    return moment


def is_date(text: str) -> bool:
    return read_date(text) is not None


def is_instant(text: str) -> bool:
    """A date and time as a record keeps it: what ``datetime.isoformat`` writes for an aware one."""
    moment = read_datetime(text)
    return moment is not None and moment.isoformat() == text


def is_email(text: str) -> bool:
    """Something, an @, and a host; a mail server alone knows more."""
    return len(text) <= _EMAIL_MOST and _EMAIL.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """A scheme, ``://`` and a host (or bucket); no spaces and no control characters."""
    if "://" not in text or any(character.isspace() or not character.isprintable() for character in text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and parts.hostname)
    except ValueError:  # a bracket of an IPv6 address that is never closed
        return False


def is_user(text: str) -> bool:
    """An id as chat systems write them: a capital letter, then capital letters and digits."""
    return _USER.fullmatch(text) is not None


FORMATS = {"date": is_date, "date-time": is_instant, "email": is_email, "uri": is_url, "user-id": is_user}
"""The check behind each ``format`` of a schema in normal form."""
