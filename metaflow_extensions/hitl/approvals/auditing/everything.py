"""All records of a bucket, or those of a span of time, held to each other and to the indexes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.auditing.record import Audited, Fault, audit, end_markers, has_marker
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.pathspec import is_id

_READERS = 16
_CHUNK = 256  # records that are read ahead


@dataclass(frozen=True, kw_only=True)
class _Indexes:
    """What the markers say, all of it."""

    keys: frozenset[str]
    by_id: dict[str, tuple[str, ...]]  # the markers of decisions
    newest: dict[str, datetime]  # when each was decided last, as the markers say
    numbers: dict[str, int]  # the highest version that the tail knows
    strays: tuple[Fault, ...]


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
        found = audit(ledger, approval_id, lambda key: key in indexes.keys or has_marker(ledger, key))
        return replace(found, faults=(*found.faults, *_contradicted(found, indexes)))

    with ThreadPoolExecutor(_READERS) as readers:
        todo = wanted()
        while chunk := list(islice(todo, _CHUNK)):
            yield from readers.map(one, chunk)
    yield from _without_record(ids, indexes)
    yield from (Audited(approval_id="", faults=(stray,)) for stray in strays)


def _ids(ledger: Ledger, strays: list[Fault]) -> Iterator[str]:
    """Yield the id of each record once, in order; note what lies among the records and belongs to none."""
    last = ""
    for key in ledger.store.list(bucket.APPROVALS.root):
        name = key.removeprefix(bucket.APPROVALS.root)
        approval_id, slash, _ = name.partition("/")
        if not slash or not is_id(approval_id):
            strays.append(Fault(key=key, problem="no record has such a name"))
        elif approval_id != last:
            last = approval_id
            yield approval_id


def _read_indexes(ledger: Ledger) -> _Indexes:
    keys = {bucket.open_key(approval_id) for approval_id in ledger.open_ids()}
    by_id: dict[str, tuple[str, ...]] = {}
    newest: dict[str, datetime] = {}
    strays: list[Fault] = []
    for prefix in (bucket.DECIDED, bucket.APPROVED):
        for key in ledger.store.list(prefix.root):
            decided = bucket.read_decided_key(key)
            approval_id = decided.approval_id if decided else bucket.read_newest_first_key(key)
            if approval_id is None:
                strays.append(Fault(key=key, problem="no marker has such a name"))
                continue
            keys.add(key)
            by_id[approval_id] = (*by_id.get(approval_id, ()), key)
            if decided is not None:
                newest[approval_id] = max(decided.at, newest.get(approval_id, decided.at))
    numbers = {approval_id: change.number for approval_id, change in ledger.newest_changes().items()}
    return _Indexes(keys=frozenset(keys), by_id=by_id, newest=newest, numbers=numbers, strays=tuple(strays))


def _contradicted(audited: Audited, indexes: _Indexes) -> Iterator[Fault]:
    """Yield what the indexes know and the record does not: newer versions, and decisions."""
    approval = audited.approval
    if approval is None or not audited.is_whole:
        return
    highest = indexes.numbers.get(approval.id, 0)
    if highest > audited.versions[-1].version.number:
        yield Fault(
            key=bucket.version_key(approval.id, highest), problem="it was written, as the tail says, and is missing"
        )
    for key in indexes.by_id.get(approval.id, ()):
        if key not in end_markers(approval):
            yield Fault(key=key, problem="the record says otherwise")


def _without_record(ids: set[str], indexes: _Indexes) -> Iterator[Audited]:
    for approval_id in sorted(indexes.by_id.keys() - ids):
        key = indexes.by_id[approval_id][0]
        problem = "it says that this was decided or closed, and there is no record of it"
        yield Audited(approval_id=approval_id, faults=(Fault(key=key, problem=problem),))
