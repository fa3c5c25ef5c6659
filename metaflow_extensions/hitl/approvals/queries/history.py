"""What was decided: of days that are over by a digest that is written once, of the others by memory or the records."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from heapq import nlargest
from threading import Lock
from typing import Any, cast

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.codec import plain_approval, read_approval, with_checksum, without_checksum
from metaflow_extensions.hitl.approvals.errors import CorruptRecord, KeyMissing, KeyTaken, RecordError
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval

FORMAT = 1
_KIND = "digest"  # of what is signed
DIGEST_AFTER = timedelta(hours=1)  # the end of a day: what was decided at its end is marked by then
DIGEST_DAYS = 31  # for so many days back, digests that are missing are written
_LATELY = 20_000  # decisions of days without a digest, in memory: brief, some 4 kB each
_DAYS = 62  # digests in memory
_READ = 1_000  # records for one answer where there is no digest: some two seconds on S3
_MESSAGE, _REASON = 600, 1_000  # characters that are kept


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What was decided in a span of time.

    Attributes
    ----------
    approvals : list[Approval]
        Brief ones (see ``brief``), the newest first.
    left_out : int
        How many older ones were not read.
    """

    approvals: list[Approval]
    left_out: int = 0


def brief(approval: Approval) -> Approval:
    """Return a decided approval with what lists and statistics show, and what says who may see it."""
    decision = approval.decision
    question = approval.question
    return replace(
        approval,
        question=replace(question, message=question.message[:_MESSAGE], schema=None, run_again=None, follows=None),
        posts=tuple(replace(post, ids={}, nobody=()) for post in approval.posts),
        votes=(),
        decision=decision and replace(decision, input={}, reason=decision.reason[:_REASON]),
        unknown={},
    )


class History:
    """What was decided. Threads may share it.

    Parameters
    ----------
    ledger : Ledger
        Where the records, their markers and the digests are.
    clock : Clock
        The present.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lately: OrderedDict[str, tuple[int, Approval]] = OrderedDict()  # with the number of the version
        self._days: OrderedDict[date, Decided] = OrderedDict()
        self._digests: set[date] = set()  # days that have one, as far as this process knows
        self._follows = False
        self._complete_from = date.max
        self._lock = Lock()

    # Of a process that follows the tail.

    def learn(self, entry: Entry) -> None:
        """Take in a version that was read or written."""
        approval = entry.approval
        if approval.decision is None or approval.decision.at < self._clock() - timedelta(days=DIGEST_DAYS):
            return
        with self._lock:
            if _day(approval) in self._digests:
                return
            known, _ = self._lately.get(approval.id, (0, None))
            if entry.number < known:
                return  # threads may learn of two versions in either order
            self._lately[approval.id] = (entry.number, brief(approval))
            self._lately.move_to_end(approval.id)
            if len(self._lately) > _LATELY:
                self._lately.popitem(last=False)

    def follow(self) -> None:
        """Answer from memory for the days without a digest from now on: everything in them has been learned."""
        if not self._follows:
            self._complete_from = self.since.date()
            self._follows = True

    @property
    def follows(self) -> bool:
        """Whether memory has what no digest has yet."""
        return self._follows

    def first_open_day(self) -> date:
        """Return the first day that has no digest yet, whoever writes them."""
        return self._undigested(self._clock())

    @property
    def since(self) -> datetime:
        """From when on everything has to be learned before ``follow``: there may be no digest yet."""
        return _start(self._undigested(self._clock()) - timedelta(days=1))

    # Reading.

    def decided(self, since: datetime, *, flow: str | None = None) -> Decided:
        """Return what was decided since a moment, in one flow or in all."""
        now = self._clock()
        parts: list[Decided] = []
        missing: set[date] = set()
        digests = self._digests if self._follows else self._list_digests()
        for day in _days(max(since, bucket.FIRST_MOMENT).date(), now.date() + timedelta(days=2)):
            digest = self._digest(day) if day in digests else None
            if digest is not None:
                parts.append(digest)
            elif not self._is_in_memory(day):
                missing.add(day)
        with self._lock:
            parts.append(Decided(approvals=[one for _, one in self._lately.values() if _day(one) not in digests]))
        if missing:
            parts.append(self._from_records(missing, since))
        found = {
            one.id: one
            for part in parts
            for one in part.approvals
            if one.decision is not None and one.decision.at >= since and flow in (None, one.pathspec.flow)
        }
        approvals = sorted(found.values(), key=_decided_at, reverse=True)
        return Decided(approvals=approvals, left_out=sum(part.left_out for part in parts))

    def _list_digests(self) -> set[date]:
        days = map(bucket.read_digest_key, self._ledger.store.list(bucket.DIGESTS.root))
        return {day for day in days if day is not None}

    def _is_in_memory(self, day: date) -> bool:
        """Whether memory holds all of a day that has no digest."""
        return self._follows and day >= self._complete_from

    def _digest(self, day: date) -> Decided | None:
        with self._lock:
            known = self._days.get(day)
            if known is not None:
                self._days.move_to_end(day)
                return known
        key = bucket.digest_key(day)
        try:
            return self._remember(day, Decided(approvals=_read(key, self._ledger.store.read(key), self._ledger)))
        except (KeyMissing, RecordError):
            return None  # the records are what counts

    def _remember(self, day: date, decided: Decided) -> Decided:
        with self._lock:
            self._days[day] = decided
            self._days.move_to_end(day)
            while len(self._days) > _DAYS:
                self._days.popitem(last=False)
        return decided

    def _from_records(self, days: set[date], since: datetime) -> Decided:
        """Read what was decided on some days from the records: a LIST for each step, and a GET or two for each."""
        start = max(since, _start(min(days)))
        markers = [one for one in self._ledger.decided_since(start) if one[0].date() in days]
        newest = nlargest(_READ, markers)
        return Decided(approvals=list(self._brief(newest)), left_out=len(markers) - len(newest))

    def _brief(self, markers: Iterable[tuple[datetime, str]]) -> Iterator[Approval]:
        for found in self._ledger.read_many(approval_id for _, approval_id in markers):
            if not isinstance(found, RecordError) and found.approval.decision is not None:
                yield brief(found.approval)

    # Writing.

    def write_digests(self) -> int:
        """Write the digests that are missing of the last 31 days that are over; return how many were written.

        Reads a LIST for each step that was ever gated, and every record of these days, so it is for a thread of its
        own. Bots that do it at once write the same: the first one's digest is the digest.
        """
        end = self._undigested(self._clock())
        there = self._list_digests()
        days = [day for day in _days(end - timedelta(days=DIGEST_DAYS), end) if day not in there]
        if days:
            marked: dict[date, list[tuple[datetime, str]]] = {day: [] for day in days}
            for at, approval_id in self._ledger.decided_since(_start(days[0])):
                if at.date() in marked:
                    marked[at.date()].append((at, approval_id))
            for day in days:
                self._write(day, marked[day])
        with self._lock:
            self._digests = there | set(days)
            for approval_id, (_, one) in list(self._lately.items()):
                if _day(one) in self._digests:
                    del self._lately[approval_id]
        return len(days)

    def _write(self, day: date, markers: list[tuple[datetime, str]]) -> None:
        with self._lock:
            held = {one.id: one for _, one in self._lately.values() if _day(one) == day}
        approvals = {one.id: one for one in self._brief(marker for marker in markers if marker[1] not in held)} | held
        trust = self._ledger.trust
        document: dict[str, Any] = {
            "format": FORMAT,
            "day": day.isoformat(),
            "approvals": [plain_approval(one) for one in sorted(approvals.values(), key=_decided_at)],
        }
        if key := trust.newest_key:
            document |= {"key": key, "store": self._ledger.store.url}
        body = with_checksum(document, trust=trust, kind=_KIND)
        try:
            self._ledger.store.create(bucket.digest_key(day), body)
        except KeyTaken:
            return

    def _undigested(self, now: datetime) -> date:
        """Return the first day that has no digest yet."""
        return (now - DIGEST_AFTER).astimezone(timezone.utc).date()


def _read(key: str, body: bytes, ledger: Ledger) -> list[Approval]:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(key, "it is not JSON") from error
    whole = without_checksum(key, body)
    if not isinstance(document, dict):
        raise CorruptRecord(key, "it is not a JSON object")
    document = cast("dict[str, Any]", document)
    signed = ledger.trust.check(key, _KIND, document.get("key"), whole) is not None
    if document.get("format") != FORMAT or not isinstance(document.get("approvals"), list):
        raise CorruptRecord(key, "it is not a digest of this format")
    if signed and (document.get("store"), key) != (ledger.store.url, _key_of(document)):
        raise CorruptRecord(key, "it was signed for another store or day")
    return [read_approval(key, one) for one in document["approvals"]]


def _key_of(document: dict[str, Any]) -> str:
    try:
        return bucket.digest_key(date.fromisoformat(str(document.get("day"))))
    except ValueError:
        return ""


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.utc)


def _days(first: date, end: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range(max(0, (end - first).days)))


def _day(approval: Approval) -> date:
    return _decided_at(approval)[0].astimezone(timezone.utc).date()


def _decided_at(approval: Approval) -> tuple[datetime, str]:
    at = approval.decision.at if approval.decision is not None else approval.requested_at
    return at, approval.id
