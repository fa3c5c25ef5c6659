"""The ledger: every version of every approval, as immutable, hash-chained objects in a store.

Its keys are in ``approvals/bucket.py``.

Whoever creates the next version first has won; the loser reads again. There is no lock and nothing is
overwritten, so this works on any store with an atomic create.
"""

import hashlib
import types
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from . import bucket, bucket_map, errors, transitions
from .bucket import ChangeMarker, DecidedMarker, Owed, version_key
from .codec import Version, check_document, decode, encode, sign_document
from .ports import Each, Store
from .record import Approval, Pathspec, Post, State, TrailEvent, checked_id
from .sealed import OPEN, Trust

# What is read from a ledger.


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The newest version of an approval, as read or written here."""

    version: Version
    digest: str  # SHA-256 of its bytes, in hex
    size: int = 0  # bytes
    # Whether it was held to the version before it: by one more read, by its signature, or since it was written here.
    is_linked: bool = field(default=False, compare=False)

    @property
    def approval(self) -> Approval:
        return self.version.approval

    @property
    def number(self) -> int:
        return self.version.number


# Whether a trail is intact: no gap, every hash right, the question and the decision never changed.


def check_intact(approval_id: str, trail: Sequence[Entry]) -> None:
    """Raise CorruptRecord about the first thing that is wrong with all versions of an approval, oldest first."""
    for position, entry in enumerate(trail, start=1):
        key = version_key(approval_id, entry.number)
        if entry.number != position:
            raise errors.CorruptRecord(key, f"version {position} is missing before it")
        if position > 1:
            check_follows(approval_id, trail[position - 2], entry)
        elif entry.version.previous is not None:
            raise errors.CorruptRecord(key, "it names a version before it, but it is the first")
        elif not transitions.asks_only(entry.approval):
            raise errors.CorruptRecord(key, "it changes what an earlier version had settled")


def check_follows(approval_id: str, before: Entry, entry: Entry) -> None:
    """Raise CorruptRecord if a version can't be the next after another one."""
    key = version_key(approval_id, entry.number)
    if entry.version.previous != before.digest:
        raise errors.CorruptRecord(key, f"the hash in it is not that of version {before.number}")
    if not transitions.follows(before.approval, entry.approval):
        raise errors.CorruptRecord(key, "it changes what an earlier version had settled")


# Reading and writing approvals as versions in a store.

_SURPLUS = "surplus"  # of what is signed
_ATTEMPTS = 20  # of a writer that keeps losing the race for the next version
_READERS = 16  # reads at once; S3 answers each in some 20 ms, and boto3 keeps 10 connections or more
# Longer than any one call takes, and than clocks differ: who has a clock that is behind must meet the claim of who has
# one that is ahead, also where a span ends in between.
_LEAST_CLAIM = timedelta(seconds=30)
_KEPT = 10_000  # approvals whose markers are written, or removed, later
_In = TypeVar("_In")
_Out = TypeVar("_Out")
_NAMED = 5  # of the approvals that begin alike, in the error


class Ledger:
    """Reads and writes approvals. Holds no state but the markers that the store did not take.

    Parameters
    ----------
    store : Store
        Where they are.
    trust : Trust
        Whose signatures count here, and what signs. Default: the open mode.
    observers : Sequence[Callable[[Entry], None]]
        Told of every newest version that is read or written here, in the thread that does it.
    on_write : Callable[[Entry], None], optional
        Told of every version that is written here, once, after it is in the store.
    each : Each
        Reads many at once. Default: with threads that end with the reading, as befits a command.
    """

    def __init__(
        self,
        store: Store,
        trust: Trust = OPEN,
        *,
        observers: Sequence[Callable[[Entry], None]] = (),
        on_write: Callable[[Entry], None] | None = None,
        each: Each | None = None,
    ) -> None:
        self.store = store
        self.trust = trust
        self._observers = observers
        self._on_write = on_write
        self._each: Each = each or _in_threads
        self._untold: dict[tuple[str, int], None] = {}  # versions that the tail does not name yet
        self._listed: dict[str, Approval] = {}  # settled, and on the list of open ones all the same

    # One approval: O(1) requests, whatever the history holds.

    def read(self, approval_id: str) -> Entry:
        """Read the newest version: one LIST and one GET.

        Raises
        ------
        NoSuchApproval
            There is none.
        CorruptRecord, NewerFormat, NeedsNewer, NotVouchedFor
            There is one, and it can't be trusted.
        """
        numbers = self._numbers(approval_id)
        if not numbers:
            raise errors.NoSuchApproval(approval_id, self.store.url)
        number = numbers[-1]
        if len(numbers) != number:
            missing = f"{number - len(numbers)} of the versions before it are missing"
            raise errors.CorruptRecord(bucket.version_key(approval_id, number), missing)
        try:
            return self._observed(self._entry(approval_id, number))
        except errors.KeyMissing as error:
            key = bucket.version_key(approval_id, number)
            raise errors.CorruptRecord(key, "it is listed but can't be read") from error

    def read_from(self, approval_id: str, hint: int) -> Entry:
        """Read the newest version where a change marker says which one that is: one GET, or what ``read`` takes.

        For what is shown; whoever acts on it reads the record as a whole. A marker may be missing, so a bot looks
        afterwards whether there is a newer version.
        """
        try:
            return self._observed(self._entry(approval_id, hint))
        except errors.KeyMissing:
            return self.read(approval_id)

    def read_to_act(self, approval_id: str) -> Entry:
        """Read the newest version to decide, release or open by it.

        In the sealed mode its signature speaks for all that came before. In the open mode one more GET holds it to the
        version before, as ``verify`` does with all of them.
        """
        return self.linked(self.read(approval_id))

    def linked(self, entry: Entry) -> Entry:
        """Hold a version to the one before it, unless that was done: one GET at most. Raises CorruptRecord."""
        if not entry.is_linked:
            check_follows(entry.approval.id, self._entry(entry.approval.id, entry.number - 1), entry)
        return replace(entry, is_linked=True)

    def check_before_release(self, entry: Entry) -> None:
        """Hold the record to its rules before a workflow goes on by it, as ``verify`` does.

        In the sealed mode all of it, and this entry has to be the newest; in the open mode, where whoever can write the
        store can answer, to the version before, which takes one GET.
        """
        approval_id = entry.approval.id
        if self.trust.is_sealed:
            if self.verify(approval_id)[-1].approval.decision != entry.approval.decision:
                raise errors.CorruptRecord(
                    bucket.version_key(approval_id, entry.number), "its decision is not the newest"
                )
        else:
            self.linked(entry)

    def read_version(self, approval_id: str, number: int) -> Entry | None:
        """Read one version: one GET. None if it is not written yet."""
        try:
            return self._entry(approval_id, number)
        except errors.KeyMissing:
            return None

    def begin(self, approval: Approval, *, key: str | None = None) -> Entry:
        """Write the first version, or return what is there if it is about the same task.

        Parameters
        ----------
        key : str, optional
            The id of the key to sign with. Default: the newest.
        """
        self._check_may_write(approval.id)
        # The marker comes first: a crash in between leaves something to clean, never something lost.
        self.store.mark(bucket.open_key(approval.id))
        if approval.question.supersede:
            # Also before the record: of two that ask at once, each writes its marker before it looks for the other's.
            self.store.mark(_asked_key(approval))
        version = Version(
            number=1,
            previous=None,
            event=TrailEvent.REQUESTED,
            at=approval.requested_at,
            approval=approval,
            key=key or self.trust.newest_key,
        )
        try:
            return self._write(version)
        except errors.KeyTaken:
            entry = self.read(approval.id)
            transitions.belongs_to(entry.approval, approval.pathspec)
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
            except errors.HitlError:
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
            version = Version(
                number=entry.number + 1,
                previous=entry.digest,
                event=said,
                at=at,
                approval=approval,
                key=self._key_after(entry),
            )
            try:
                return replace(self._write(version), is_linked=entry.is_linked)
            except errors.KeyTaken:
                entry = self.read(approval_id)
        raise errors.TooManyWriters(approval_id)

    def finish(self, approval: Approval) -> None:
        """Take a settled approval off the list of open ones, once the tail names what was written here."""
        settled = approval.settlement
        if len(self._listed) < _KEPT:
            self._listed[approval.id] = approval
        self.catch_up(approval.requested_at if settled is None else settled.at)

    def _check_may_write(self, approval_id: str) -> None:
        if not self.trust.writes:
            raise errors.OnlyTheBotWrites(approval_id)

    def _key_after(self, entry: Entry) -> str | None:
        """Return the key for the version after this one: the same, which the run trusts, as long as it is here."""
        self._check_may_write(entry.approval.id)
        before = entry.version.key
        if before is not None and not self.trust.is_sealed:
            raise errors.OnlyTheBotWrites(entry.approval.id)
        return (self.trust.key_for((before,)) if before else None) or self.trust.newest_key

    def _write(self, version: Version) -> Entry:
        # Whoever signs vouches for it.
        version = replace(version, approval=replace(version.approval, vouched_by=version.key))
        body = encode(version, self.trust, store=self.store.url)
        approval_id = version.approval.id
        try:
            self.store.create(bucket.version_key(approval_id, version.number), body)
        except errors.StoreUnavailable:
            self._not_told(approval_id, version.number)  # it may be there: only the answer was lost
            raise
        entry = self._observed(self._as_entry(version, body))
        if self._on_write is not None:
            self._on_write(entry)
        # After the record, so that who follows the tail finds what it names, and nobody waits for it; a bot's checks of
        # what is open find what a crash in between leaves out. Without the marker the record is there all the same: an
        # error here would tell a person that it is not.
        try:
            self.store.mark(bucket.change_key(version.at, approval_id, version.number))
        except errors.StoreUnavailable:
            self._not_told(approval_id, version.number)
        return entry

    def _not_told(self, approval_id: str, number: int) -> None:
        if len(self._untold) < _KEPT:
            self._untold[approval_id, number] = None

    def catch_up(self, now: datetime) -> None:
        """Write and remove the markers for which the store was away before; raises StoreUnavailable if it still is."""
        for approval_id, number in list(self._untold):
            self.store.mark(bucket.change_key(now, approval_id, number))  # where the tail is now
            self._untold.pop((approval_id, number), None)
        for approval in list(self._listed.values()):
            self.store.unmark(bucket.open_key(approval.id))
            if approval.question.supersede:
                self.store.unmark(_asked_key(approval))
            self._listed.pop(approval.id, None)

    def _observed(self, entry: Entry) -> Entry:
        for observe in self._observers:
            observe(entry)
        return entry

    def _entry(self, approval_id: str, number: int) -> Entry:
        key = bucket.version_key(approval_id, number)
        body = self.store.read(key)
        version = decode(key, body, self.trust, store=self.store.url)
        if version.number != number:
            raise errors.CorruptRecord(key, f"it says that it is version {version.number}")
        if version.approval.id != approval_id:
            raise errors.OtherPathspec(approval_id, f"the task of {approval_id}", str(version.approval.pathspec))
        return self._as_entry(version, body)

    # Many approvals.

    def resolve(self, text: str) -> str:
        """Turn an id, a unique beginning of one, or a pathspec into an id.

        Raises
        ------
        BadId
            It can be none of these.
        NoSuchApproval, AmbiguousId
            It names none, or several.
        NotTakenOverYet
            It names one that a run has asked for, which no bot has taken over.
        """
        text = text.strip()
        beginning = Pathspec.parse(text).approval_id if "/" in text else checked_id(text)
        # A whole id means itself, even if others begin with it.
        if self._has_any(bucket.versions_folder(beginning)):
            return beginning
        found = list(islice(self._ids(beginning), _NAMED))
        if len(found) == 1:
            return found[0]
        if found:
            raise errors.AmbiguousId(text, found)
        if not self.trust.writes and self._has_any(bucket.proposed_questions(beginning)):
            raise errors.NotTakenOverYet(text, self.store.url)
        raise errors.NoSuchApproval(text, self.store.url)

    def _has_any(self, prefix: str) -> bool:
        return next(iter(self.store.list(prefix, limit=1)), None) is not None

    def _ids(self, beginning: str) -> Iterator[str]:
        after = ""
        while (found := self._next_version(bucket_map.APPROVALS.root + beginning, after)) is not None:
            yield found
            after = bucket.after_all(bucket.versions_folder(found))

    def _next_version(self, prefix: str, after: str) -> str | None:
        """Return the id of the first version after a key; skips names that are not versions."""
        named = map(bucket.read_version_key, self.store.list(prefix, after=after))
        return next((version[0] for version in named if version is not None), None)

    def open_ids(self, beginning: str = "") -> Iterator[str]:
        """Yield the ids that are not settled: one LIST for each 1,000. Skips names that are not IDs."""
        ids = map(bucket.read_open_key, self.store.list(bucket_map.OPEN.root + beginning))
        return (approval_id for approval_id in ids if approval_id is not None)

    def read_many(
        self, ids: Iterable[str], *, hints: Mapping[str, int] = types.MappingProxyType({})
    ) -> Iterator[Entry | errors.RecordError]:
        """Read approvals in parallel, in the order of their ids; one that can't be read yields its error.

        Parameters
        ----------
        ids : Iterable[str]
            Whole ids.
        hints : Mapping[str, int]
            The number of the newest version, as far as the tail knows it.
        """

        def one(approval_id: str) -> Entry | errors.RecordError:
            try:
                hint = hints.get(approval_id)
                return self.read(approval_id) if hint is None else self.read_from(approval_id, hint)
            except errors.RecordError as error:
                return error

        todo = iter(ids)
        # A chunk at a time: tens of thousands of open approvals must not all wait in memory.
        while chunk := list(islice(todo, _READERS * 16)):
            yield from self._each(one, chunk)

    def note_ended(self, approval: Approval) -> None:
        """Put an approval that was decided, or closed without an answer, into the history of its step."""
        flow, step = approval.pathspec.flow, approval.pathspec.step
        end = approval.decision or approval.closing
        if end is not None:
            self.store.mark(bucket.decided_key(flow, step, approval.id, end.at))
        for number, obligation in approval.open_obligations.items():
            self.store.mark(bucket.owed_key(bucket.Owed(day=obligation.day, approval_id=approval.id, number=number)))
        recorded = approval.question.evidence is not None  # without, there is nothing to compare the next one with
        if recorded and approval.state is State.APPROVED and approval.decision is not None:
            folder = bucket.approved_folder(flow, step, approval.shard_value)
            self.store.mark(bucket.newest_first_key(folder, approval.id, approval.decision.at))

    def owed(self, until: date | None = None, *, day: date | None = None) -> Iterator[Owed]:
        """Yield the markers of open obligations, the first due first: one LIST for each 1,000.

        Parameters
        ----------
        until, day : date, optional
            Only what is due by then, or on that day.
        """
        for key in self.store.list(bucket_map.OWED.root if day is None else bucket.owed_on(day)):
            owed = bucket.read_owed_key(key)
            if owed is not None:
                if until is not None and owed.day > until:
                    return
                yield owed

    def no_longer_owed(self, owed: Owed) -> None:
        """Remove the marker of an obligation that is closed; where it can't be removed here, a bot does it."""
        with suppress(errors.StoreError):
            self.store.unmark(bucket.owed_key(owed))

    def asked_ids(self, flow: str, step: str, shard: str | None, *, limit: int) -> list[str]:
        """Return the ids of open questions that a newer one may take the place of, newest first: one LIST."""
        return self._newest_first(bucket.asked_folder(flow, step, shard), limit)

    def approved_ids(self, flow: str, step: str, shard: str | None, *, limit: int) -> list[str]:
        """Return the ids approved last of one step, or of one shard of it, newest first: one LIST."""
        return self._newest_first(bucket.approved_folder(flow, step, shard), limit)

    def _newest_first(self, folder: str, limit: int) -> list[str]:
        ids = map(bucket.read_newest_first_key, self.store.list(folder, limit=limit))
        return [approval_id for approval_id in ids if approval_id is not None]

    def decided_ids(self, flow: str, step: str, *, limit: int) -> list[str]:
        """Return the ids that ended last in one step, newest first: decided, or closed without an answer."""
        markers = map(bucket.read_decided_key, self.store.list(bucket.decided_folder(flow, step)))
        return [marker.approval_id for marker in islice((one for one in markers if one is not None), limit)]

    def decided_since(self, since: datetime, *, flow: str | None = None) -> Iterator[tuple[datetime, str]]:
        """Yield when and what ended since then, in one flow or in all: step by step, each newest first.

        One LIST for each step that was ever gated, and one more for each 1,000 decisions in the span.
        """
        root = bucket_map.DECIDED.folder() if flow is None else bucket_map.DECIDED.folder(flow)
        after = ""
        while (first := self._next_decided(root, after)) is not None:
            folder = bucket.decided_folder(first.flow, first.step)
            for key in self.store.list(folder):
                decided = bucket.read_decided_key(key)
                if decided is None:
                    continue
                if decided.at < since:
                    break
                yield decided.at, decided.approval_id
            after = bucket.after_all(folder)

    def _next_decided(self, prefix: str, after: str) -> DecidedMarker | None:
        markers = map(bucket.read_decided_key, self.store.list(prefix, after=after))
        return next((marker for marker in markers if marker is not None), None)

    def changes(self, since: datetime, *, known: Container[str] = ()) -> Iterator[ChangeMarker]:
        """Yield what was written since then by the writers' clocks, oldest first.

        Known keys are passed over, and those that are not of the tail.
        """
        for key in self.store.list(bucket_map.CHANGES.root, after=bucket.changes_from(since)):
            change = None if key in known else bucket.read_change_key(key)
            if change is not None:
                yield change

    def newest_changes(self) -> dict[str, ChangeMarker]:
        """Return the change with the highest number that the tail names, by approval: a LIST for each 1,000 markers."""
        newest: dict[str, ChangeMarker] = {}
        for change in self.changes(bucket.FIRST_MOMENT):
            known = newest.get(change.approval_id)
            if known is None or change.number >= known.number:
                newest[change.approval_id] = change
        return newest

    def claim(self, approval_id: str, what: str, holder: str, *, now: datetime, during: timedelta) -> bool:
        """Reserve an act that can't be taken back for one of several sweepers, until the next of equal spans of time.

        Returns
        -------
        bool
            Whether it is this holder's, for 30 seconds at the least. Asking again gives the same answer, until the
            span is over.
        """
        # What begins at the end of a span is still under way in the next, so that one has to be free, too.
        spans = {bucket.claim_key(approval_id, what, now=at, during=during) for at in (now, now + _LEAST_CLAIM)}
        return all(self._hold(key, holder.encode()) for key in sorted(spans))

    def _hold(self, key: str, holder: bytes) -> bool:
        try:
            self.store.create(key, holder)
        except errors.KeyTaken:
            return self.store.read(key) == holder
        return True

    # What else counts only if the bot wrote it.

    def _as_entry(self, version: Version, body: bytes) -> Entry:
        is_linked = self.trust.is_sealed or version.number == 1
        return Entry(version=version, digest=hashlib.sha256(body).hexdigest(), size=len(body), is_linked=is_linked)

    def write_note(self, key: str, kind: str, document: Mapping[str, Any]) -> None:
        """Write a small JSON object once, signed in the sealed mode; raise KeyTaken, or NotJson."""
        noted = {**document, "place": key}
        self.store.create(key, sign_document(noted, trust=self.trust, kind=kind, store=self.store.url))

    def read_note(self, key: str, kind: str) -> dict[str, Any]:
        """Read what ``write_note`` wrote at this key as this kind.

        Raises
        ------
        KeyMissing
            There is none.
        CorruptRecord, NotVouchedFor
            There is something else. In the open mode whoever can write the store can write notes.
        """
        body = self.store.read(key)
        document, _ = check_document(key, body, trust=self.trust, kind=kind, store=self.store.url)
        if document.get("place") != key:
            raise errors.CorruptRecord(key, "it was written for another place")
        return document

    def note_surplus(self, about: str, post: Post) -> None:
        """Note that a message stands beside the one that the record of this approval, or the batch, names."""
        place = {"notifier": post.notifier, "channel": post.channel, "ts": post.ts}
        with suppress(errors.KeyTaken):
            self.write_note(bucket.surplus_key(about, str(post.channel), str(post.ts)), _SURPLUS, place)

    def surplus(self, key: str, now: datetime) -> Post | None:
        """Return the message that ``note_surplus`` noted here; None if nobody who is believed did, or it is named."""
        about = bucket.read_surplus_key(key)
        try:
            place = self.read_note(key, _SURPLUS)
            post = Post(notifier=str(place["notifier"]), at=now, channel=str(place["channel"]), ts=str(place["ts"]))
        except (
            KeyError,
            errors.KeyMissing,
            errors.RecordError,
        ):  # another bot may have removed the message, and the note
            return None
        try:
            named = self.read(str(about)).approval.posts
        except errors.NoSuchApproval:
            return post  # it is about a batch
        except errors.RecordError:
            return None
        return None if any((one.channel, one.ts) == (post.channel, post.ts) for one in named) else post

    # The trail.

    def trail(self, approval_id: str) -> list[Entry]:
        """Read every version, oldest first."""
        numbers = self._numbers(approval_id)
        if not numbers:
            raise errors.NoSuchApproval(approval_id, self.store.url)
        return [self._entry(approval_id, number) for number in numbers]

    def _numbers(self, approval_id: str) -> list[int]:
        """Return the numbers of all versions, in order."""
        numbers: list[int] = []
        for key in self.store.list(bucket.versions_folder(approval_id)):
            version = bucket.read_version_key(key)
            if version is None:
                raise errors.CorruptRecord(key, "no version has such a name")
            numbers.append(version[1])
        return numbers

    def verify(self, approval_id: str) -> list[Entry]:
        """Prove that the trail is intact: no gap, every hash right, the question and the decision never changed.

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
        check_intact(approval_id, trail)
        return trail


def _in_threads(function: Callable[[_In], _Out], things: Iterable[_In], /) -> Iterator[_Out]:
    with ThreadPoolExecutor(_READERS) as readers:
        yield from readers.map(function, things)


def _asked_key(approval: Approval) -> str:
    folder = bucket.asked_folder(approval.pathspec.flow, approval.pathspec.step, approval.shard_value)
    return bucket.newest_first_key(folder, approval.id, approval.requested_at)
