"""Listing what is open on S3: one LIST for 1,000 approvals, and one read each, sixteen at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.places import record, s3_place
from benchmarks.rows import Row
from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.stores.s3 import S3Store
from tests.fixtures.s3 import counted_requests

SIZES = (100, 1_000, 2_500)
ROUNDS = 3


def measure() -> Iterator[Row]:
    """List in several sizes: milliseconds; requests, and as a ratio those for one approval."""
    for size in SIZES:
        yield from _of(size)


def _of(size: int) -> list[Row]:
    took: list[float] = []
    lists: list[float] = []
    reads: list[float] = []
    with s3_place() as place:
        client = place.client()
        ledger = Ledger(S3Store(client, place.bucket, "hitl"))
        record(ledger.store, size, markers=(bucket.open_key,))
        for _ in range(ROUNDS):
            with counted_requests(client) as sent:
                ids = list(ledger.open_ids())
            lists.append(len(sent))
            with counted_requests(client) as sent:
                begin = time.perf_counter()
                found = list(ledger.read_many(ids))
                took.append((time.perf_counter() - begin) * 1000)
            reads.append(len(sent))
            assert len(found) == size
    return [
        Row.of(f"list {size:,} open: LISTs of the markers", lists, "requests"),
        Row.of(f"list {size:,} open: reads (ratio: for each)", reads, "requests", reads[0] / size),
        Row.of(f"list {size:,} open: time", took, "ms"),
    ]
