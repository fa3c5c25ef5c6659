"""The ledger: every version of every approval, as immutable, hash-chained objects in a store.

    approvals/<id>/00001.json                       the versions; the highest is the state
    open/<id>                                       marker: not settled yet
    changes/<time>-<id>-<version>                   marker: the tail that the sweeper follows
    decided/<flow>/<step>/<newest first>-<id>       marker: history
    claims/<id>/<what>-<span of time>               which sweeper may do what can't be done twice

Whoever creates the next version first has won; the loser reads again. There is no lock and nothing is
overwritten, so this works on any store with an atomic create.
"""

from metaflow_extensions.hitl.approvals.ledger.entries import Change, Entry
from metaflow_extensions.hitl.approvals.ledger.keys import change_key, open_key, retention_start
from metaflow_extensions.hitl.approvals.ledger.ledger import Ledger

__all__ = ["Change", "Entry", "Ledger", "change_key", "open_key", "retention_start"]
