"""The proof that a store keeps the promise on which every decision rests: a key is created once."""

from __future__ import annotations

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.errors import KeyMissing, KeyTaken, StoreUnfit
from metaflow_extensions.hitl.approvals.ports import Store

_FIRST = b"first"
_SECOND = b"second"


def prove(store: Store, token: str) -> None:
    """Create the key ``probe/<token>`` twice, read it, list it and remove it.

    Parameters
    ----------
    store : Store
        Any store, empty or in use; its other keys stay as they are.
    token : str
        Never used before, so that two proofs at the same moment do not meet.

    Raises
    ------
    StoreUnfit
        The second create was not refused, or what the first one wrote can't be read and listed at once.
    """
    key = bucket.probe_key(token)
    store.create(key, _FIRST)
    try:
        try:
            store.create(key, _SECOND)
        except KeyTaken:
            pass
        else:
            raise StoreUnfit(
                f"The store {store.url} let a second writer overwrite a key, so two answers could both win. "
                "Point METAFLOW_HITL_ROOT at one that honours If-None-Match on PutObject, as Amazon S3 does."
            )
        try:
            kept = store.read(key)
        except KeyMissing:
            kept = None
        if kept != _FIRST or list(store.list(key)) != [key]:
            raise StoreUnfit(
                f"The store {store.url} does not return a key as it was written, right after the write. "
                "Point METAFLOW_HITL_ROOT at one that is strongly consistent, as Amazon S3 is."
            )
    finally:
        store.unmark(key)
