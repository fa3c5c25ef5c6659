"""One bad object is set aside, is shown, and holds up nothing else: over the real sweeper and the real queries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st

from metaflow_extensions.hitl.approvals import bucket
from metaflow_extensions.hitl.approvals.codec import with_checksum
from metaflow_extensions.hitl.approvals.ledger import Ledger
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.approvals.queries import Projection, Queries
from metaflow_extensions.hitl.approvals.record import Answer, State, Verdict, Where
from metaflow_extensions.hitl.approvals.sealed import OPEN
from metaflow_extensions.hitl.approvals.sweeping import Sweeper
from metaflow_extensions.hitl.stores import DirectoryStore, MemoryStore
from tests.fixtures.approvals import ALICE, NOW, Bench, approval, pathspec
from tests.unit.approvals.sweeping.observer import Observer

BAD = pathspec(task="bad").approval_id


def rewritten(**parts: object) -> Callable[[Store], None]:
    """Plant a record that is whole but for some parts."""

    def plant(store: Store) -> None:
        Ledger(MemoryStore()).begin(approval(pathspec(task="bad")))
        scratch = MemoryStore()
        Ledger(scratch).begin(approval(pathspec(task="bad")))
        document = json.loads(scratch.read(bucket.version_key(BAD, 1)))
        del document["sha256"]
        for path, value in parts.items():
            *folders, name = path.split("__")
            at = document
            for folder in folders:
                at = at[folder]
            at[name] = value
        store.mark(f"open/{BAD}")
        store.create(f"approvals/{BAD}/00001.json", with_checksum(document, trust=OPEN, kind="version"))

    return plant


def keys(*names: str) -> Callable[[Store], None]:
    def plant(store: Store) -> None:
        for name in names:
            store.create(name, b"{}")

    return plant


def plant_beside(store: Store) -> None:
    Ledger(store).begin(approval(pathspec(task="bad")))
    store.create(f"approvals/{BAD}/0999999.json", b"{}")


HOSTILE = {
    "a version with seven digits": plant_beside,
    "a version in other digits": keys(f"open/{BAD}", f"approvals/{BAD}/٠٠٠٠١.json"),
    "a marker of the year 9999": keys(f"changes/99991231T235959999999Z-{BAD}-1"),
    "a marker of next year": keys(f"changes/21000101T000000000000Z-{BAD}-1"),
    "a marker of no version": keys(f"changes/20260302T093000000000Z-{BAD}-99999", f"open/{BAD}"),
    "a decision beyond ASCII": keys("decided/F/s/é", "decided/F/é/x", "decided/é"),
    "an open marker beyond ASCII": keys("open/é", "open/a/b"),
    "a schema whose properties are a list": rewritten(question__schema={"properties": ["x"]}),
    "a deadline in the year 9999": rewritten(deadline="9999-12-31T23:59:59Z"),
    "asked in the year 1": rewritten(requested_at="0001-01-01T00:00:00+14:00"),
    "reminders for ever": rewritten(question__remind_every=10**18),
    "a timeout without end": rewritten(question__timeout=10**300),
    "no JSON": lambda store: (store.mark(f"open/{BAD}"), store.create(f"approvals/{BAD}/00001.json", b"\xff")),
}


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


@pytest.mark.parametrize("plant", HOSTILE.values(), ids=HOSTILE.keys())
def test_one_bad_object_holds_up_nothing(store: Store, plant) -> None:
    """Deadlines are kept, lists and history work, at once and after a restart."""
    bench = Bench(store=store)
    plant(store)
    for attempt in ("first", "restarted"):
        observer = Observer()
        projection = Projection()
        bench = bench.on(store, observers=(projection.learn,))
        sweeper = Sweeper(bench.cases, observer, name=attempt, projection=projection)
        due = bench.ask(pathspec(task=attempt), timeout=5)
        for _ in range(4):
            sweeper.tick()
            bench.clock.forward(5)
        assert bench.ledger.read(due.id).approval.state is State.EXPIRED
        assert not observer.defects
        queries = Queries(bench.ledger, bench.clock, projection=projection)
        queries.open()
        assert due.id in {one.id for one in queries.decided(NOW - timedelta(days=1)).approvals}


@pytest.mark.parametrize(
    "plant", [HOSTILE["a version with seven digits"], HOSTILE["no JSON"], HOSTILE["a deadline in the year 9999"]]
)
def test_what_is_set_aside_is_shown(store: Store, plant) -> None:
    """A list names the record, and why it can't be used; so does the sweeper, once."""
    bench, observer, projection = Bench(store=store), Observer(), Projection()
    plant(store)
    sweeper = Sweeper(bench.cases, observer, name="first", projection=projection)
    for _ in range(4):
        sweeper.tick()
        bench.clock.forward(301)
    (problem,) = Queries(bench.ledger, bench.clock, projection=projection).open().problems
    assert re.search(BAD, str(problem))
    assert len([one for one in observer.failures if BAD in str(one)]) == 1


names = st.text(st.sampled_from("a0-./~é٠\U0001f600"), min_size=1, max_size=3)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["decided/", "approvals/", "changes/", "open/", "digests/"]).flatmap(
            lambda root: paths.map(lambda path: root + path)
        ),
        max_size=12,
    )
)
def test_every_listing_comes_to_its_end(hostile: list[str]) -> None:
    """Whatever keys there are, what skips past something makes progress, and finds what is beyond it."""
    bench = Bench()
    asked = bench.ask(pathspec(step="zz"))
    bench.cases.decide(asked.id, Answer(verdict=Verdict.APPROVE), who=ALICE, where=Where.BUTTON)
    store = bench.store
    for key in hostile:
        if all(part and not part.startswith(".") for part in key.split("/")):
            store.mark(key)
    counted = Limited(store)
    ledger = Ledger(counted)
    assert [one for _, one in ledger.decided_since(NOW - timedelta(days=1))] == [asked.id]
    assert ledger.resolve(asked.id[:4]) == asked.id
    assert asked.id not in list(ledger.open_ids())
    list(ledger.changes(bucket.FIRST_MOMENT))


class Limited:
    """A store on which a loop that makes no progress fails instead of running for ever."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left = 200

    def list(self, *args, **named):
        self._left -= 1
        assert self._left, "this listing makes no progress"
        return self._store.list(*args, **named)

    def __getattr__(self, name):
        return getattr(self._store, name)
