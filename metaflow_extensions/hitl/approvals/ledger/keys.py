"""Where a ledger keeps what, and what a key says. Keys sort as their meaning does, so that a LIST comes in order."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.approvals.ledger.entries import Change
from metaflow_extensions.hitl.approvals.pathspec import Pathspec, checked_id, is_id

CHANGES = "changes/"
DECIDED = "decided/"
OPEN = "open/"

_VERSION = re.compile(r"(\d{5,})\.json")
_CHANGE = re.compile(r"changes/(\d{8}T\d{12}Z)-([a-z0-9-]+)-(\d+)")
_DECIDED = re.compile(r"(\d{16})-([a-z0-9-]+)")
_STAMP = "%Y%m%dT%H%M%S%fZ"
_LATEST = 10**16  # microseconds; counting down from the year 2286 sorts the newest first


def folder(approval_id: str) -> str:
    return f"approvals/{checked_id(approval_id)}/"


def version_key(approval_id: str, number: int) -> str:
    return f"{folder(approval_id)}{number:05d}.json"


def version_number(key: str) -> int:
    match = _VERSION.fullmatch(key.rsplit("/", 1)[1])
    if not match:
        raise CorruptRecord(key, "no version has such a name")
    return int(match[1])


def open_key(approval_id: str) -> str:
    return f"{OPEN}{approval_id}"


def claim_key(approval_id: str, what: str, *, now: datetime, during: timedelta) -> str:
    span = int(now.timestamp() // during.total_seconds())
    return f"claims/{checked_id(approval_id)}/{what}-{span:010d}"


def change_key(at: datetime) -> str:
    """Return where the tail's markers of this moment begin."""
    return f"{CHANGES}{at.astimezone(timezone.utc).strftime(_STAMP)}"


def retention_start(now: datetime) -> datetime:
    """Before this, the tail's markers may go: a sweeper that was down for longer reads all of ``open/`` anyway."""
    return now - timedelta(days=7)


def change(key: str) -> Change | None:
    """Read a marker of the tail; None if it is no such marker."""
    match = _CHANGE.fullmatch(key)
    at = _unstamped(match[1]) if match else None
    if match is None or at is None or not is_id(match[2]):
        return None
    return Change(key=key, at=at, approval_id=match[2], number=int(match[3]))


def decided_folder(flow: str, step: str) -> str:
    return f"{DECIDED}{flow}/{step}/"


def decided_key(pathspec: Pathspec, approval_id: str, at: datetime) -> str:
    newest_first = _LATEST - int(at.timestamp() * 1_000_000)
    return f"{decided_folder(pathspec.flow, pathspec.step)}{newest_first:016d}-{approval_id}"


def decided(key: str) -> tuple[datetime, str] | None:
    """Read when and what was decided, by a marker of the history; None if it is no such marker."""
    match = _DECIDED.fullmatch(key.rsplit("/", 1)[1])
    if match is None:
        return None
    return datetime.fromtimestamp((_LATEST - int(match[1])) / 1_000_000, timezone.utc), match[2]


def _unstamped(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return None  # a day that no calendar has
