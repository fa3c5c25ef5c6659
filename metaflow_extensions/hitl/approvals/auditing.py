"""Checking records after the fact: who vouches for each version, and whether anything was changed or removed.

Nothing here writes. It works on a copy of the bucket, too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from . import bucket, bucket_map
from .codec import Version
from .errors import CorruptRecord, NoSuchApproval, NotVouchedFor, OtherPathspec, RecordError
from .evidence.binding import question_digest
from .ledger import Entry, Ledger, check_intact
from .ports import has_key
from .record import Approval, Decision, FollowUpKind, Person, State, TrailEvent, Verdict, is_id

# One record: its versions, who vouches for each, the first thing that is wrong, and what the indexes say about it.


@dataclass(frozen=True, kw_only=True)
class Defect:
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
    faults: tuple[Defect, ...] = ()  # the first bad version comes first

    @property
    def is_intact(self) -> bool:
        """Whether no problems were found."""
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
    found = audit(ledger, approval_id, lambda key: has_key(ledger.store, key))
    if not found.versions and found.is_intact:
        raise NoSuchApproval(approval_id, ledger.store.url)
    return found


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
    unreadable: list[Defect] = []
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
    intact = not first_bad and not faults
    return Audited(
        approval_id=approval_id,
        versions=tuple(
            CheckedVersion(version=entry.version, sha256=entry.digest, voucher=voucher)
            for entry, voucher in zip(entries, vouchers([entry.version for entry in entries]), strict=True)
        ),
        faults=(*first_bad, *faults, *(_missing(ledger, entries[-1].approval, is_there) if intact and entries else ())),
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


def _numbers(ledger: Ledger, approval_id: str) -> tuple[list[int], tuple[Defect, ...]]:
    """Return the numbers of all versions, in order, and what lies beside them."""
    numbers: list[int] = []
    strays: list[Defect] = []
    for key in ledger.store.list(bucket.versions_folder(approval_id)):
        version = bucket.read_version_key(key)
        if version is None:
            strays.append(Defect(key=key, problem="no version has such a name"))
        else:
            numbers.append(version[1])
    return sorted(numbers), tuple(strays)


def _broken(approval_id: str, entries: list[Entry]) -> list[Defect]:
    try:
        check_intact(approval_id, entries)
    except CorruptRecord as error:
        return [_fault(error.key, error)]
    return [
        Defect(key=bucket.version_key(approval_id, entry.number), problem="its answer was given to another question")
        for entry in entries
        if _answers_another_question(entry.approval)
    ][:1]


def _answers_another_question(approval: Approval) -> bool:
    decision = approval.decision
    return decision is not None and decision.question_digest not in {"", question_digest(approval)}


def _fault(key: str, error: RecordError) -> Defect:
    if isinstance(error, (CorruptRecord, NotVouchedFor)):
        return Defect(key=key, problem=error.cause)
    if isinstance(error, OtherPathspec):
        return Defect(key=key, problem=f"it is a record about another task, {error.found}")
    return Defect(key=key, problem=str(error))


def _missing(ledger: Ledger, approval: Approval, is_there: Callable[[str], bool]) -> Iterable[Defect]:
    return [
        Defect(key=key, problem="this marker is missing, so lists and history leave the record out")
        for key in _expected_markers(approval)
        if not is_there(key) and not _is_long_past(ledger, key)
    ]


def _is_long_past(ledger: Ledger, key: str) -> bool:
    """Whether this marker may have been removed: of a step's approvals only the newest are kept."""
    folder = bucket.approved_folder_of(key)
    if folder is None:
        return False
    newest = list(ledger.store.list(folder, limit=bucket_map.KEPT_APPROVED))
    return len(newest) == bucket_map.KEPT_APPROVED and newest[-1] < key


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


# All records of a bucket, or those of a span of time, held to each other and to the indexes.

_READERS = 16
_CHUNK = 256  # records that are read ahead


@dataclass(frozen=True, kw_only=True)
class _Indexes:
    """What the markers say, all of it."""

    keys: frozenset[str]
    by_id: dict[str, tuple[str, ...]]  # the markers of decisions
    newest: dict[str, datetime]  # when each was decided last, as the markers say
    numbers: dict[str, int]  # the highest version that the tail knows
    strays: tuple[Defect, ...]


def audit_all(ledger: Ledger, since: datetime | None = None) -> Iterator[Audited]:
    """Check every record, in the order of their ids, then what the indexes say about records that are not there.

    Parameters
    ----------
    ledger : Ledger
        As for ``audit``.
    since : datetime, optional
        Leave out what was decided before, as the index of decisions has it. Whatever is in no index is checked.

    Notes
    -----
    A LIST for each 1,000 keys of records and of markers, and a GET for each version that is checked.
    """
    # The indexes come first: what is written meanwhile is then in the record, and missing from them at worst.
    indexes = _read_indexes(ledger)
    ids = set[str]()
    strays = list(indexes.strays)

    def wanted() -> Iterator[str]:
        for approval_id in _ids(ledger, strays):
            ids.add(approval_id)
            decided_at = indexes.newest.get(approval_id)
            is_open = bucket.open_key(approval_id) in indexes.keys
            if since is None or decided_at is None or decided_at >= since or is_open:
                yield approval_id

    def one(approval_id: str) -> Audited:
        found = audit(ledger, approval_id, lambda key: key in indexes.keys or has_key(ledger.store, key))
        return replace(found, faults=(*found.faults, *_contradicted(found, indexes)))

    with ThreadPoolExecutor(_READERS) as readers:
        todo = wanted()
        while chunk := list(islice(todo, _CHUNK)):
            yield from readers.map(one, chunk)
    yield from _without_record(ids, indexes)
    yield from (Audited(approval_id="", faults=(stray,)) for stray in strays)


def _ids(ledger: Ledger, strays: list[Defect]) -> Iterator[str]:
    """Yield the id of each record once, in order; note what lies among the records and belongs to none."""
    last = ""
    for key in ledger.store.list(bucket_map.APPROVALS.root):
        name = key.removeprefix(bucket_map.APPROVALS.root)
        approval_id, slash, _ = name.partition("/")
        if not slash or not is_id(approval_id):
            strays.append(Defect(key=key, problem="no record has such a name"))
        elif approval_id != last:
            last = approval_id
            yield approval_id


def _read_indexes(ledger: Ledger) -> _Indexes:
    keys = {bucket.open_key(approval_id) for approval_id in ledger.open_ids()}
    by_id: dict[str, tuple[str, ...]] = {}
    newest: dict[str, datetime] = {}
    strays: list[Defect] = []
    for prefix in (bucket_map.DECIDED, bucket_map.APPROVED):
        for key in ledger.store.list(prefix.root):
            decided = bucket.read_decided_key(key)
            approval_id = decided.approval_id if decided else bucket.read_newest_first_key(key)
            if approval_id is None:
                strays.append(Defect(key=key, problem="no marker has such a name"))
                continue
            keys.add(key)
            by_id[approval_id] = (*by_id.get(approval_id, ()), key)
            if decided is not None:
                newest[approval_id] = max(decided.at, newest.get(approval_id, decided.at))
    numbers = {approval_id: change.number for approval_id, change in ledger.newest_changes().items()}
    return _Indexes(keys=frozenset(keys), by_id=by_id, newest=newest, numbers=numbers, strays=tuple(strays))


def _contradicted(audited: Audited, indexes: _Indexes) -> Iterator[Defect]:
    """Yield what the indexes know and the record does not: newer versions, and decisions."""
    approval = audited.approval
    if approval is None or not audited.is_intact:
        return
    highest = indexes.numbers.get(approval.id, 0)
    if highest > audited.versions[-1].version.number:
        yield Defect(
            key=bucket.version_key(approval.id, highest), problem="the tail says that it was written, but it is missing"
        )
    for key in indexes.by_id.get(approval.id, ()):
        if key not in end_markers(approval):
            yield Defect(key=key, problem="the record says otherwise")


def _without_record(ids: set[str], indexes: _Indexes) -> Iterator[Audited]:
    for approval_id in sorted(indexes.by_id.keys() - ids):
        key = indexes.by_id[approval_id][0]
        problem = "it says that this was decided or closed, and there is no record of it"
        yield Audited(approval_id=approval_id, faults=(Defect(key=key, problem=problem),))


# What an auditor gets: one document for each decision, and the same as one row of a table.

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def is_exported(audited: Audited, since: datetime | None) -> bool:
    """Whether this is a decision of the span, or something that can't be read, which is never left out."""
    approval = audited.approval
    if approval is None or not audited.is_intact:
        return True
    return approval.decision is not None and (since is None or approval.decision.at >= since)


def document(audited: Audited) -> dict[str, Any]:
    """Return everything about a decision that an auditor asks for; names are never taken away, only added."""
    approval = audited.approval
    newest = audited.versions[-1] if audited.versions else None
    return {
        "id": audited.approval_id,
        **(_question(approval) if approval is not None else {}),
        **(_decision(approval.decision) if approval is not None and approval.decision is not None else {}),
        **(_evidence(approval) if approval is not None else {}),
        "obligations": [] if approval is None else _obligations(approval),
        "versions": len(audited.versions),
        "record_sha256": newest.sha256 if newest else None,
        "vouched_by": newest.voucher.key if newest else None,
        "intact": audited.is_intact,
        "faults": [f"{fault.key}: {fault.problem}" for fault in audited.faults],
    }


COLUMNS = (
    *("id", "state", "flow", "run", "step", "task", "question", "requested_by", "requested_at"),
    *("verdict", "decided_by", "on_behalf_of", "voters", "decided_at", "where", "input", "reason"),
    *("metrics", "compared_with", "parameters", "commit", "local_changes", "code_package", "artifacts_sha256"),
    "obligations",
    *("question_sha256", "versions", "record_sha256", "vouched_by", "intact", "faults"),
)


def _obligations(approval: Approval) -> list[dict[str, Any]]:
    """Return what is owed with an approval, and what became of it."""
    found: list[dict[str, Any]] = []
    for number, owed in enumerate(approval.obligations, start=1):
        after = [one for one in approval.follow_ups if one.number == number]
        end = next((one for one in after if one.kind is FollowUpKind.DONE), None)
        found.append(
            {
                "text": owed.text,
                "owner": _person(owed.owner),
                "due": owed.due,
                "reminded": sum(one.kind is FollowUpKind.REMINDED for one in after),
                "closed_at": None if end is None else end.at.isoformat(),
                "closed_by": None if end is None or end.by is None else _person(end.by),
                "comment": None if end is None else end.comment,
            }
        )
    return found


def row(exported: Mapping[str, Any]) -> list[str]:
    """Return a document as the cells of one row, in the order of ``COLUMNS``.

    A cell that a spreadsheet would take for a formula begins with an apostrophe: what people typed is only text.
    """
    return [_cell(exported.get(name)) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(_FORMULA) and isinstance(value, str) else text


def _question(approval: Approval) -> dict[str, Any]:
    path = approval.pathspec
    return {
        "state": approval.state.value,
        "flow": path.flow,
        "run": path.run,
        "step": path.step,
        "task": path.task,
        "question": approval.question.message,
        "requested_by": _person(approval.confirmed_requester or approval.requester),
        "requested_at": approval.requested_at.isoformat(),
        "question_sha256": question_digest(approval),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.value,
        "decided_by": _person(decision.by),
        "on_behalf_of": None if decision.on_behalf_of is None else _person(decision.on_behalf_of),
        "voters": [_person(voter) for voter in decision.voters],
        "decided_at": decision.at.isoformat(),
        "where": decision.where.value,
        "input": decision.input,
        "reason": decision.reason,
    }


def _evidence(approval: Approval) -> dict[str, Any]:
    evidence = approval.question.evidence
    if evidence is None:
        return {}
    baseline, artifacts = evidence.baseline, evidence.artifacts
    return {
        "metrics": {metric.name: metric.value for metric in evidence.metrics},
        "compared_with": None if baseline is None else baseline.approval_id,
        "parameters": dict(evidence.parameters),
        "commit": evidence.code.commit,
        "local_changes": evidence.code.changed,
        "code_package": evidence.code.package,
        "artifacts_sha256": None if artifacts is None else artifacts.sha256,
    }


def _person(person: Person) -> dict[str, Any]:
    return {"id": person.id, "name": person.name, "origin": str(person.origin), "email": person.email}
