"""Which of several bots writes in a thread: one at a time, until it falls silent."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.ledger import Ledger

_FOR = timedelta(minutes=1)  # spans of time; in each of them one bot writes in a thread
_WHAT = "thread"
_KNOWN = 10_000  # claims whose holder is kept in mind


class Lease(Enum):
    """Whether to write now."""

    OURS = "ours"  # nobody else has ever written here
    TAKEN_OVER = "taken over"  # somebody else may have written what is not noted
    NOT_OURS = "not ours"


class ThreadLeases:
    """Leases each thread to one bot for a minute.

    Parameters
    ----------
    ledger : Ledger
        Where it is claimed.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(self, ledger: Ledger, holder: str) -> None:
        self._ledger = ledger
        self._holder = holder
        self._ours: BoundedMap[str, bool] = BoundedMap(_KNOWN)

    def acquire(self, anchor: str, now: datetime) -> Lease:
        """Ask for the lease of a thread.

        Parameters
        ----------
        anchor : str
            The id of the approval or the batch whose message it stands below.
        """
        if not self._ledger.claim(anchor, _WHAT, self._holder, now=now, during=_FOR):
            return Lease.NOT_OURS
        this = bucket.claim_key(anchor, _WHAT, now=now, during=_FOR)
        self._note(this, ours=True)
        claims = self._ledger.store.list(bucket.claims_on(anchor, _WHAT))
        others = [key for key in claims if not self._is_ours(key)]
        return Lease.TAKEN_OVER if others else Lease.OURS

    def _is_ours(self, key: str) -> bool:
        if key not in self._ours:
            self._note(key, ours=self._ledger.store.read(key) == self._holder.encode())
        return self._ours[key]

    def _note(self, key: str, *, ours: bool) -> None:
        self._ours[key] = ours
