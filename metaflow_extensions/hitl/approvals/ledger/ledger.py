"""Reading and writing approvals as versions in a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any, cast

from metaflow_extensions.hitl.approvals.codec import Version, decode, encode, with_checksum, without_checksum
from metaflow_extensions.hitl.approvals.errors import (
    AmbiguousId,
    CorruptRecord,
    HitlError,
    KeyMissing,
    KeyTaken,
    NoSuchApproval,
    NotVouchedFor,
    OnlyTheBotWrites,
    OtherPathspec,
    RecordError,
    StoreUnavailable,
    TooManyWriters,
)
from metaflow_extensions.hitl.approvals.events import TrailEvent
from metaflow_extensions.hitl.approvals.ledger import keys
from metaflow_extensions.hitl.approvals.ledger.entries import Change, Entry
from metaflow_extensions.hitl.approvals.ledger.trail import check_follows, check_whole
from metaflow_extensions.hitl.approvals.pathspec import Pathspec, checked_id, is_id
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import Approval, State
from metaflow_extensions.hitl.approvals.sealed import OPEN, Trust
from metaflow_extensions.hitl.approvals.transitions import belongs_to

_ATTEMPTS = 20  # of a writer that keeps losing the race for the next version
_READERS = 16  # reads at once; S3 answers each in some 20 ms, and boto3 keeps 10 connections or more
_LEAST_CLAIM = timedelta(seconds=15)  # longer than any one call takes
_NAMED = 5  # of the approvals that begin alike, in the error


class Ledger:
    """Reads and writes approvals. Holds no state of its own.

    Parameters
    ----------
    store : Store
        Where they are.
    trust : Trust
        Whose signatures count here, and what signs. Default: the open mode.
    """

    def __init__(self, store: Store, trust: Trust = OPEN) -> None:
        self.store = store
        self.trust = trust

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
        versions = list(self.store.list(keys.folder(approval_id)))
        if not versions:
            raise NoSuchApproval(approval_id, self.store.url)
        number = keys.version_number(versions[-1])
        if len(versions) != number:
            raise CorruptRecord(versions[-1], f"{number - len(versions)} of the versions before it are missing")
        return self._entry(approval_id, number)

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
                raise CorruptRecord(keys.version_key(approval_id, entry.number), "its decision is not the newest")
        else:
            self.linked(entry)

    def read_version(self, approval_id: str, number: int) -> Entry | None:
        """Read one version: one GET. None if it is not written yet."""
        try:
            return self._entry(approval_id, number)
        except KeyMissing:
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
        self.store.mark(keys.open_key(approval.id))
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
            except KeyTaken:
                entry = self.read(approval_id)
        raise TooManyWriters(approval_id)

    def finish(self, approval: Approval) -> None:
        """Take a settled approval off the list of open ones."""
        self.store.unmark(keys.open_key(approval.id))
        if approval.question.supersede:
            self.store.unmark(_asked_key(approval))

    def _check_may_write(self, approval_id: str) -> None:
        if not self.trust.writes:
            raise OnlyTheBotWrites(approval_id)

    def _key_after(self, entry: Entry) -> str | None:
        """Return the key for the version after this one: the same, which the run trusts, as long as it is here."""
        self._check_may_write(entry.approval.id)
        before = entry.version.key
        if before is not None and not self.trust.is_sealed:
            raise OnlyTheBotWrites(entry.approval.id)
        return (self.trust.key_for((before,)) if before else None) or self.trust.newest_key

    def _write(self, version: Version) -> Entry:
        # Whoever signs vouches for it.
        version = replace(version, approval=replace(version.approval, vouched_by=version.key))
        body = encode(version, self.trust, store=self.store.url)
        approval_id = version.approval.id
        self.store.create(keys.version_key(approval_id, version.number), body)
        # After the record, so that who follows the tail finds what it names; `open/` covers a crash in between. Without
        # the marker the record stands all the same: an error here would tell a person that it does not.
        with suppress(StoreUnavailable):
            self.store.mark(f"{keys.change_key(version.at)}-{approval_id}-{version.number}")
        return self._as_entry(version, body)

    def _entry(self, approval_id: str, number: int) -> Entry:
        key = keys.version_key(approval_id, number)
        body = self.store.read(key)
        version = decode(key, body, self.trust, store=self.store.url)
        if version.number != number:
            raise CorruptRecord(key, f"it says that it is version {version.number}")
        if version.approval.id != approval_id:
            raise OtherPathspec(approval_id, f"the task of {approval_id}", str(version.approval.pathspec))
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
        """
        text = text.strip()
        if "/" in text:
            return Pathspec.parse(text).approval_id
        beginning = checked_id(text)
        # A whole id means itself, even if others begin with it.
        if next(iter(self.store.list(keys.folder(beginning), limit=1)), None) is not None:
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
        names = (key.split("/", 1)[1] for key in self.store.list(keys.OPEN))
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
            self.store.mark(keys.decided_key(approval.pathspec, approval.id, approval.decision.at))
        recorded = approval.question.evidence is not None  # without, there is nothing to compare the next one with
        if recorded and approval.state is State.APPROVED and approval.decision is not None:
            self.store.mark(
                keys.approved_key(approval.pathspec, approval.shard_value, approval.id, approval.decision.at)
            )

    def asked_ids(self, flow: str, step: str, shard: str | None, *, limit: int) -> list[str]:
        """Return the ids of open questions that a newer one may take the place of, newest first: one LIST."""
        found = map(keys.decided, self.store.list(keys.asked_folder(flow, step, shard), limit=limit))
        return [marker[1] for marker in found if marker is not None]

    def approved_ids(self, flow: str, step: str, shard: str | None, *, limit: int) -> list[str]:
        """Return the ids approved last of one step, or of one shard of it, newest first: one LIST."""
        found = map(keys.decided, self.store.list(keys.approved_folder(flow, step, shard), limit=limit))
        return [marker[1] for marker in found if marker is not None]

    def decided_ids(self, flow: str, step: str, *, limit: int) -> list[str]:
        """Return the ids decided last in one step, newest first."""
        markers = self.store.list(keys.decided_folder(flow, step), limit=limit)
        return [key.rsplit("/", 1)[1].split("-", 1)[1] for key in markers]

    def decided_since(self, since: datetime, *, flow: str | None = None) -> Iterator[tuple[datetime, str]]:
        """Yield when and what was decided since then, in one flow or in all: step by step, each newest first.

        One LIST for each step that was ever gated, and one more for each 1,000 decisions in the span.
        """
        root = keys.DECIDED if flow is None else f"{keys.DECIDED}{flow}/"
        after = ""
        while (key := next(iter(self.store.list(root, after=after, limit=1)), None)) is not None:
            step = key.rsplit("/", 1)[0]
            for marker in self.store.list(f"{step}/"):
                decided = keys.decided(marker)
                if decided is None:
                    continue
                if decided[0] < since:
                    break
                yield decided
            after = f"{step}/~"  # behind every decision of this step

    def changes(self, since: datetime) -> Iterator[Change]:
        """Yield what was written since then by the writers' clocks, oldest first; other keys are passed over."""
        for key in self.store.list(keys.CHANGES, after=keys.change_key(since)):
            change = keys.change(key)
            if change is not None:
                yield change

    def forget_changes(self, before: datetime) -> int:
        """Remove the tail's markers that are older; return how many."""
        end = keys.change_key(before)
        count = 0
        for key in takewhile(lambda key: key < end, self.store.list(keys.CHANGES)):
            self.store.unmark(key)
            count += 1
        return count

    def claim(self, approval_id: str, what: str, holder: str, *, now: datetime, during: timedelta) -> bool:
        """Reserve an act that can't be taken back for one of several sweepers, until the next of equal spans of time.

        Returns
        -------
        bool
            Whether it is this holder's, for 15 seconds at the least. Asking again gives the same answer, until the
            span is over.
        """
        # What begins at the end of a span is still under way in the next, so that one has to be free, too.
        spans = {keys.claim_key(approval_id, what, now=at, during=during) for at in (now, now + _LEAST_CLAIM)}
        return all(self._hold(key, holder.encode()) for key in sorted(spans))

    def _hold(self, key: str, holder: bytes) -> bool:
        try:
            self.store.create(key, holder)
        except KeyTaken:
            return self.store.read(key) == holder
        return True

    # What else counts only if the bot wrote it.

    def _as_entry(self, version: Version, body: bytes) -> Entry:
        is_linked = self.trust.is_sealed or version.number == 1
        return Entry(version=version, digest=hashlib.sha256(body).hexdigest(), is_linked=is_linked)

    def write_note(self, key: str, kind: str, document: Mapping[str, Any]) -> None:
        """Write a small JSON object once, signed in the sealed mode; raise KeyTaken, or NotJson."""
        noted: dict[str, Any] = {**document, "place": key}
        if signing_key := self.trust.newest_key:
            noted |= {"key": signing_key, "store": self.store.url}
        self.store.create(key, with_checksum(noted, trust=self.trust, kind=kind))

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
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise CorruptRecord(key, "it is not JSON") from error
        whole = without_checksum(key, body)
        if not isinstance(document, dict):
            raise CorruptRecord(key, "it is not a JSON object")
        document = cast("dict[str, Any]", document)
        if document.get("place") != key:
            raise CorruptRecord(key, "it was written for another place")
        vouched_by = self.trust.check(key, kind, document.get("key"), whole)
        if vouched_by is not None and document.get("store") != self.store.url:
            raise NotVouchedFor(key, "it was signed for another store")
        return document

    # The trail.

    def trail(self, approval_id: str) -> list[Entry]:
        """Read every version, oldest first."""
        numbers = sorted(keys.version_number(key) for key in self.store.list(keys.folder(approval_id)))
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
        check_whole(approval_id, trail)
        return trail


def _asked_key(approval: Approval) -> str:
    return keys.asked_key(approval.pathspec, approval.shard_value, approval.id, approval.requested_at)
