"""Where a ledger keeps what, and what a key says. Keys sort as their meaning does, so that a LIST comes in order."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta, timezone

from metaflow_extensions.hitl.approvals.errors import CorruptRecord
from metaflow_extensions.hitl.approvals.ledger.entries import Change
from metaflow_extensions.hitl.approvals.pathspec import Pathspec, checked_id, is_id

APPROVED = "approved/"
ASKED = "asked/"
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


def approved_folder(flow: str, step: str, shard: str | None) -> str:
    """Return where approvals of a step are: in a foreach of each shard by itself, by what it works on."""
    place = "-" if shard is None else hashlib.sha256(shard.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{APPROVED}{flow}/{step}/{place}/"


def asked_folder(flow: str, step: str, shard: str | None) -> str:
    """Return where the open questions are that a newer one may take the place of; of each shard by itself."""
    return ASKED + approved_folder(flow, step, shard).removeprefix(APPROVED)


def asked_key(pathspec: Pathspec, shard: str | None, approval_id: str, at: datetime) -> str:
    return f"{asked_folder(pathspec.flow, pathspec.step, shard)}{_newest_first(at)}-{approval_id}"


def approved_key(pathspec: Pathspec, shard: str | None, approval_id: str, at: datetime) -> str:
    folder = approved_folder(pathspec.flow, pathspec.step, shard)
    return f"{folder}{_newest_first(at)}-{approval_id}"


def decided_key(pathspec: Pathspec, approval_id: str, at: datetime) -> str:
    return f"{decided_folder(pathspec.flow, pathspec.step)}{_newest_first(at)}-{approval_id}"


def _newest_first(at: datetime) -> str:
    return f"{_LATEST - int(at.timestamp() * 1_000_000):016d}"


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
