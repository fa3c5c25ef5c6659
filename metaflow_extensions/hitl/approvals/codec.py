"""The record as JSON. Reading is strict: what is not understood to the letter does not open a gate."""

import hashlib
import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import Any, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from .bucket import FIRST_MOMENT, LAST_MOMENT
from .errors import CorruptRecord, HitlError, NeedsNewer, NewerFormat, NotVouchedFor, OlderFormat, RecordError
from .question import Need, PolicyRule, Question
from .record import Approval, Decision, TrailEvent, Vote, read_event
from .schema.fields import fields as form_fields
from .sealed import OPEN, Trust

# Reading plain JSON values as the types of frozen dataclasses, strictly. A reader is built once for each type.

Reader: TypeAlias = Callable[[Any], Any]
Hints: TypeAlias = Callable[[type], dict[str, Any]]

LARGEST = 10**10
"""A whole number in a record: as seconds some 300 years, so that no moment and no span overflows."""


class Unreadable(Exception):
    """What is wrong, and where in the document."""

    def __init__(self, fault: str, where: str = "") -> None:
        super().__init__(fault)
        self.fault = fault
        self.where = where

    def inside(self, name: str) -> "Unreadable":
        """Say the same with the name of what it is in."""
        dot = "." if self.where and not self.where.startswith("[") else ""
        return Unreadable(self.fault, f"{name}{dot}{self.where}")

    def __str__(self) -> str:
        return f"{self.where or 'it'} {self.fault}"


@cache
def reader(kind: Any, hints: Hints) -> Reader:  # noqa: PLR0911 - one line for each kind of type
    """Return what reads a JSON value as a type.

    Parameters
    ----------
    kind : type
        A dataclass, an enumeration, ``datetime``, a plain type, ``Any``, or an optional, a tuple or a mapping of such.
    hints : Callable[[type], dict[str, Any]]
        The types of a dataclass's fields, by name.

    Returns
    -------
    Callable
        Raises ``Unreadable``.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return _as_it_is
    if origin in (Union, types.UnionType):
        (only,) = [argument for argument in arguments if argument is not type(None)]
        return _optional(reader(only, hints))
    if origin is tuple:
        return _tuple(reader(arguments[0], hints))
    if origin in (dict, Mapping):
        return _mapping
    if is_dataclass(kind):
        return _dataclass(kind, hints)
    if kind is datetime:
        return _moment
    if issubclass(kind, Enum):
        return _enum(kind)
    plain = {str: _text, int: _whole, float: _number, bool: _truth}.get(kind)
    return plain or _word(kind)


def _as_it_is(value: Any) -> Any:
    return value


def _optional(read: Reader) -> Reader:
    def optional(value: Any) -> Any:
        return None if value is None else read(value)

    return optional


def _tuple(read: Reader) -> Reader:
    def items(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Unreadable("is not a list")
        position = 0
        found: list[Any] = []
        try:
            for position, part in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON  # noqa: B007 - for the error
                found.append(read(part))
        except Unreadable as error:
            raise error.inside(f"[{position}]") from None
        return tuple(found)

    return items


def _mapping(value: Any) -> Any:
    if type(value) is not dict:
        raise Unreadable("is not an object")
    return value  # pyright: ignore[reportUnknownVariableType] - JSON


def _dataclass(cls: Any, hints: Hints) -> Reader:
    readers = [(name, reader(hint, hints)) for name, hint in hints(cls).items()]
    needed = {one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING}

    def dataclass(value: Any) -> Any:
        if type(value) is not dict:
            raise Unreadable("is not an object")
        name = ""
        arguments: dict[str, Any] = {}
        try:
            # Below the top, a later release's own names are left out: they refine what is known here.
            for name, read in readers:
                if name in value:
                    arguments[name] = read(value[name])
        except Unreadable as error:
            raise error.inside(name) from None
        if not needed <= arguments.keys():
            raise Unreadable(f"is incomplete: {', '.join(sorted(needed - arguments.keys()))} is missing")
        return cls(**arguments)

    return dataclass


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError) as error:
        raise Unreadable("is not a time") from error
    if moment.tzinfo is None:
        raise Unreadable("has no time zone")
    if not FIRST_MOMENT <= moment <= LAST_MOMENT:
        raise Unreadable(f"is not between the years {FIRST_MOMENT.year} and {LAST_MOMENT.year}")
    return moment.astimezone(timezone.utc)


def _enum(cls: type[Enum]) -> Reader:
    by_value = {one.value: one for one in cls}

    def member(value: Any) -> Enum:
        try:
            return by_value[value]
        except (KeyError, TypeError):
            raise Unreadable(f"is {value!r}") from None

    return member


def _word(cls: Any) -> Reader:
    """Read a text of a kind of its own, whose class refuses what it does not take."""

    def word(value: Any) -> Any:
        try:
            return cls(_text(value))
        except ValueError:
            raise Unreadable(f"is {value!r}") from None

    return word


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unreadable("is not a text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise Unreadable("is not a whole number")
    if not -LARGEST <= value <= LARGEST:
        raise Unreadable("is too large a number")
    return value


def _number(value: Any) -> float:
    if type(value) is int and -LARGEST <= value <= LARGEST:
        return float(value)
    if type(value) is not float:
        raise Unreadable("is not a number")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise Unreadable("is not true or false")
    return value


# What a reader must understand before it decides, releases or opens: a record names it, and the release that knows it.

_FIRST = "0.1.0"  # the release that knows every field that is not in _SINCE
_SINCE: dict[str, str] = {}  # by "question.quorum": the first release that knows a field
# Fields that bear on no decision: how something is shown, where, and what became of it. Everything else is named.
NOT_NAMED = frozenset(
    {
        *(f"question.{name}" for name in ("message", "notifiers", "channel", "run_url", "run_again", "follows")),
        *(f"question.{name}" for name in ("batch", "shard", "tags", "remind_every")),
        "question.links",
        *(f"question.{name}" for name in ("what_happens", "resume", "leaves", "markdown", "obligations")),
        *(f"policy_rule.{name}" for name in ("name", "channel", "obligations_offered")),
        *(f"approval.{name}" for name in ("deadline", "posts", "votes", "reminders", "decision", "closing")),
        *(f"approval.{name}" for name in ("settlement", "policy_rule", "vouched_by", "unknown", "unattended_since")),
        "approval.follow_ups",
    }
)
_CLASSES = {
    "approval": Approval,
    "question": Question,
    "need": Need,
    "policy_rule": PolicyRule,
    "vote": Vote,
    "decision": Decision,
}


def required(approval: Approval) -> dict[str, str]:
    """Return the fields that say something about who decides what, each with the first release that knows it."""
    parts: list[tuple[str, Any]] = [("approval", approval), ("question", approval.question)]
    parts += [("need", need) for need in approval.question.needs]
    parts += [("vote", vote) for vote in approval.votes]
    parts += [(name, part) for name in ("policy_rule", "decision") if (part := getattr(approval, name)) is not None]
    return {name: _SINCE.get(name, _FIRST) for kind, part in parts for name in _said(kind, part)}


def check_required(key: str, requires: object) -> None:
    """Raise NeedsNewer if a record depends on something that is not known here, CorruptRecord if it can't say what."""
    if not isinstance(requires, dict):
        raise CorruptRecord(key, "it does not say what it requires")
    for name, release in requires.items():  # pyright: ignore[reportUnknownVariableType] - JSON
        if name not in _known():
            raise NeedsNewer(key, str(name)[:80], str(release)[:20])  # pyright: ignore[reportUnknownArgumentType]


def _said(kind: str, part: Any) -> Iterator[str]:
    for field in _named(kind):
        if getattr(part, field.name) != _default(field):
            yield f"{kind}.{field.name}"


@cache
def _named(kind: str) -> tuple[Field[Any], ...]:
    """Return the optional fields of a class that bear on a decision."""
    with_default = (field for field in fields(_CLASSES[kind]) if _default(field) is not MISSING)
    return tuple(field for field in with_default if f"{kind}.{field.name}" not in NOT_NAMED)


@cache
def _known() -> frozenset[str]:
    return frozenset(f"{kind}.{field.name}" for kind in _CLASSES for field in _named(kind))


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


# The record as JSON. Reading is strict: what is not understood to the letter does not open a gate.

FORMAT = 2
# What stands around the approval in each of its versions; no approval may have a name of these.
ENVELOPE = ("format", "requires", "version", "previous", "event", "at", "key", "store", "signature", "sha256")
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


def sign_document(document: Mapping[str, Any], *, trust: Trust, kind: str, store: str) -> bytes:
    """Write a document for one store: signed with the newest key if there is one, and with a checksum."""
    signed = {"key": trust.newest_key, "store": store} if trust.newest_key else {}
    return with_checksum({**document, **signed}, trust=trust, kind=kind)


def parse_document(key: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Read a small document, and return it with the bytes that its checksum and its signature are about.

    Raises
    ------
    CorruptRecord
        It is not a JSON object, or its checksum is wrong.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(key, "it is not JSON") from error
    whole = without_checksum(key, body)
    if not isinstance(document, dict):
        raise CorruptRecord(key, "it is not a JSON object")
    return cast("dict[str, Any]", document), whole


def check_document(key: str, body: bytes, *, trust: Trust, kind: str, store: str) -> tuple[dict[str, Any], str | None]:
    """Return what ``sign_document`` wrote at a key of this store, and the key that vouches for it; None if none has to.

    Raises
    ------
    CorruptRecord, NotVouchedFor
        There is something else.
    """
    document, whole = parse_document(key, body)
    vouched_by = trust.check(key, kind, document.get("key"), whole)
    if vouched_by is not None and document.get("store") != store:
        raise NotVouchedFor(key, "it was signed for another store")
    return document, vouched_by


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
        unknown = {name: value for name, value in document.items() if name not in _KNOWN and name not in ENVELOPE}
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
    return get_type_hints(cls)


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
