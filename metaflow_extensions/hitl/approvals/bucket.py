"""The keys of the bucket: how each is made, and how it is read. ``bucket_map.py`` says what is there, and for whom.

Nothing else formats a key or takes one apart. Names are read strictly: ASCII alone, numbers and moments within bounds.
What is named otherwise belongs to somebody else, or is damaged: ``read_…`` returns None for it.

Keys sort as their meaning does, so that a listing comes in order.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Generic, TypeVar, cast

from . import bucket_map
from .bucket_map import Prefix
from .errors import BadKey
from .record import checked_id, is_id, is_part

FIRST_MOMENT = datetime(2000, 1, 1, tzinfo=timezone.utc)
LAST_MOMENT = datetime(2200, 1, 1, tzinfo=timezone.utc)
"""What a record or a key can say about time: room for every deadline, and for the arithmetic around it."""

HIGHEST_VERSION = 99_999

_CLOCKS_APART = timedelta(minutes=5)  # of two bots


def after_all(folder: str) -> str:
    """Return where a listing goes on after everything in a folder, given with its slash, whatever the names in it."""
    return folder[:-1] + chr(ord("/") + 1)


# What the names in angle brackets stand for: how each is written, and what it is read as, None if it is out of bounds.

_LATEST = 10**16  # microseconds; counting down from the year 2286 sorts the newest first
_MICROSECONDS = 1_000_000
_STAMP, _SECOND = "%Y%m%dT%H%M%S%fZ", "%Y%m%dT%H%M%SZ"


def _stamp(at: datetime) -> str:
    return max(FIRST_MOMENT, min(at, LAST_MOMENT)).astimezone(timezone.utc).strftime(_STAMP)


def _unstamp(text: str) -> datetime | None:
    try:
        # By position: strptime takes ten times as long, and the tail has thousands of these.
        date, time = (
            (int(text[:4]), int(text[4:6]), int(text[6:8])),
            (int(text[9:11]), int(text[11:13]), int(text[13:15])),
        )
        at = datetime(*date, *time, int(text[15:21]), tzinfo=timezone.utc)
    except ValueError:
        return None  # a day that no calendar has
    return at if FIRST_MOMENT <= at <= LAST_MOMENT else None


def _number(number: int) -> str:
    if not 1 <= number <= HIGHEST_VERSION:
        raise BadKey(f"{number} can't be part of a key: a version has a number from 1 to {HIGHEST_VERSION}.")
    return f"{number:05d}"


def _newest_first(at: datetime) -> str:
    return f"{_LATEST - int(max(FIRST_MOMENT, min(at, LAST_MOMENT)).timestamp() * _MICROSECONDS):016d}"


def _from_newest_first(text: str) -> datetime | None:
    seconds = (_LATEST - int(text)) / _MICROSECONDS
    within = FIRST_MOMENT.timestamp() <= seconds <= LAST_MOMENT.timestamp()
    return datetime.fromtimestamp(seconds, timezone.utc) if within else None


def _from_day(text: str) -> date | None:
    at = _unstamp(f"{text}T000000000000Z")
    return None if at is None else at.date()


_PARTS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "id": (r"[a-z0-9-]+", lambda text: text if is_id(text) else None),
    "number": (r"[0-9]{5}", lambda text: int(text) or None),
    "n": (r"[0-9]{1,5}", lambda text: int(text) or None),
    "seconds": (r"[0-9]{1,5}", int),
    "time": (r"[0-9]{8}T[0-9]{12}Z", _unstamp),
    "second": (r"[0-9]{8}T[0-9]{6}Z", lambda text: _unstamp(f"{text[:-1]}000000Z")),
    "day": (r"[0-9]{8}", _from_day),
    "newest first": (r"[0-9]{16}", _from_newest_first),
    "hash": (r"[0-9a-f]{64}", str),
    "nonce": (r"[0-9a-f]{32}", str),
    "kind": (r"[a-z]+", str),
    "where": (r"[a-z]+", str),
}
_Made = TypeVar("_Made", bound=tuple[object, ...])
_NAME: tuple[str, Callable[[str], object]] = (r"[^/]+", lambda text: text if is_part(text) else None)


class _Form(Generic[_Made]):
    """Keys of one form, as the map writes it, such as ``approvals/<id>/<number>.json``; ``_Made`` is what is in them.

    Parameters
    ----------
    prefix : Prefix
        The part of the bucket.
    which : int
        Of the forms that its pattern lists.
    """

    def __init__(self, prefix: Prefix, which: int = 0) -> None:
        pattern = prefix.pattern.split(", ")[which]
        literals, names = re.split(r"<[a-z ]+>", pattern), re.findall(r"<([a-z ]+)>", pattern)
        self._parts = [_PARTS.get(name, _NAME) for name in names]
        groups = [f"({written})" for written, _ in self._parts]
        pieces = [piece for pair in zip(map(re.escape, literals), [*groups, ""], strict=True) for piece in pair]
        self._regex = re.compile("".join(pieces))

    def read(self, key: str) -> _Made | None:
        """Return what a key is made of; None for a key of another form, or with a part that is out of bounds."""
        match = self._regex.fullmatch(key)
        if match is None:
            return None
        parts = tuple(read(text) for (_, read), text in zip(self._parts, match.groups(), strict=True))
        return None if None in parts else cast("_Made", parts)


# Versions.

_VERSION = _Form[tuple[str, int]](bucket_map.APPROVALS)


def version_key(approval_id: str, number: int) -> str:
    return bucket_map.APPROVALS.key(checked_id(approval_id), f"{_number(number)}.json")


def versions_folder(approval_id: str) -> str:
    return bucket_map.APPROVALS.folder(checked_id(approval_id))


def read_version_key(key: str) -> tuple[str, int] | None:
    """Return the id and the number of a version."""
    return _VERSION.read(key)


# What is open.

_OPEN = _Form[tuple[str]](bucket_map.OPEN)


def open_key(approval_id: str) -> str:
    return bucket_map.OPEN.key(checked_id(approval_id))


def read_open_key(key: str) -> str | None:
    """Return the id of what is open."""
    parts = _OPEN.read(key)
    return None if parts is None else parts[-1]


# The tail.

_CHANGE = _Form[tuple[datetime, str, int]](bucket_map.CHANGES)


@dataclass(frozen=True, kw_only=True)
class ChangeMarker:
    """One marker of the tail."""

    key: str
    at: datetime
    approval_id: str
    number: int


def change_key(at: datetime, approval_id: str, number: int) -> str:
    return bucket_map.CHANGES.key(f"{_stamp(at)}-{checked_id(approval_id)}-{int(_number(number))}")


def changes_from(at: datetime) -> str:
    """Return where the tail's markers of a moment begin."""
    return f"{bucket_map.CHANGES.root}{_stamp(at)}"


def read_change_key(key: str) -> ChangeMarker | None:
    """Return which version was written, and when by the clock of whoever wrote it."""
    parts = _CHANGE.read(key)
    return None if parts is None else ChangeMarker(key=key, at=parts[0], approval_id=parts[1], number=parts[2])


def newest_moment(moments: Iterable[datetime | None], now: datetime) -> datetime | None:
    """Return the newest moment that markers name. What lies ahead of every clock was planted, and names nothing."""
    return max((at for at in moments if at is not None and at <= now + _CLOCKS_APART), default=None)


# History.

_DECIDED = _Form[tuple[str, str, datetime, str]](bucket_map.DECIDED)


@dataclass(frozen=True, kw_only=True)
class DecidedMarker:
    """One marker of the history."""

    flow: str
    step: str
    at: datetime
    approval_id: str


def decided_key(flow: str, step: str, approval_id: str, at: datetime) -> str:
    return newest_first_key(bucket_map.DECIDED.folder(flow, step), approval_id, at)


def decided_folder(flow: str, step: str) -> str:
    return bucket_map.DECIDED.folder(flow, step)


def read_decided_key(key: str) -> DecidedMarker | None:
    """Return what was decided, and when."""
    parts = _DECIDED.read(key)
    return None if parts is None else DecidedMarker(flow=parts[0], step=parts[1], at=parts[2], approval_id=parts[3])


# What is open, and what was approved, of one step or of one shard of it.

_ASKED, _APPROVED = (
    _Form[tuple[str, str, str, datetime, str]](prefix) for prefix in (bucket_map.ASKED, bucket_map.APPROVED)
)


def asked_folder(flow: str, step: str, shard: str | None) -> str:
    """Return where the open questions are that a newer one may take the place of; of each shard by itself."""
    return bucket_map.ASKED.folder(flow, step, _shard(shard))


def approved_folder(flow: str, step: str, shard: str | None) -> str:
    """Return where approvals of a step are: in a foreach of each shard by itself, by what it works on."""
    return bucket_map.APPROVED.folder(flow, step, _shard(shard))


def approved_folder_of(key: str) -> str | None:
    """Return the folder that a marker of an approval is in; None for any other key."""
    parts = _APPROVED.read(key)
    return None if parts is None else bucket_map.APPROVED.folder(*parts[:3])


def newest_first_key(folder: str, approval_id: str, at: datetime) -> str:
    """Return a key in one of these folders, whose listings begin with the newest."""
    return f"{folder}{_newest_first(at)}-{checked_id(approval_id)}"


def read_newest_first_key(key: str) -> str | None:
    """Return the id of an approval from one of these folders."""
    parts = _ASKED.read(key) or _APPROVED.read(key)
    return None if parts is None else parts[-1]


def _shard(shard: str | None) -> str:
    return "-" if shard is None else hashlib.sha256(shard.encode("utf-8", "backslashreplace")).hexdigest()[:16]


# Pictures.

_HASH = re.compile(_PARTS["hash"][0])


def plot_key(approval_id: str, sha256: str) -> str:
    """Return the key of a picture by the SHA-256 of its bytes, in hex."""
    if not _HASH.fullmatch(sha256):
        raise BadKey(f"{sha256[:80]!a} can't be part of a key: a SHA-256 has 64 hexadecimal digits.")
    return bucket_map.PLOTS.key(checked_id(approval_id), f"{sha256}.png")


def course_key(approval_id: str) -> str:
    return bucket_map.PICTURES.key(checked_id(approval_id), "course.png")


def pictures_shown_key(approval_id: str) -> str:
    return bucket_map.PICTURES.key(checked_id(approval_id), "shown")


# Claims.


def claim_key(anchor: str, what: str, *, now: datetime, during: timedelta) -> str:
    """Return the claim on an act about an approval or a batch, for the span of time in which ``now`` falls."""
    span = int(now.timestamp() // during.total_seconds())
    return bucket_map.CLAIMS.key(checked_id(anchor), f"{what}-{span:010d}")


def claims_on(anchor: str, what: str) -> str:
    """Return what all claims on an act begin with."""
    return f"{claims_folder(anchor)}{what}-"


def claims_folder(anchor: str) -> str:
    return bucket_map.CLAIMS.folder(checked_id(anchor))


# Threads.

_SAID = _Form[tuple[str, int]](bucket_map.SAID)
_THREADS = _Form[tuple[datetime]](bucket_map.THREADS)


def said_key(approval_id: str, number: int) -> str:
    return bucket_map.SAID.key(checked_id(approval_id), _number(number))


def said_folder(approval_id: str) -> str:
    return bucket_map.SAID.folder(checked_id(approval_id))


def read_said_key(key: str) -> int | None:
    """Return the number of the version that a thread shows."""
    parts = _SAID.read(key)
    return None if parts is None else parts[-1]


def threads_key(at: datetime) -> str:
    return bucket_map.THREADS.key(_stamp(at))


def read_threads_key(key: str) -> datetime | None:
    """Return until when every thread was up to date."""
    parts = _THREADS.read(key)
    return None if parts is None else parts[-1]


# Messages of many gates.

_POST = _Form[tuple[str]](bucket_map.BATCHES)
_MEMBER = _Form[tuple[str, str]](bucket_map.BATCHES, 1)
_REMINDED = _Form[tuple[str, datetime, str]](bucket_map.BATCHES, 2)
_IN_ADVANCE = _Form[tuple[str, int]](bucket_map.IN_ADVANCE)
_NUMBERED = re.compile(r"[0-9]{1,5}")


def batches_like(name: str) -> str:
    """Return what the keys of all batches begin with that have this name before their number."""
    return f"{bucket_map.BATCHES.root}{checked_id(name)}-"


def batch_folder(batch_id: str) -> str:
    return bucket_map.BATCHES.folder(checked_id(batch_id))


def batch_post_key(batch_id: str) -> str:
    return bucket_map.BATCHES.key(checked_id(batch_id), "post")


def read_batch_number(key: str, name: str) -> int | None:
    """Return the number of a batch with this name, by the key of its message."""
    (batch,) = _POST.read(key) or ("",)
    number = batch.removeprefix(f"{name}-") if batch.startswith(f"{name}-") else ""
    return int(number) if _NUMBERED.fullmatch(number) else None


def batch_member_key(batch_id: str, approval_id: str) -> str:
    return bucket_map.BATCHES.key(checked_id(batch_id), "of", checked_id(approval_id))


def batch_members_folder(batch_id: str) -> str:
    return bucket_map.BATCHES.folder(checked_id(batch_id), "of")


def read_batch_member_key(key: str) -> tuple[str, str] | None:
    """Return the ids of a batch and of a gate that is on its message."""
    return _MEMBER.read(key)


def batch_reminded_key(batch_id: str, at: datetime, kind: str) -> str:
    return bucket_map.BATCHES.key(
        checked_id(batch_id), "reminded", f"{at.astimezone(timezone.utc).strftime(_SECOND)}-{kind}"
    )


def batch_reminded_folder(batch_id: str) -> str:
    return bucket_map.BATCHES.folder(checked_id(batch_id), "reminded")


def read_batch_reminded_key(key: str) -> tuple[datetime, str] | None:
    """Return when and how those who share a message were reminded."""
    parts = _REMINDED.read(key)
    return None if parts is None else parts[1:]


_SURPLUS = _Form[tuple[str, str]](bucket_map.SURPLUS)


def surplus_key(about: str, channel: str, ts: str) -> str:
    """Return the key of the note of a second message, by the approval or the batch that it is about."""
    return bucket_map.SURPLUS.key(checked_id(about), f"{channel}-{ts}")


def read_surplus_key(key: str) -> str | None:
    """Return the id of the approval or the batch that a second message is about."""
    parts = _SURPLUS.read(key)
    return None if parts is None else parts[0]


def in_advance_key(batch_id: str, number: int) -> str:
    return bucket_map.IN_ADVANCE.key(checked_id(batch_id), f"{_number(number)}.json")


def in_advance_folder(batch_id: str) -> str:
    return bucket_map.IN_ADVANCE.folder(checked_id(batch_id))


def read_in_advance_key(key: str) -> int | None:
    """Return the number of an answer in advance among those of its message."""
    parts = _IN_ADVANCE.read(key)
    return None if parts is None else parts[-1]


# Delegations.

_DELEGATION = _Form[tuple[str, int]](bucket_map.DELEGATIONS)
_DELEGATE = _Form[tuple[str, str]](bucket_map.DELEGATES)


def delegation_key(person_id: str, number: int) -> str:
    return bucket_map.DELEGATIONS.key(person_id, f"{_number(number)}.json")


def delegations_folder(person_id: str) -> str:
    return bucket_map.DELEGATIONS.folder(person_id)


def read_delegation_key(key: str) -> tuple[str, int] | None:
    """Return whose delegation it is, and its number."""
    return _DELEGATION.read(key)


def delegate_key(to: str, by: str) -> str:
    return bucket_map.DELEGATES.key(to, by)


def delegates_folder(to: str) -> str:
    return bucket_map.DELEGATES.folder(to)


def read_delegate_key(key: str) -> str | None:
    """Return who is absent."""
    parts = _DELEGATE.read(key)
    return None if parts is None else parts[-1]


# Digests.

_DIGEST = _Form[tuple[date]](bucket_map.DIGESTS)


def digest_key(day: date) -> str:
    return bucket_map.DIGESTS.key(f"{day:%Y%m%d}.json")


def read_digest_key(key: str) -> date | None:
    """Return the day that a digest is of."""
    parts = _DIGEST.read(key)
    return None if parts is None else parts[-1]


# Proposals.

_PROPOSED_QUESTION, _PROPOSED_CLOSING = (
    _Form[tuple[str]](bucket_map.PROPOSALS),
    _Form[tuple[str]](bucket_map.PROPOSALS, 1),
)
_PROPOSED_ANSWER = _Form[tuple[str, str]](bucket_map.PROPOSALS, 2)
_NONCE = re.compile(_PARTS["nonce"][0])


def proposed_question_key(approval_id: str) -> str:
    return bucket_map.PROPOSALS.key("questions", f"{checked_id(approval_id)}.json")


def proposed_questions(beginning: str) -> str:
    """Return how the keys of proposed questions begin whose approval's id begins so."""
    return bucket_map.PROPOSALS.key("questions", checked_id(beginning))


def proposed_closing_key(approval_id: str) -> str:
    return bucket_map.PROPOSALS.key("closings", f"{checked_id(approval_id)}.json")


def read_proposed_question_key(key: str) -> str | None:
    """Return the id of the approval that a run asks for."""
    parts = _PROPOSED_QUESTION.read(key)
    return None if parts is None else parts[-1]


def read_proposed_closing_key(key: str) -> str | None:
    """Return the id of the approval that nobody waits for any longer."""
    parts = _PROPOSED_CLOSING.read(key)
    return None if parts is None else parts[-1]


def proposed_answer_key(approval_id: str, nonce: str) -> str:
    """Return the key of an answer that waits for the bot; the nonce is 32 hexadecimal digits."""
    if not _NONCE.fullmatch(nonce):
        raise BadKey(f"{nonce[:80]!a} can't be part of a key: a nonce has 32 hexadecimal digits.")
    return bucket_map.PROPOSALS.key("answers", checked_id(approval_id), f"{nonce}.json")


def read_proposed_answer_key(key: str) -> tuple[str, str] | None:
    """Return the id of the approval that an answer is for, and its nonce."""
    return _PROPOSED_ANSWER.read(key)


# Events for other systems.

_WAITING_EVENT = _Form[tuple[datetime, str, int, str]](bucket_map.OUTBOX)
_SENT_EVENT = _Form[tuple[str, int, str]](bucket_map.OUTBOX, 1)
_SEEN_EVENTS = _Form[tuple[datetime]](bucket_map.OUTBOX, 2)


@dataclass(frozen=True, kw_only=True)
class WaitingEvent:
    """A version of a record that has to reach another system."""

    at: datetime
    approval_id: str
    number: int
    where: str  # small letters


def waiting_event_key(event: WaitingEvent) -> str:
    name = f"{_stamp(event.at)}-{checked_id(event.approval_id)}-{_number(event.number)}-{event.where}"
    return bucket_map.OUTBOX.key("waiting", name)


def read_waiting_event_key(key: str) -> WaitingEvent | None:
    """Return what waits to be delivered."""
    parts = _WAITING_EVENT.read(key)
    return None if parts is None else WaitingEvent(at=parts[0], approval_id=parts[1], number=parts[2], where=parts[3])


def sent_event_key(event: WaitingEvent) -> str:
    return bucket_map.OUTBOX.key("sent", checked_id(event.approval_id), f"{_number(event.number)}-{event.where}")


def sent_events_folder(approval_id: str) -> str:
    return bucket_map.OUTBOX.folder("sent", checked_id(approval_id))


def read_sent_event_key(key: str) -> tuple[int, str] | None:
    """Return the number of a version, and where it was delivered."""
    parts = _SENT_EVENT.read(key)
    return None if parts is None else parts[1:]


def events_seen_key(at: datetime) -> str:
    return bucket_map.OUTBOX.key("seen", _stamp(at))


def read_events_seen_key(key: str) -> datetime | None:
    """Return up to when every event has a marker."""
    parts = _SEEN_EVENTS.read(key)
    return None if parts is None else parts[-1]


# Who waits.

_HEARTBEAT = _Form[tuple[str, datetime, int]](bucket_map.WAITING)
_GATE = _Form[tuple[str, str, str, str, str]](bucket_map.GATES)


def heartbeat_key(approval_id: str, at: datetime, seconds: int) -> str:
    """Return the key that says: somebody waits now, and says so again within so many seconds."""
    return bucket_map.WAITING.key(checked_id(approval_id), f"{_stamp(at)}-{seconds}")


def heartbeats_folder(approval_id: str) -> str:
    return bucket_map.WAITING.folder(checked_id(approval_id))


def read_heartbeat_key(key: str) -> tuple[str, int] | None:
    """Return what is waited for, and within how many seconds the next one comes."""
    parts = _HEARTBEAT.read(key)
    return None if parts is None else (parts[0], parts[2])


def gate_folder(flow: str, run: str, step: str, place: tuple[int, ...]) -> str:
    """Return where it says what a gate of a run asked; the place is that of its shard in every foreach around it."""
    return bucket_map.GATES.folder(flow, run, step, ".".join(map(str, place)) or "-")


def gate_key(flow: str, run: str, step: str, place: tuple[int, ...], approval_id: str) -> str:
    return f"{gate_folder(flow, run, step, place)}{checked_id(approval_id)}"


def read_gate_key(key: str) -> str | None:
    """Return the id of the approval that a gate asked for."""
    parts = _GATE.read(key)
    return None if parts is None else parts[-1]


def started_key(approval_id: str) -> str:
    return bucket_map.STARTED.key(checked_id(approval_id))


# Obligations.

_OWED = _Form[tuple[date, str, int]](bucket_map.OWED)


@dataclass(frozen=True, kw_only=True)
class Owed:
    """One marker of an open obligation."""

    day: date  # on which it is due
    approval_id: str
    number: int


def owed_key(owed: Owed) -> str:
    return bucket_map.OWED.key(f"{owed.day:%Y%m%d}-{checked_id(owed.approval_id)}-{_number(owed.number)}")


def owed_on(day: date) -> str:
    """Return what the keys of all obligations begin with that are due on a day."""
    return f"{bucket_map.OWED.root}{day:%Y%m%d}-"


def read_owed_key(key: str) -> Owed | None:
    """Return which obligation is open."""
    parts = _OWED.read(key)
    return None if parts is None else Owed(day=parts[0], approval_id=parts[1], number=parts[2])


# Proofs.


def probe_key(token: str) -> str:
    return bucket_map.PROBE.key(token)
