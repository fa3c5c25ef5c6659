"""What every store promises (``approvals/ports.py``), held against each of them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Barrier, Event

import pytest

from metaflow_extensions.hitl.approvals.errors import BadKey, KeyMissing, KeyTaken
from metaflow_extensions.hitl.approvals.ports import Store
from metaflow_extensions.hitl.stores import DirectoryStore, MemoryStore

WRITERS = 16
ROUNDS = 50

BAD_KEYS = {
    "empty": "",
    "leading slash": "/open/a",
    "trailing slash": "open/",
    "doubled slash": "open//a",
    "parent": "open/../../a",
    "parent alone": "..",
    "here": "open/./a",
    "hidden": ".tmp/a",
    "line break": "open/a\nb",
    "null": "open/a\0b",
    "delete": "open/a\x7f",
    "second control block": "open/a\x85",
    "half a surrogate pair": "open/\ud800",
    "long part": "open/" + "a" * 256,
    "long part in bytes": "open/" + "é" * 128,
    "long": "/".join(["a" * 200] * 6),
}


@pytest.fixture
def memory_store() -> Store:
    return MemoryStore()


@pytest.fixture
def directory_store(tmp_path: Path) -> Store:
    return DirectoryStore(tmp_path / "not" / "there" / "yet")


@pytest.fixture
def s3_moto_store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue("s3_moto").store()


@pytest.fixture
def s3_versitygw_store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue("s3_versitygw").store()


@pytest.fixture(params=["memory", "directory", "s3_moto", "s3_versitygw"])
def store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(f"{request.param}_store")  # starts only the server that this one needs


@pytest.fixture(params=["memory", "directory", "s3_versitygw"])
def store_but_moto(request: pytest.FixtureRequest) -> Store:
    # moto's server looks for a key and then writes it, so other threads can come between; and thousands take it long.
    return request.getfixturevalue(f"{request.param}_store")


def create_many(store: Store, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.create(key, key.encode()), keys))


@pytest.mark.parametrize("body", [b"", b"{}", '{"reason": "größer als 0,9 – 好"}'.encode(), bytes(range(256))])
def test_what_was_created_is_read(store: Store, body: bytes) -> None:
    """A body comes back as it went in: empty, JSON, other alphabets, any bytes."""
    store.create("approvals/deploy-a/00001.json", body)
    assert store.read("approvals/deploy-a/00001.json") == body


def test_a_megabyte_is_read_back(store: Store) -> None:
    """A body of 1 MiB comes back whole."""
    body = random.Random(7).randbytes(1 << 20)
    store.create("approvals/deploy-a/00001.json", body)
    assert store.read("approvals/deploy-a/00001.json") == body


@pytest.mark.parametrize("second", [b"first", b"second"])
def test_a_key_is_never_overwritten(store: Store, second: bytes) -> None:
    """Creating a key that is there gets KeyTaken, with another body or the same, and the body stays."""
    store.create("a/00001.json", b"first")
    with pytest.raises(KeyTaken, match=r"a/00001\.json"):
        store.create("a/00001.json", second)
    assert store.read("a/00001.json") == b"first"


def test_one_writer_wins(store_but_moto: Store) -> None:
    """Of sixteen writers that create one key at once, with one and the same body, fifteen get KeyTaken; fifty times."""
    together = Barrier(WRITERS)

    def write(key: str) -> bool:
        together.wait(60)
        try:
            store_but_moto.create(key, b"{}")
        except KeyTaken:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        for round_ in range(ROUNDS):
            assert sum(pool.map(write, [f"race/{round_:05}.json"] * WRITERS)) == 1


def test_the_winner_is_the_one_that_is_read(store_but_moto: Store) -> None:
    """The body that stays is the one whose writer was not refused."""
    together = Barrier(8)

    def write(body: bytes) -> bytes | None:
        together.wait(60)
        try:
            store_but_moto.create("race/00001.json", body)
        except KeyTaken:
            return None
        return body

    with ThreadPoolExecutor(8) as pool:
        won = [body for body in pool.map(write, [bytes([n]) * 1000 for n in range(8)]) if body]
    assert won == [store_but_moto.read("race/00001.json")]


def test_a_missing_key_is_missing(store: Store) -> None:
    """Reading gets KeyMissing, in an empty store and beside other keys, under a folder's name and under a key's."""
    for _ in "before", "after":
        for key in ("a/00002.json", "a", "b", "a/00001.json/x"):
            with pytest.raises(KeyMissing):
                store.read(key)
        if list(store.list("")) == []:
            store.create("a/00001.json", b"1")


def test_listing_is_in_code_point_order(store: Store) -> None:
    """Whole keys are compared, so ``a-b`` and ``a.b`` come before ``a/b`` though ``a`` alone would come first."""
    keys = ["a-b", "a.b", "a/b", "a/c/d", "a0", "aé", "Z", "a_b", "ab/c", "a~", "é/a", "z/𝔘", "z/\uffe6"]
    create_many(store, keys)
    assert list(store.list("")) == sorted(keys)


def test_listing_finds_a_beginning(store: Store) -> None:
    """A prefix is the beginning of a key and not a folder."""
    create_many(store, ["open/a", "open/ab", "open/abc/d", "open/b", "opened/a", "a/open/a"])
    assert list(store.list("open/a")) == ["open/a", "open/ab", "open/abc/d"]
    assert list(store.list("open/")) == ["open/a", "open/ab", "open/abc/d", "open/b"]
    assert list(store.list("open")) == ["open/a", "open/ab", "open/abc/d", "open/b", "opened/a"]
    assert list(store.list("open/a/")) == []
    assert list(store.list("nothing/here")) == []


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "a%20b", "a&b=c", "a?b#c", "a'b\"c", "a*b[c]", "a\\b", "<a>", "é", "名前", "a:b@c;d"]
)
def test_any_printable_name_will_do(store: Store, name: str) -> None:
    """Characters that mean something to URLs, XML, shells or patterns are names like all others."""
    store.create(f"decided/{name}/1", b"1")
    store.mark(f"decided/{name}/2")
    assert list(store.list(f"decided/{name}/")) == [f"decided/{name}/1", f"decided/{name}/2"]
    assert list(store.list(f"decided/{name}")) == [f"decided/{name}/1", f"decided/{name}/2"]
    assert store.read(f"decided/{name}/1") == b"1"
    store.unmark(f"decided/{name}/2")
    assert list(store.list("")) == [f"decided/{name}/1"]


def test_listing_goes_on_after_a_key(store: Store) -> None:
    """``after`` leaves out that key and all before it, whether it is there or not, within the prefix or outside."""
    create_many(store, ["a/1", "a/2/x", "a/2/y", "a/3", "b/1"])
    assert list(store.list("a/", after="a/1")) == ["a/2/x", "a/2/y", "a/3"]
    assert list(store.list("a/", after="a/2")) == ["a/2/x", "a/2/y", "a/3"]
    assert list(store.list("a/", after="a/2/x")) == ["a/2/y", "a/3"]
    assert list(store.list("a/", after="a/2/z")) == ["a/3"]
    assert list(store.list("a/", after="a/3")) == []
    assert list(store.list("a/", after="A")) == ["a/1", "a/2/x", "a/2/y", "a/3"]
    assert list(store.list("a/", after="b")) == []
    assert list(store.list("", after="a/3")) == ["b/1"]


def test_listing_stops_at_its_limit(store: Store) -> None:
    """``limit`` is the most that comes; zero is none, and more than there is, is all."""
    create_many(store, ["a/1", "a/2", "a/3", "b"])
    assert [list(store.list("a/", limit=limit)) for limit in (0, 1, 3, 4, 5000)] == [
        [],
        ["a/1"],
        ["a/1", "a/2", "a/3"],
        ["a/1", "a/2", "a/3"],
        ["a/1", "a/2", "a/3"],
    ]
    assert list(store.list("a/", after="a/1", limit=1)) == ["a/2"]


def test_listing_turns_its_pages(store_but_moto: Store) -> None:
    """Of 2,500 keys all come, once and in order; so do those after the middle, and those up to a limit over a page."""
    store = store_but_moto
    keys = [f"open/{number:05}" for number in range(2500)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.mark, random.Random(1).sample(keys, len(keys))))
    assert list(store.list("open/")) == keys
    assert list(store.list("open/", after="open/01199")) == keys[1200:]
    assert list(store.list("open/", limit=1500)) == keys[:1500]
    assert list(islice(store.list("open/"), 2)) == keys[:2]


def test_a_marker_is_empty_and_can_be_written_again(store: Store) -> None:
    """Marking twice leaves one marker, which reads as an empty body."""
    store.mark("open/a")
    store.mark("open/a")
    assert list(store.list("open/")) == ["open/a"]
    assert store.read("open/a") == b""


def test_a_marker_never_empties_a_record(store: Store) -> None:
    """Marking a key that holds a body leaves the body."""
    store.create("a/00001.json", b"record")
    store.mark("a/00001.json")
    assert store.read("a/00001.json") == b"record"


def test_a_marker_can_be_removed_twice(store: Store) -> None:
    """Removing a marker that is gone, or was never there, is fine; it can be set again."""
    store.mark("open/a")
    store.mark("open/ab")
    for _ in "again", "and again":
        store.unmark("open/a")
        store.unmark("never/there")
        assert list(store.list("open/")) == ["open/ab"]
    store.mark("open/a")
    assert list(store.list("open/")) == ["open/a", "open/ab"]


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_is_refused(store: Store, key: str) -> None:
    """No method takes a key that could leave its place or that some store can't hold; nothing is written."""
    for attempt in (
        lambda: store.create(key, b"1"),
        lambda: store.read(key),
        lambda: store.mark(key),
        lambda: store.unmark(key),
    ):
        with pytest.raises(BadKey, match="can't be a key"):
            attempt()
    assert list(store.list("")) == []


@pytest.mark.parametrize("key", ["open/" + "a" * 255, "open/" + "é" * 127, "/".join(["a" * 199] * 5)])
def test_a_long_key_will_do(store: Store, key: str) -> None:
    """Parts of up to 255 bytes, and about a thousand in all, are taken by every store."""
    store.create(key, b"1")
    assert store.read(key) == b"1"
    assert list(store.list(key[:-1])) == [key]


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a//", "a/\n", ".tmp"])
def test_a_bad_prefix_is_refused_at_once(store: Store, prefix: str) -> None:
    """A listing refuses such a prefix when it is asked for, before its first key is."""
    with pytest.raises(BadKey):
        store.list(prefix)


def test_listing_while_others_write(store: Store) -> None:
    """What was there when a listing began is in it, in order and once, however much is written meanwhile."""
    before = [f"a/{number:04}-before" for number in range(0, 200, 2)]
    create_many(store, before)
    enough = Event()

    def write() -> int:
        number = 0
        while not enough.is_set():
            store.mark(f"a/{number % 200:04}-meanwhile-{number}")
            number += 1
        return number

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write) for _ in range(2)]
        try:
            listings = [list(store.list("a/")) for _ in range(10)]
        finally:
            enough.set()
        assert all(writer.result(60) for writer in writers)
    for listing in listings:
        assert listing == sorted(set(listing))
        assert set(before) <= set(listing)


def test_each_sees_its_own_writes_at_once(store: Store) -> None:
    """After create and mark the key is read and listed by whoever asks next, with no wait."""

    def write(writer: int) -> bool:
        key = f"a/{writer}"
        store.create(key, b"1")
        store.mark(f"open/{writer}")
        return store.read(key) == b"1" and key in store.list("a/") and f"open/{writer}" in store.list("open/")

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write, range(20)))


def test_a_fit_store_passes_its_check(store: Store) -> None:
    """The check leaves nothing behind and can be repeated; other keys stay."""
    store.create("a/00001.json", b"record")
    store.check()
    store.check()
    assert list(store.list("")) == ["a/00001.json"]


def test_a_store_says_where_it_is_and_how_often_to_look(store: Store) -> None:
    """``url`` is not empty, and ``poll_interval`` is a positive number of seconds."""
    assert store.url
    assert 0 < store.poll_interval <= 2


def test_a_key_has_the_age_that_the_store_gives_it(store: Store) -> None:
    """A key that was just written is some seconds old at most, whatever time is part of its name."""
    store.mark("waiting/deploy-a/20010101T000000000000Z-30")
    store.create("waiting/deploy-b/21010101T000000000000Z-30", b"{}")
    ages = dict(store.ages("waiting/"))
    assert list(ages) == list(store.list("waiting/"))
    assert all(-2 <= age < 60 for age in ages.values())  # S3 says both moments in whole seconds
