"""What every store promises: which keys it takes, and the proof that a key is created once."""

from unicodedata import category

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import BadKey, KeyMissing, KeyTaken, StoreUnfit
from metaflow_extensions.hitl.approvals.ports import Store

LONGEST_PART = 255
"""Bytes of UTF-8 between two slashes: what a file name may have on the usual file systems (NAME_MAX)."""

LONGEST_KEY = 1024
"""Bytes of UTF-8, with the store's own prefix: what S3 takes (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

_SHOWN = 120


def checked(key: str) -> str:
    """Return the key as it came.

    Raises
    ------
    BadKey
        A part between slashes is empty, begins with a dot, holds a control character or is longer than
        ``LONGEST_PART``; or the whole is longer than ``LONGEST_KEY``.
    """
    for part in key.split("/"):
        _check_part(part, key)
    return _check_length(key)


def checked_prefix(prefix: str) -> str:
    """Return the prefix as it came: as ``checked``, but its last part may be the beginning of one, or empty."""
    *parts, rest = prefix.split("/")
    for part in parts:
        _check_part(part, prefix)
    if rest:
        _check_part(rest, prefix)
    return _check_length(prefix)


def is_part(name: str) -> bool:
    """Tell whether a key can have this between two slashes; a file that somebody else left may not."""
    return not _fault(name)


def _check_part(part: str, key: str) -> None:
    if fault := _fault(part):
        raise BadKey(f"{_shown(key)} can't be a key: {fault}.")


def _check_length(key: str) -> str:
    if (length := len(key.encode())) > LONGEST_KEY:
        raise BadKey(f"{_shown(key)} can't be a key: it has {length} bytes, and the limit is {LONGEST_KEY}.")
    return key


def _fault(part: str) -> str:
    if not part:
        return "it is empty, or has a slash at the beginning, at the end or next to another"
    if part.startswith("."):
        # `.` and `..` lead elsewhere on a disk; the other names with a dot are for a store's own use.
        return "a part of it begins with a dot"
    plain = part.isascii() and part.isprintable()  # as almost every key is; to look at each character takes longer
    if not plain and any(category(character) in {"Cc", "Cs"} for character in part):
        return "it has a control character or half of a surrogate pair"
    if len(part.encode()) > LONGEST_PART:
        return f"a part of it is longer than {LONGEST_PART} bytes"
    return ""


def _shown(key: str) -> str:
    return ascii(key if len(key) <= _SHOWN else key[:_SHOWN] + "…")


# The proof that a store keeps the promise on which every decision rests: a key is created once.

_FIRST = b"first"
_SECOND = b"second"


def prove(store: Store, token: str) -> None:
    """Create the key ``probe/<token>`` twice, read it, list it and remove it.

    Parameters
    ----------
    store : Store
        Any store, empty or in use; its other keys stay as they are.
    token : str
        Never used before, so that two proofs at the same moment do not meet.

    Raises
    ------
    StoreUnfit
        The second create was not refused, or what the first one wrote can't be read and listed at once.
    """
    key = bucket.probe_key(token)
    store.create(key, _FIRST)
    try:
        try:
            store.create(key, _SECOND)
        except KeyTaken:
            pass
        else:
            raise StoreUnfit(
                f"The store {store.url} let a second writer overwrite a key, so two answers could both win. "
                "Point METAFLOW_HITL_ROOT at one that honours If-None-Match on PutObject, as Amazon S3 does."
            )
        try:
            kept = store.read(key)
        except KeyMissing:
            kept = None
        if kept != _FIRST or list(store.list(key)) != [key]:
            raise StoreUnfit(
                f"The store {store.url} does not return a key as it was written, right after the write. "
                "Point METAFLOW_HITL_ROOT at one that is strongly consistent, as Amazon S3 is."
            )
    finally:
        store.unmark(key)
