"""The ledger: every version of every approval, as immutable, hash-chained objects in a store.

Its keys are on the map, ``approvals/bucket.py``.

Whoever creates the next version first has won; the loser reads again. There is no lock and nothing is
overwritten, so this works on any store with an atomic create.
"""

from metaflow_extensions.hitl.approvals.ledger.entries import Entry
from metaflow_extensions.hitl.approvals.ledger.ledger import Ledger

__all__ = ["Entry", "Ledger"]
