"""The read side: what waits, what was decided, and how it went, for lists, Home, pages and the command line."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from heapq import nlargest
from threading import Lock
from typing import Any

from . import bucket, bucket_map
from .bounded import BoundedMap
from .codec import parse_document, plain_approval, read_approval, with_checksum
from .errors import CorruptRecord, HitlError, KeyMissing, KeyTaken, NoSuchApproval, RecordError
from .ledger import Entry, Ledger
from .ports import Clock
from .record import Approval, State
from .statistics import RuleScore, Statistics, rule_scores, statistics

# What is open, as a process that runs for long keeps it in memory, so that a list costs no request.

MOST_BYTES = 64 * 1024 * 1024
"""Of records as they are stored, that are held whole: some 40,000 approvals. What is beyond is known by its id."""

_ENDED = 10_000  # approvals that are no longer open, so that what was read before they ended is not taken for news


@dataclass(kw_only=True, slots=True)
class _Known:
    number: int  # of the newest version; 0 if none can be read
    entry: Entry | None = None  # None: there is no room, or it can't be read
    problem: RecordError | None = None
    round: int = 0  # in which it was learned


class Projection:
    """Everything that is open. Threads may share it.

    It is fed by a ledger's observers and by the sweeper, and is a cache: whoever decides reads the record itself.

    Parameters
    ----------
    most_bytes : int
        Of records held whole. In memory an approval takes about 1.6 times what it takes in the store: 2 kB.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._known: dict[str, _Known] = {}
        self._ended: BoundedMap[str, int] = BoundedMap(_ENDED)
        self._bytes = 0
        self._most = most_bytes
        self._round = 0
        self._news: dict[str, None] = {}  # what was learned since somebody asked
        self._complete = False
        self._lock = Lock()

    @property
    def is_complete(self) -> bool:
        """Whether everything that is open has been read once."""
        return self._complete

    def set_aside(self) -> int:
        """Return how many open approvals can't be read."""
        with self._lock:
            return sum(one.problem is not None for one in self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, entry: Entry) -> None:
        """Take in a version that is, or was, the newest of its approval. Skip an older one."""
        approval_id = entry.approval.id
        with self._lock:
            known = self._known.get(approval_id)
            if entry.number <= max(known.number if known else 0, self._ended.get(approval_id, 0)):
                return
            self._drop(approval_id)
            if entry.approval.settlement is not None:
                self._news.pop(approval_id, None)
                self._ended[approval_id] = entry.number
                return
            self._news[approval_id] = None
            fits = self._bytes + entry.size <= self._most
            self._known[approval_id] = _Known(number=entry.number, entry=entry if fits else None, round=self._round)
            self._bytes += entry.size if fits else 0

    def fail(self, approval_id: str, problem: RecordError) -> None:
        """Take in that an open approval can't be read."""
        with self._lock:
            self._drop(approval_id)
            self._known[approval_id] = _Known(number=0, problem=problem, round=self._round)

    def take_news(self) -> list[Entry]:
        """Return what was learned since the last time and is still open."""
        with self._lock:
            news, self._news = list(self._news), {}
            known = (self._known.get(approval_id) for approval_id in news)
            return [one.entry for one in known if one is not None and one.entry is not None]

    def notice(self, entry: Entry) -> None:
        """Take in that whoever takes the news knows this version already."""
        with self._lock:
            known = self._known.get(entry.approval.id)
            if known is None or known.number <= entry.number:
                self._news.pop(entry.approval.id, None)

    def number(self, approval_id: str) -> int:
        """Return the number of the newest version that was seen; 0 if none was."""
        with self._lock:
            known = self._known.get(approval_id)
            return max(known.number if known else 0, self._ended.get(approval_id, 0))

    def get(self, approval_id: str) -> Entry | None:
        """Return the newest version of what is open, if it is held."""
        with self._lock:
            known = self._known.get(approval_id)
            return known.entry if known else None

    def held(self) -> tuple[list[Entry], dict[str, int], list[RecordError]]:
        """Return what is open: what is held, the others with the number of their newest version, and what failed."""
        with self._lock:
            known = list(self._known.items())
        held = [one.entry for _, one in known if one.entry is not None]
        others = {approval_id: one.number for approval_id, one in known if one.entry is None and one.problem is None}
        return held, others, [one.problem for _, one in known if one.problem is not None]

    def counts(self) -> dict[str, int]:
        """Return how many wait for an answer, and how many decisions are not settled yet; of what is held."""
        with self._lock:
            states = [one.entry.approval.state for one in self._known.values() if one.entry is not None]
        pending = states.count(State.PENDING)
        return {"questions": pending, "unsettled": len(states) - pending}

    def begin_round(self) -> None:
        """Begin to compare with all that is marked as open."""
        with self._lock:
            self._round += 1

    def end_round(self, open_ids: set[str]) -> None:
        """Forget what is not marked as open, unless it was learned while the marks were listed."""
        with self._lock:
            for approval_id, known in list(self._known.items()):
                if known.round < self._round and approval_id not in open_ids:
                    self._drop(approval_id)
                    self._ended[approval_id] = known.number
            self._complete = True

    def _drop(self, approval_id: str) -> None:
        known = self._known.pop(approval_id, None)
        if known is not None and known.entry is not None:
            self._bytes -= known.entry.size


# What was decided: of days that are over by a digest that is written once, of the others by memory or the records.

FORMAT = 1
_KIND = "digest"  # of what is signed
DIGEST_AFTER = timedelta(hours=1)  # the end of a day: what was decided at its end is marked by then
DIGEST_DAYS = 31  # for so many days back, digests that are missing are written
_LATELY = 20_000  # decisions of days without a digest, in memory: brief, some 2.5 kB each
_DAYS = 62  # digests in memory
_HELD = 100_000  # decisions in them: 250 MB. A day that is dropped is read again when it is asked for
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
    problems : list[RecordError]
        Why others could not be read.
    """

    approvals: list[Approval]
    left_out: int = 0
    problems: list[RecordError] = field(default_factory=list[RecordError])


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
    most : int
        How many decisions of days with a digest are kept in memory; the day used last is kept in any case.
    """

    def __init__(self, ledger: Ledger, clock: Clock, *, most: int = _HELD) -> None:
        self._ledger = ledger
        self._most = most
        self._clock = clock
        self._lately: BoundedMap[str, tuple[int, Approval]] = BoundedMap(_LATELY)  # with the number of the version
        self._days: BoundedMap[date, Decided] = BoundedMap(_DAYS)
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
            if entry.number <= known:
                return  # it is read more than once; and threads may learn of two versions in either order
            self._lately[approval.id] = (entry.number, brief(approval))

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
        return Decided(
            approvals=approvals,
            left_out=sum(part.left_out for part in parts),
            problems=[problem for part in parts for problem in part.problems],
        )

    def _list_digests(self) -> set[date]:
        days = map(bucket.read_digest_key, self._ledger.store.list(bucket_map.DIGESTS.root))
        return {day for day in days if day is not None}

    def _is_in_memory(self, day: date) -> bool:
        """Whether memory holds all of a day that has no digest."""
        return self._follows and day >= self._complete_from

    def _digest(self, day: date) -> Decided | None:
        with self._lock:
            known = self._days.get(day)
            if known is not None:
                self._days.touch(day)
                return known
        key = bucket.digest_key(day)
        try:
            return self._remember(day, _read(key, self._ledger.store.read(key), self._ledger))
        except (KeyMissing, RecordError):
            return None  # the records are what counts

    def _remember(self, day: date, decided: Decided) -> Decided:
        with self._lock:
            self._days[day] = decided
            while len(self._days) > 1 and sum(len(one.approvals) for one in self._days.values()) > self._most:
                self._days.popitem()
        return decided

    def _from_records(self, days: set[date], since: datetime) -> Decided:
        """Read what was decided on some days from the records: a LIST for each step, and a GET or two for each."""
        start = max(since, _start(min(days)))
        markers = [one for one in self._ledger.decided_since(start) if one[0].date() in days]
        newest = nlargest(_READ, markers)
        found = self._brief(newest)
        return replace(found, left_out=len(markers) - len(newest))

    def _brief(self, markers: Iterable[tuple[datetime, str]]) -> Decided:
        decided = Decided(approvals=[])
        for found in self._ledger.read_many(approval_id for _, approval_id in markers):
            if isinstance(found, NoSuchApproval):
                continue  # its record was removed
            if isinstance(found, RecordError):
                decided.problems.append(found)
            elif found.approval.decision is not None:
                decided.approvals.append(brief(found.approval))
        return decided

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
        read = self._brief(marker for marker in markers if marker[1] not in held)
        approvals = {one.id: one for one in read.approvals} | held
        trust = self._ledger.trust
        document: dict[str, Any] = {
            "format": FORMAT,
            "day": day.isoformat(),
            "approvals": [plain_approval(one) for one in sorted(approvals.values(), key=_decided_at)],
        }
        if read.problems:
            document["unreadable"] = len(read.problems)
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


def _read(key: str, body: bytes, ledger: Ledger) -> Decided:
    document, whole = parse_document(key, body)
    signed = ledger.trust.check(key, _KIND, document.get("key"), whole) is not None
    if document.get("format") != FORMAT or not isinstance(document.get("approvals"), list):
        raise CorruptRecord(key, "it is not a digest of this format")
    if signed and (document.get("store"), key) != (ledger.store.url, _key_of(document)):
        raise CorruptRecord(key, "it was signed for another store or day")
    unreadable = document.get("unreadable")
    words = f"{unreadable} of the decisions of {document.get('day')} could not be read when that day was over."
    return Decided(
        approvals=[read_approval(key, one) for one in document["approvals"]],
        problems=[RecordError(words)] if isinstance(unreadable, int) else [],
    )


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


# The questions that people ask of the records: what waits, what was decided, and how it went.


@dataclass(frozen=True, kw_only=True)
class Found:
    """Approvals that were read, and why others could not be."""

    approvals: list[Approval]
    problems: list[RecordError] = field(default_factory=list[RecordError])

    @property
    def waiting(self) -> list[Approval]:
        """Those that take an answer, the most urgent first."""
        return sorted((one for one in self.approvals if one.state is State.PENDING), key=urgency)


class Queries:
    """Reads many, and passes over what can't be read. Threads may share it.

    Parameters
    ----------
    ledger : Ledger
        Where the records are.
    clock : Clock
        The present.
    projection : Projection, optional
        What is open, of a process that keeps it. Default: everything is read each time.
    history : History, optional
        Likewise, what was decided.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, *, projection: Projection | None = None, history: History | None = None
    ) -> None:
        self._ledger = ledger
        self._projection = projection
        self._history = history or History(ledger, clock)

    def open(self, *, flow: str | None = None) -> Found:
        """Return everything that is not settled, in one flow or in all."""
        if self._projection is None or not self._projection.is_complete:
            found = _found(self._ledger.read_many(self._ledger.open_ids()))
        else:
            held, others, problems = self._projection.held()
            read = _found(self._ledger.read_many(others, hints=others))
            found = Found(
                approvals=[*(entry.approval for entry in held), *read.approvals], problems=[*problems, *read.problems]
            )
        if flow is None:
            return found
        return Found(approvals=[one for one in found.approvals if one.pathspec.flow == flow], problems=found.problems)

    def these(self, ids: Iterable[str]) -> Found:
        """Return approvals by their ids, as the records have them now."""
        return _found(self._ledger.read_many(ids))

    def decided(self, since: datetime, *, flow: str | None = None) -> Decided:
        """Return what was decided since a moment, the newest first."""
        return self._history.decided(since, flow=flow)

    def decided_like(self, approval: Approval, *, limit: int) -> Found:
        """Return what was decided last in the step of an approval, the newest first, without itself: one LIST."""
        place = approval.pathspec
        ids = self._ledger.decided_ids(place.flow, place.step, limit=limit + 1)
        found = self.these(one for one in ids if one != approval.id)
        return replace(found, approvals=[one for one in found.approvals if one.decision is not None][:limit])

    def statistics(
        self,
        since: datetime,
        *,
        flow: str | None = None,
        sees: Callable[[Approval], bool],
        problems: list[HitlError] | None = None,
    ) -> tuple[Statistics, int]:
        """Count what somebody sees of what was asked and decided since a moment; and say how much is not counted.

        Parameters
        ----------
        problems : list, optional
            Takes why others could not be read.
        """
        decided, found = self.decided(since, flow=flow), self.open(flow=flow)
        if problems is not None:
            problems += [*decided.problems, *found.problems]
        waiting = filter(sees, found.approvals)
        return statistics([*filter(sees, decided.approvals)], waiting, since=since), decided.left_out

    def rule_scores(
        self,
        since: datetime,
        *,
        flow: str | None = None,
        sees: Callable[[Approval], bool],
        problems: list[HitlError] | None = None,
    ) -> tuple[list[RuleScore], int]:
        """Compare rules in shadow mode with what people decided since a moment, with ``problems`` as ``statistics``."""
        decided = self.decided(since, flow=flow)
        if problems is not None:
            problems += decided.problems
        return rule_scores(filter(sees, decided.approvals)), decided.left_out


def urgency(approval: Approval) -> tuple[float, datetime]:
    """Sort by deadline, so that what is overdue comes first, then by age; what has no deadline comes last."""
    return (approval.deadline.timestamp() if approval.deadline else float("inf"), approval.requested_at)


def _found(read: Iterable[Entry | RecordError]) -> Found:
    found = Found(approvals=[])
    for one in read:
        if isinstance(one, RecordError):
            found.problems.append(one)
        else:
            found.approvals.append(one.approval)
    return found
