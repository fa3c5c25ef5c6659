"""How approvers are named: by a person's id, an email address, or a user group. And whom a name fits."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metaflow_extensions.hitl.approvals.record import Person

_ID = re.compile(r"[UWS][A-Z0-9]{2,30}")  # of a person or a group
_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")  # in ASCII, without blanks, and with one @
_HANDLE = re.compile(r"@[^\s@,;]+")
_GROUP = re.compile(r"@[^@]+|S[A-Z0-9]+")  # a handle, or the id of a group (S0614TZR7)


def is_group(name: str) -> bool:
    """Whether an approver is named as a user group: ``@handle``, or the group's id."""
    return _GROUP.fullmatch(name) is not None


def problem_with(name: str) -> str:
    """Say why nobody can ever be this approver; empty if somebody may be."""
    if name.startswith("@"):
        if _HANDLE.fullmatch(name) is None:
            return f"{name!r} is not one handle. Write each group by itself, such as '@ml-leads'."
        return (
            "" if name == name.lower() else f"handles are in lowercase letters: write {name.lower()!r}, not {name!r}."
        )
    if "@" in name:
        fits = _ADDRESS.fullmatch(name) is not None and not set(name) & set(",;<>")
        return "" if fits else f"{name!r} is not one email address. Write each address by itself, in ASCII letters."
    if _ID.fullmatch(name):
        return ""
    if _ID.fullmatch(name.upper()) and name.isascii() and any(letter.isdigit() for letter in name):
        return f"IDs are in uppercase letters: write {name.upper()!r}, not {name!r}."
    return (
        f"nobody can be {name!r}. Name a group with an @ ('@ml-leads'), or a person by email address or member ID "
        "('U024BE7LH')."
    )


def named_among(person: Person, names: Iterable[str]) -> bool:
    """Whether one of these names is this person's id or email address.

    A name that nobody vouches for equals none of them. Addresses are compared without regard to case, in ASCII alone:
    a Kelvin sign folds to ``k``, and is not one.
    """
    if not person.is_vouched_for:
        return False
    address = _folded(person.email) if person.email else None
    return any(name == person.id or (address is not None and _folded(name) == address) for name in names)


def _folded(address: str) -> str | None:
    return address.lower() if address.isascii() and "@" in address else None
