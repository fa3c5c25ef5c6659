"""The ledger: every version of every approval, as immutable, hash-chained objects in a store.

    approvals/<id>/00001.json                       the versions; the highest is the state
    open/<id>                                       marker: not settled yet
    changes/<time>-<id>-<version>                   marker: the tail that the sweeper follows
    decided/<flow>/<step>/<newest first>-<id>       marker: history
    claims/<id>/<what>-<span of time>               which sweeper may do what can't be done twice

Whoever creates the next version first has won; the loser reads again. There is no lock and nothing is
overwritten, so this works on any store with an atomic create.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from metaflow_extensions.hitl.approvals.codec import Version, decode, encode
from metaflow_extensions.hitl.approvals.errors import (
    AmbiguousId,
    CorruptRecord,
    HitlError,
    KeyMissing,
    KeyTaken,
    NoSuchApproval,
    OtherPathspec,
    RecordError,
    StoreUnavailable,
    TooManyWriters,
)
from metaflow_extensions.hitl.approvals.pathspec import Pathspec, checked_id, is_id
from metaflow_extensions.hitl.approvals.rules import belongs_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from metaflow_extensions.hitl.approvals.ports import Store
    from metaflow_extensions.hitl.approvals.record import Approval

_ATTEMPTS = 20  # of a writer that keeps losing the race for the next version
_READERS = 16  # reads at once; S3 answers each in some 20 ms, and boto3 keeps 10 connections or more
_NAMED = 5  # of the approvals that begin alike, in the error
_VERSION = re.compile(r"(\d{5,})\.json")
_CHANGE = re.compile(r"changes/(\d{8}T\d{12}Z)-([a-z0-9-]+)-(\d+)")
_DECIDED = re.compile(r"(\d{16})-([a-z0-9-]+)")
_STAMP = "%Y%m%dT%H%M%S%fZ"
_LATEST = 10**16  # microseconds; counting down from the year 2286 sorts the newest first


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The newest version of an approval, as read or written here."""

    version: Version
    digest: str  # SHA-256 of its bytes, in hex

    @property
    def approval(self) -> Approval:
        return self.version.approval

    @property
    def number(self) -> int:
        return self.version.number


@dataclass(frozen=True, kw_only=True)
class Change:
    """One marker of the tail."""

    key: str
    at: datetime
    approval_id: str
    number: int


class Ledger:
    """Reads and writes approvals. Holds no state of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # One approval: O(1) requests, whatever the history holds.

    def read(self, approval_id: str) -> Entry:
        """Read the newest version: one LIST and one GET.

        Raises
        ------
        NoSuchApproval
            There is none.
        CorruptRecord, NewerFormat
            There is one, and it can't be trusted.
        """
        keys = list(self.store.list(_folder(approval_id)))
        if not keys:
            raise NoSuchApproval(approval_id, self.store.url)
        return self._entry(approval_id, _number(keys[-1]))

    def read_version(self, approval_id: str, number: int) -> Entry | None:
        """Read one version: one GET. None if it is not written yet."""
        try:
            return self._entry(approval_id, number)
        except KeyMissing:
            return None

    def begin(self, approval: Approval) -> Entry:
        """Write the first version, or return what is there if it is about the same task."""
        # The marker comes first: a crash in between leaves something to clean, never something lost.
        self.store.mark(f"open/{approval.id}")
        version = Version(number=1, previous=None, event="requested", at=approval.requested_at, approval=approval)
        try:
            return self._write(version)
        except KeyTaken:
            entry = self.read(approval.id)
            belongs_to(entry.approval, approval.pathspec)
            if entry.approval.settlement is not None:
                self.finish(entry.approval)  # the marker above is one too many
            return entry

    def update(
        self,
        approval_id: str,
        event: str | Callable[[Approval], str],
        at: datetime,
        change: Callable[[Approval], Approval],
        *,
        seen: Entry | None = None,
    ) -> Entry:
        """Apply a pure change to the newest version, as often as others are faster.

        Parameters
        ----------
        approval_id : str
            A whole id.
        event : str or Callable[[Approval], str]
            What the new version will be said to add, or how to tell from it.
        at : datetime
            When; the writer's clock.
        change : Callable[[Approval], Approval]
            From the approval as it stands to the one that shall stand. What it raises about the newest version leaves
            the record as it is; what it returns unchanged is not written again.
        seen : Entry, optional
            What the caller holds of this approval: spares reading it when it is still the newest.

        Raises
        ------
        TooManyWriters
            Others won 20 times in a row.
        """
        entry = seen or self.read(approval_id)
        for _ in range(_ATTEMPTS):
            try:
                approval = change(entry.approval)
            except HitlError:
                if entry is not seen:
                    raise
                approval = entry.approval
            if approval == entry.approval:
                if entry is not seen:
                    return entry
                # What was seen may be old: only the newest version may refuse, or say that there is nothing to do.
                entry, seen = self.read(approval_id), None
                continue
            said = event if isinstance(event, str) else event(approval)
            version = Version(number=entry.number + 1, previous=entry.digest, event=said, at=at, approval=approval)
            try:
                return self._write(version)
            except KeyTaken:
                entry = self.read(approval_id)
        raise TooManyWriters(approval_id)

    def finish(self, approval: Approval) -> None:
        """Take a settled approval off the list of open ones."""
        self.store.unmark(f"open/{approval.id}")

    def _write(self, version: Version) -> Entry:
        body = encode(version)
        approval_id = version.approval.id
        self.store.create(_key(approval_id, version.number), body)
        # After the record, so that who follows the tail finds what it names; `open/` covers a crash in between. Without
        # the marker the record stands all the same: an error here would tell a person that it does not.
        with suppress(StoreUnavailable):
            self.store.mark(f"changes/{_stamp(version.at)}-{approval_id}-{version.number}")
        return Entry(version=version, digest=hashlib.sha256(body).hexdigest())

    def _entry(self, approval_id: str, number: int) -> Entry:
        key = _key(approval_id, number)
        body = self.store.read(key)
        version = decode(key, body)
        if version.number != number:
            raise CorruptRecord(key, f"it says that it is version {version.number}")
        if version.approval.id != approval_id:
            raise OtherPathspec(approval_id, f"the task of {approval_id}", str(version.approval.pathspec))
        return Entry(version=version, digest=hashlib.sha256(body).hexdigest())

    # Many approvals.

    def resolve(self, text: str) -> str:
        """Turn an id, a unique beginning of one, or a pathspec into an id.

        Raises
        ------
        BadId
            It can be none of these.
        NoSuchApproval, AmbiguousId
            It names none, or several.
        """
        text = text.strip()
        if "/" in text:
            return Pathspec.parse(text).approval_id
        beginning = checked_id(text)
        # A whole id means itself, even if others begin with it.
        if next(iter(self.store.list(_folder(beginning), limit=1)), None) is not None:
            return beginning
        found = list(islice(self._ids(f"approvals/{beginning}"), _NAMED))
        if len(found) == 1:
            return found[0]
        if not found:
            raise NoSuchApproval(text, self.store.url)
        raise AmbiguousId(text, found)

    def _ids(self, prefix: str) -> Iterator[str]:
        after = ""
        while True:
            key = next(iter(self.store.list(prefix, after=after, limit=1)), None)
            if key is None:
                return
            approval_id = key.split("/")[1]
            yield approval_id
            after = f"approvals/{approval_id}/~"  # behind every version of this approval

    def open_ids(self) -> Iterator[str]:
        """Yield the ids that are not settled: one LIST for each 1,000. What is no id is not ours, and passed over."""
        names = (key.split("/", 1)[1] for key in self.store.list("open/"))
        return (name for name in names if is_id(name))

    def read_many(self, ids: Iterable[str]) -> Iterator[Entry | RecordError]:
        """Read approvals in parallel, in the order of their ids; one that can't be read yields its error."""

        def one(approval_id: str) -> Entry | RecordError:
            try:
                return self.read(approval_id)
            except RecordError as error:
                return error

        with ThreadPoolExecutor(_READERS) as readers:
            todo = iter(ids)
            # A chunk at a time: tens of thousands of open approvals must not all wait in memory.
            while chunk := list(islice(todo, _READERS * 16)):
                yield from readers.map(one, chunk)

    def note_decided(self, approval: Approval) -> None:
        """Put a decided approval into the history of its step."""
        if approval.decision is not None:
            newest_first = _LATEST - int(approval.decision.at.timestamp() * 1_000_000)
            pathspec = approval.pathspec
            self.store.mark(f"decided/{pathspec.flow}/{pathspec.step}/{newest_first:016d}-{approval.id}")

    def decided_ids(self, flow: str, step: str, *, limit: int) -> list[str]:
        """Return the ids decided last in one step, newest first."""
        keys = self.store.list(f"decided/{flow}/{step}/", limit=limit)
        return [key.rsplit("/", 1)[1].split("-", 1)[1] for key in keys]

    def decided_since(self, since: datetime, *, flow: str | None = None) -> Iterator[tuple[datetime, str]]:
        """Yield when and what was decided since then, in one flow or in all: step by step, each newest first.

        One LIST for each step that was ever gated, and one more for each 1,000 decisions in the span.
        """
        root = "decided/" if flow is None else f"decided/{flow}/"
        after = ""
        while (key := next(iter(self.store.list(root, after=after, limit=1)), None)) is not None:
            step = key.rsplit("/", 1)[0]
            for marker in self.store.list(f"{step}/"):
                match = _DECIDED.fullmatch(marker.rsplit("/", 1)[1])
                if match is None:
                    continue
                at = datetime.fromtimestamp((_LATEST - int(match[1])) / 1_000_000, timezone.utc)
                if at < since:
                    break
                yield at, match[2]
            after = f"{step}/~"  # behind every decision of this step

    def changes(self, since: datetime) -> Iterator[Change]:
        """Yield what was written since then by the writers' clocks, oldest first; other keys are passed over."""
        for key in self.store.list("changes/", after=change_key(since)):
            match = _CHANGE.fullmatch(key)
            at = _unstamped(match[1]) if match else None
            if match and at and is_id(match[2]):
                yield Change(key=key, at=at, approval_id=match[2], number=int(match[3]))

    def forget_changes(self, before: datetime) -> int:
        """Remove the tail's markers that are older; return how many."""
        end = change_key(before)
        count = 0
        for key in takewhile(lambda key: key < end, self.store.list("changes/")):
            self.store.unmark(key)
            count += 1
        return count

    def claim(self, approval_id: str, what: str, holder: str, *, now: datetime, during: timedelta) -> bool:
        """Reserve an act that can't be taken back for one of several sweepers, until the next of equal spans of time.

        Returns
        -------
        bool
            Whether it is this holder's. Asking again gives the same answer, until the span is over.
        """
        span = int(now.timestamp() // during.total_seconds())
        key = f"claims/{checked_id(approval_id)}/{what}-{span:010d}"
        try:
            self.store.create(key, holder.encode())
        except KeyTaken:
            return self.store.read(key) == holder.encode()
        return True

    # The trail.

    def trail(self, approval_id: str) -> list[Entry]:
        """Read every version, oldest first."""
        numbers = sorted(_number(key) for key in self.store.list(_folder(approval_id)))
        if not numbers:
            raise NoSuchApproval(approval_id, self.store.url)
        return [self._entry(approval_id, number) for number in numbers]

    def verify(self, approval_id: str) -> list[Entry]:
        """Prove that the trail is whole: no gap, every hash right, the question and the decision never changed.

        Raises
        ------
        CorruptRecord
            The first thing that is wrong.

        Notes
        -----
        A hash speaks for the version before it. That the newest versions were removed, or the newest one replaced
        whole, no hash can tell; a store with Object Lock prevents it.
        """
        trail = self.trail(approval_id)
        for position, entry in enumerate(trail, start=1):
            key = _key(approval_id, entry.number)
            if entry.number != position:
                raise CorruptRecord(key, f"version {position} is missing before it")
            before = trail[position - 2] if position > 1 else None
            if entry.version.previous != (before.digest if before else None):
                raise CorruptRecord(key, f"the hash in it is not that of version {position - 1}")
            if not (_follows(before.approval, entry.approval) if before else _asks_only(entry.approval)):
                raise CorruptRecord(key, "it changes what an earlier version had settled")
        return trail


def _asks_only(first: Approval) -> bool:
    return first == replace(first, posts=(), votes=(), reminders=(), decision=None, closing=None, settlement=None)


def _follows(before: Approval, after: Approval) -> bool:
    return (
        _unchanging(after) == _unchanging(before)
        and after.posts[: len(before.posts)] == before.posts
        # The deadline moves with the operator's rule alone.
        and (before.deadline == after.deadline or before.policy_rule != after.policy_rule)
        # Votes and rule come before the decision, and stay as they were when it fell.
        and (before.decision is None or _grounds(before) == _grounds(after))
        and before.decision in (None, after.decision)
        and before.closing in (None, after.closing)
        and before.settlement in (None, after.settlement)
    )


def _unchanging(approval: Approval) -> Approval:
    return replace(
        approval,
        posts=(),
        votes=(),
        reminders=(),
        policy_rule=None,
        deadline=None,
        decision=None,
        closing=None,
        settlement=None,
        unknown={},
    )


def _grounds(approval: Approval) -> tuple[object, ...]:
    return approval.votes, approval.reminders, approval.policy_rule, approval.deadline


def retention_start(now: datetime) -> datetime:
    """Before this, the tail's markers may go: a sweeper that was down for longer reads all of ``open/`` anyway."""
    return now - timedelta(days=7)


def change_key(at: datetime) -> str:
    """Return where the tail's markers of this moment begin."""
    return f"changes/{_stamp(at)}"


def _folder(approval_id: str) -> str:
    return f"approvals/{checked_id(approval_id)}/"


def _key(approval_id: str, number: int) -> str:
    return f"{_folder(approval_id)}{number:05d}.json"


def _number(key: str) -> int:
    match = _VERSION.fullmatch(key.rsplit("/", 1)[1])
    if not match:
        raise CorruptRecord(key, "no version has such a name")
    return int(match[1])


def _stamp(at: datetime) -> str:
    return at.astimezone(timezone.utc).strftime(_STAMP)


def _unstamped(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return None  # a day that no calendar has
