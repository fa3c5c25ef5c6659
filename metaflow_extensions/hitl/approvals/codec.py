"""The record as JSON. Reading is strict: what is not understood to the letter does not open a gate."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import Any, cast, get_type_hints

from metaflow_extensions.hitl.approvals import question, record, requirements
from metaflow_extensions.hitl.approvals.errors import (
    CorruptRecord,
    HitlError,
    NewerFormat,
    NotVouchedFor,
    OlderFormat,
    RecordError,
)
from metaflow_extensions.hitl.approvals.events import TrailEvent, read_event
from metaflow_extensions.hitl.approvals.evidence import collected, metric
from metaflow_extensions.hitl.approvals.features import check_required, required
from metaflow_extensions.hitl.approvals.record import Approval
from metaflow_extensions.hitl.approvals.schema.fields import fields as form_fields
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.approvals.typed import Unreadable, reader

FORMAT = 2
_ENVELOPE = ("format", "requires", "version", "previous", "event", "at", "key", "store", "signature", "sha256")
_KIND = "version"  # of what is signed
_CHECKSUM = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n\}')
_CHECKSUM_LENGTH = len(',\n "sha256": ""\n}') + 64


class NotJson(RecordError):
    """What should be recorded is not JSON: NaN, an infinite number, an object of Python's, or nested too deep."""

    def __init__(self, approval_id: str, cause: Exception) -> None:
        super().__init__(f"This can't be recorded for {approval_id}: {cause}. Nothing was written; use plain JSON.")


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable object of a ledger: the whole approval, and its place in the chain."""

    number: int  # from 1
    previous: str | None  # SHA-256 of the object before, in hex; None for the first
    event: TrailEvent | str  # what this version adds; a word that this release does not know is a later release's
    at: datetime
    approval: Approval
    key: str | None = None  # the id of the bot's key that signed it


def encode(version: Version, trust: Trust = OPEN, *, store: str = "") -> bytes:
    """Write a version as UTF-8 JSON, the same bytes for the same version, and sign it where something signs.

    Text comes back as it was, but for one thing that JSON can't tell apart: the two halves of a surrogate pair, as two
    characters, come back as the one character that they stand for.

    Raises
    ------
    NotJson
        A value has no JSON. Nothing may be written.
    """
    try:
        document = _document(version)
        if version.key is not None:
            document = {**document, "key": version.key, "store": store}
        return with_checksum(document, trust=trust, kind=_KIND)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(version.approval.id, error) from error


def with_checksum(document: dict[str, Any], *, trust: Trust, kind: str) -> bytes:
    """Write a document, signed if it names a key, with the SHA-256 of its bytes at the end, which finds damage."""
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    # A lone surrogate can't be UTF-8; written as the escape \\udXXX it is still the same JSON.
    body = trust.sign(kind, document.get("key"), text.encode("utf-8", "backslashreplace"))
    return b'%b,\n "sha256": "%b"\n}' % (body.removesuffix(b"\n}"), hashlib.sha256(body).hexdigest().encode())


def without_checksum(key: str, body: bytes) -> bytes:
    """Return what ``with_checksum`` wrote without its last line; raise CorruptRecord if it wrote something else."""
    match = _CHECKSUM.fullmatch(body[-_CHECKSUM_LENGTH:])
    whole = body[:-_CHECKSUM_LENGTH] + b"\n}"
    if match is None or hashlib.sha256(whole).hexdigest().encode() != match[1]:
        raise CorruptRecord(key, "the hash at its end is not that of its bytes")
    return whole


def plain_approval(approval: Approval) -> dict[str, Any]:
    """Return an approval as a JSON object, which ``read_approval`` reads."""
    body: dict[str, Any] = _plain(approval)
    unknown = body.pop("unknown")
    del body["vouched_by"]  # nobody vouches for themselves: it is what a reader found
    return {**body, **unknown}


def _document(version: Version) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "requires": required(version.approval),
        "version": version.number,
        "previous": version.previous,
        "event": str(version.event),
        "at": _plain(version.at),
        **plain_approval(version.approval),
    }


def decode(key: str, body: bytes, trust: Trust = OPEN, *, store: str = "") -> Version:
    """Read a version.

    Raises
    ------
    CorruptRecord
        It is truncated, damaged, no JSON, or a value has another type than it should.
    NewerFormat, OlderFormat
        Another release wrote it in a way that this one can't read.
    """
    try:
        document = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(key, f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise CorruptRecord(key, "it is not a JSON object")
    document = cast("dict[str, Any]", document)
    written = document.get("format")
    if type(written) is not int or written < 1:
        raise CorruptRecord(key, "it does not say its format")
    # Before everything else: a later release may seal in another way, too.
    if written > FORMAT:
        raise NewerFormat(key, written, FORMAT)
    if written < FORMAT:
        raise OlderFormat(key, written, FORMAT)
    vouched_by = trust.check(key, _KIND, document.get("key"), without_checksum(key, body))
    if vouched_by is not None and document.get("store") != store:
        raise NotVouchedFor(key, f"it was signed for another store, {document.get('store')!r}")
    check_required(key, document.get("requires"))
    approval = read_approval(key, document)
    try:
        envelope = _ENVELOPE_OF(document)
    except Unreadable as error:
        raise CorruptRecord(key, str(error)) from error
    return Version(
        number=envelope.version,
        previous=envelope.previous,
        event=read_event(envelope.event),
        at=envelope.at,
        approval=replace(approval, vouched_by=vouched_by),
        key=envelope.key,
    )


def read_approval(key: str, document: dict[str, Any]) -> Approval:
    """Read an approval from a JSON object.

    Raises
    ------
    CorruptRecord
        A value has another type than it should, or the approval is another than its pathspec says.
    """
    try:
        unknown = {name: value for name, value in document.items() if name not in _KNOWN and name not in _ENVELOPE}
        approval: Approval = _APPROVAL({**document, "unknown": unknown})
        if approval.question.schema:
            form_fields(approval.question.schema)  # what no form can show would fail wherever it is to be shown
    except (Unreadable, HitlError) as error:
        raise CorruptRecord(key, str(error)) from error
    except Exception as error:
        # Whatever else a value brings about is this record's own fault, and must not reach whoever reads many.
        raise CorruptRecord(key, f"it can't be read ({type(error).__name__}: {error})") from error
    if approval.id != approval.pathspec.approval_id:
        raise CorruptRecord(key, f"the id {approval.id} does not follow from {approval.pathspec}")
    return approval


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")  # as 1e999 is; it could not be written again
    return number


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    # The record's annotations are strings, and some of the names stand under TYPE_CHECKING there.
    return get_type_hints(
        cls,
        globalns={
            **vars(metric),
            **vars(collected),
            **vars(question),
            **vars(requirements),
            **vars(record),
            "datetime": datetime,
            "Mapping": Mapping,
        },
    )


@dataclass(frozen=True, kw_only=True)
class _Envelope:
    version: int
    previous: str | None = None
    event: str
    at: datetime
    key: str | None = None


_KNOWN = frozenset(field.name for field in fields(Approval)) - {"unknown", "vouched_by"}
_APPROVAL = reader(Approval, _hints)
_ENVELOPE_OF = reader(_Envelope, _hints)
