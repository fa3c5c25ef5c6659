"""One record: its versions, who vouches for each, the first thing that is wrong, and what the indexes say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.codec import Version
from metaflow_extensions.hitl.approvals.errors import (
    CorruptRecord,
    NoSuchApproval,
    NotVouchedFor,
    OtherPathspec,
    RecordError,
)
from metaflow_extensions.hitl.approvals.events import TrailEvent
from metaflow_extensions.hitl.approvals.evidence.binding import question_digest
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.ledger.trail import check_whole
from metaflow_extensions.hitl.approvals.record import Approval, Person, State, Verdict


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong."""

    key: str  # of the object
    problem: str


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """Who vouches for a version.

    Attributes
    ----------
    key : str, optional
        The id of the bot's key whose signature was checked. None: no key vouches.
    unchecked_key : str, optional
        The id of the key that the version names, if that is not one of those to check with.
    claimed_by : Person, optional
        Without a key: who the version says did it, where that is only a claim. None: nobody says anything.
    """

    key: str | None = None
    unchecked_key: str | None = None
    claimed_by: Person | None = None


@dataclass(frozen=True, kw_only=True)
class CheckedVersion:
    """One version that could be read."""

    version: Version
    sha256: str  # of its bytes, in hex
    voucher: Voucher


@dataclass(frozen=True, kw_only=True)
class Audited:
    """What was found out about one record."""

    approval_id: str
    versions: tuple[CheckedVersion, ...] = ()  # oldest first, up to the first that could not be read
    faults: tuple[Fault, ...] = ()  # the first bad version comes first

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def approval(self) -> Approval | None:
        """The newest version that could be read."""
        return self.versions[-1].version.approval if self.versions else None


def audit_alone(ledger: Ledger, approval_id: str) -> Audited:
    """Check one record and the markers that it should have: a GET for each version, a LIST for each marker.

    Raises
    ------
    NoSuchApproval
        There is none.
    StoreError
        It can't be checked now.
    """
    found = audit(ledger, approval_id, lambda key: has_marker(ledger, key))
    if not found.versions and found.is_whole:
        raise NoSuchApproval(approval_id, ledger.store.url)
    return found


def has_marker(ledger: Ledger, key: str) -> bool:
    """Ask the store for one marker: a LIST."""
    return next(iter(ledger.store.list(key, limit=1)), None) == key


def audit(ledger: Ledger, approval_id: str, is_there: Callable[[str], bool]) -> Audited:
    """Check one record.

    Parameters
    ----------
    ledger : Ledger
        Its keys are those whose signatures count.
    approval_id : str
        A whole id.
    is_there : Callable[[str], bool]
        Whether there is a marker of this key.

    Raises
    ------
    StoreError
        It can't be checked now.
    """
    numbers, faults = _numbers(ledger, approval_id)
    entries: list[Entry] = []
    unreadable: list[Fault] = []
    for number in numbers:
        try:
            entry = ledger.read_version(approval_id, number)
        except RecordError as error:
            unreadable = [_fault(bucket.version_key(approval_id, number), error)]
            break
        if entry is not None:
            entries.append(entry)
    # What is wrong among those that can be read comes before the first that can't.
    first_bad = _broken(approval_id, entries) or unreadable
    whole = not first_bad and not faults
    return Audited(
        approval_id=approval_id,
        versions=tuple(
            CheckedVersion(version=entry.version, sha256=entry.digest, voucher=voucher)
            for entry, voucher in zip(entries, vouchers([entry.version for entry in entries]), strict=True)
        ),
        faults=(*first_bad, *faults, *(_missing(entries[-1].approval, is_there) if whole and entries else ())),
    )


def end_markers(approval: Approval) -> tuple[str, ...]:
    """Return the keys of the markers that an approval may have once it was decided or closed, and has once settled."""
    decision, place = approval.decision, approval.pathspec
    end = decision or approval.closing
    if end is None:
        return ()
    keys = [bucket.decided_key(place.flow, place.step, approval.id, end.at)]
    if approval.question.evidence is not None and decision is not None and decision.verdict is Verdict.APPROVE:
        folder = bucket.approved_folder(place.flow, place.step, approval.shard_value)
        keys.append(bucket.newest_first_key(folder, approval.id, decision.at))
    return tuple(keys)


def _expected_markers(approval: Approval) -> tuple[str, ...]:
    if approval.settlement is None:
        return (bucket.open_key(approval.id),)
    # What a policy did not accept is in the history, and nothing is compared with it.
    return end_markers(approval)[: None if approval.state is State.APPROVED else 1]


def _numbers(ledger: Ledger, approval_id: str) -> tuple[list[int], tuple[Fault, ...]]:
    """Return the numbers of all versions, in order, and what lies beside them."""
    numbers: list[int] = []
    strays: list[Fault] = []
    for key in ledger.store.list(bucket.versions_folder(approval_id)):
        version = bucket.read_version_key(key)
        if version is None:
            strays.append(Fault(key=key, problem="no version has such a name"))
        else:
            numbers.append(version[1])
    return sorted(numbers), tuple(strays)


def _broken(approval_id: str, entries: list[Entry]) -> list[Fault]:
    try:
        check_whole(approval_id, entries)
    except CorruptRecord as error:
        return [_fault(error.key, error)]
    return [
        Fault(key=bucket.version_key(approval_id, entry.number), problem="its answer was given to another question")
        for entry in entries
        if _answers_another_question(entry.approval)
    ][:1]


def _answers_another_question(approval: Approval) -> bool:
    decision = approval.decision
    return decision is not None and decision.question_digest not in {"", question_digest(approval)}


def _fault(key: str, error: RecordError) -> Fault:
    if isinstance(error, (CorruptRecord, NotVouchedFor)):
        return Fault(key=key, problem=error.cause)
    if isinstance(error, OtherPathspec):
        return Fault(key=key, problem=f"it is a record about another task, {error.found}")
    return Fault(key=key, problem=str(error))


def _missing(approval: Approval, is_there: Callable[[str], bool]) -> Iterable[Fault]:
    return [
        Fault(key=key, problem="this marker is missing, so lists and history leave the record out")
        for key in _expected_markers(approval)
        if not is_there(key)
    ]


def vouchers(versions: Sequence[Version]) -> list[Voucher]:
    """Say who vouches for each of these versions, oldest first."""
    befores = (None, *(version.approval for version in versions))
    return [_voucher(before, version) for before, version in zip(befores, versions, strict=False)]


def _voucher(before: Approval | None, version: Version) -> Voucher:
    if version.approval.vouched_by is not None:
        return Voucher(key=version.approval.vouched_by)
    return Voucher(unchecked_key=version.key, claimed_by=_claimed_by(before, version))


def _claimed_by(before: Approval | None, version: Version) -> Person | None:
    """Return who did what a version adds, if it is a name that nobody vouches for."""
    after = version.approval
    person: Person | None = None
    if before is None:
        person = after.requester if version.event == TrailEvent.REQUESTED else None
    elif after.decision is not None and before.decision is None:
        person = after.decision.by
    elif after.votes and after.votes != before.votes:
        person = after.votes[-1].by
    return person if person is not None and person.is_claimed else None
