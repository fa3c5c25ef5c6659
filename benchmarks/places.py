"""A bucket to measure on: versitygw's, a real S3 server on loopback that keeps an access log."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.codec import Version, encode
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.record import TrailEvent
from tests.fixtures.approvals import approval, pathspec
from tests.fixtures.s3 import S3, bucket_name, running_versitygw, with_bucket
from tests.fixtures.tools import tool

_WRITERS = 16


@contextmanager
def s3_place() -> Iterator[S3]:
    """Start a server with one bucket; this process and those that it starts find it by their environment."""
    program = tool("versitygw", "versitygw")
    with (
        tempfile.TemporaryDirectory(prefix="hitl-bench-") as folder,
        running_versitygw(program, Path(folder)) as endpoint,
    ):
        if endpoint is None:
            raise RuntimeError("versitygw did not start: another program took its port. Try again.")
        place = with_bucket(S3(endpoint=endpoint, bucket=bucket_name(), access_log=Path(folder) / "access.log"))
        ours = {name: value for name, value in place.environment().items() if name.startswith("AWS_")}
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield place
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def record(store: Store, count: int, *, markers: tuple[Callable[[str], str], ...] = ()) -> list[str]:
    """Write so many first versions and, for each, markers with these keys; return their ids."""
    now = datetime.now(timezone.utc)
    approvals = [approval(pathspec(task=f"other-{number}"), at=now) for number in range(count)]

    def write(number: int) -> str:
        one = approvals[number]
        version = Version(number=1, previous=None, event=TrailEvent.REQUESTED, at=now, approval=one)
        store.create(bucket.version_key(one.id, 1), encode(version))
        for key in markers:
            store.mark(key(one.id))
        return one.id

    with ThreadPoolExecutor(_WRITERS) as pool:
        return list(pool.map(write, range(count)))
