"""What is open, as a process that runs for long keeps it in memory, so that a list costs no request."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from metaflow_extensions.hitl.approvals.errors import RecordError
from metaflow_extensions.hitl.approvals.ledger import Entry

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
        self._ended: OrderedDict[str, int] = OrderedDict()
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
                self._end(approval_id, entry.number)
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
                    self._end(approval_id, known.number)
            self._complete = True

    def _drop(self, approval_id: str) -> None:
        known = self._known.pop(approval_id, None)
        if known is not None and known.entry is not None:
            self._bytes -= known.entry.size

    def _end(self, approval_id: str, number: int) -> None:
        self._ended[approval_id] = number
        self._ended.move_to_end(approval_id)
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)
