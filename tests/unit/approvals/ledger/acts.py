"""What the tests of the ledger do to the one approval that they are about."""

from __future__ import annotations

from functools import partial

from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.ledger import Entry, Ledger
from metaflow_extensions.hitl.approvals.record import Post, TrailEvent
from metaflow_extensions.hitl.stores.memory import MemoryStore
from tests.fixtures.approvals import NOW, pathspec

ID = pathspec().approval_id


def decide(ledger: Ledger, decision, *, seen: Entry | None = None) -> Entry:
    return ledger.update(ID, TrailEvent.DECIDED, decision.at, partial(transitions.decide, decision=decision), seen=seen)


def settle(ledger: Ledger, at=NOW) -> Entry:
    return ledger.update(ID, TrailEvent.SETTLED, at, partial(transitions.settle, now=at))


def post(ledger: Ledger, notifier: str = "slack") -> Entry:
    return ledger.update(ID, TrailEvent.POSTED, NOW, partial(transitions.posted, post=Post(notifier=notifier, at=NOW)))


def markers(store: MemoryStore, prefix: str) -> list[str]:
    return list(store.list(prefix))
