"""What is S3's own: lost answers, conflicts, servers that are not fit, and what each call costs."""

from __future__ import annotations

import hashlib
import random
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest

from metaflow_extensions.hitl.approvals.errors import BadKey, KeyMissing, KeyTaken, StoreUnavailable, StoreUnfit
from metaflow_extensions.hitl.stores.s3 import S3Store
from tests.fixtures.s3 import ACCESS_KEY, REGION, S3, counted_requests, make_client
from tests.fixtures.s3_proxy import (
    CutBody,
    IgnoreCondition,
    LoseAnswer,
    Refuse,
    Reset,
    S3Proxy,
    SendTwice,
    Silence,
    proxy_before,
)

CONFLICT = Refuse(409, "ConditionalRequestConflict")


@pytest.fixture
def proxy(s3: S3) -> Iterator[S3Proxy]:
    with proxy_before(s3.endpoint) as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def store(s3: S3, proxy: S3Proxy, waits: list[float]) -> S3Store:
    """A store behind the proxy, which sends each request once and doesn't wait between its own tries."""
    client = s3.client(endpoint=proxy.endpoint, attempts=1)
    return S3Store(client, s3.bucket, "hitl", sleep=waits.append, rng=random.Random(1))


def test_a_write_whose_answer_was_lost_has_won(store: S3Store, proxy: S3Proxy) -> None:
    """The server wrote the object and the connection broke: create looks, finds its own token, and is content."""
    proxy.fail("PUT", LoseAnswer())
    store.create("a/1", b"mine")
    assert proxy.seen == ["PUT", "HEAD"]
    assert store.read("a/1") == b"mine"


def test_a_retry_does_not_lose_against_itself(s3: S3, proxy: S3Proxy) -> None:
    """boto3 sends the write again after a lost answer and is told 412; create finds its own token and is content."""
    proxy.fail("PUT", LoseAnswer())
    S3Store(s3.client(endpoint=proxy.endpoint, attempts=2), s3.bucket, "hitl").create("a/1", b"mine")
    assert proxy.seen == ["PUT", "PUT", "HEAD"]


def test_a_proxy_that_sends_twice_does_not_make_it_lose(store: S3Store, proxy: S3Proxy) -> None:
    """Something on the way sends the write twice: the 412 of the second is not taken for another writer's."""
    proxy.fail("PUT", SendTwice())
    store.create("a/1", b"mine")


def test_the_same_body_from_another_writer_is_no_win(s3: S3, store: S3Store, proxy: S3Proxy) -> None:
    """Two writers with equal bytes: the one whose answer was lost and who was second gets KeyTaken."""
    s3.store().create("a/1", b"approved")
    proxy.fail("PUT", LoseAnswer())
    with pytest.raises(KeyTaken):
        store.create("a/1", b"approved")


def test_a_write_that_never_arrived_is_not_taken_for_done(store: S3Store, proxy: S3Proxy) -> None:
    """The server failed without writing: create says that the store is unavailable, and may then be called again."""
    proxy.fail("PUT", Refuse(500, "InternalError"))
    with pytest.raises(StoreUnavailable, match="InternalError"):
        store.create("a/1", b"mine")
    store.create("a/1", b"mine")


TROUBLE = {
    "500": Refuse(500, "InternalError"),
    "503": Refuse(503, "ServiceUnavailable"),
    "SlowDown": Refuse(503, "SlowDown"),
    "reset": Reset(),
    "lost": LoseAnswer(),
    "silence": Silence(),
}
CALLS = {
    "PUT": lambda store: store.create("a/new", b"mine"),
    "GET": lambda store: store.read("a/old"),
    "LIST": lambda store: list(store.list("a/")),
    "MARK": lambda store: store.mark("open/a"),
    "DELETE": lambda store: store.unmark("open/b"),
}


def impatient(place: S3, proxy: S3Proxy, trouble: str, *, attempts: int) -> S3Store:
    """Return a store that soon has enough of silence; of nothing else, which a busy machine may take its time for."""
    client = place.client(endpoint=proxy.endpoint, attempts=attempts, read_timeout=1.5 if trouble == "silence" else 60)
    return S3Store(client, place.bucket, "hitl")


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("call", CALLS)
def test_trouble_that_passes_is_said_or_survived(s3_versitygw: S3, trouble: str, call: str) -> None:
    """A call that meets it has done its work, or says that the store is unavailable; the same call again is right."""
    s3_versitygw.store().create("a/old", b"old")
    s3_versitygw.store().mark("open/b")
    with proxy_before(s3_versitygw.endpoint) as proxy:
        store = impatient(s3_versitygw, proxy, trouble, attempts=1)
        proxy.fail({"LIST": "GET", "MARK": "PUT"}.get(call, call), TROUBLE[trouble])
        with suppress(StoreUnavailable):
            CALLS[call](store)
        with suppress(KeyTaken):
            CALLS[call](store)
    after = s3_versitygw.store()
    assert after.read("a/old") == b"old"
    assert after.read("a/new" if call == "PUT" else "a/old") == (b"mine" if call == "PUT" else b"old")
    assert list(after.list("open/")) == {"MARK": ["open/a", "open/b"], "DELETE": []}.get(call, ["open/b"])


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_is_outlasted(s3_versitygw: S3, trouble: str) -> None:
    """With the attempts that a bot has, nobody hears of two failures in a row: what is written is written once."""
    with proxy_before(s3_versitygw.endpoint) as proxy:
        store = impatient(s3_versitygw, proxy, trouble, attempts=3)
        proxy.fail("PUT", TROUBLE[trouble], TROUBLE[trouble])
        store.create("a/1", b"mine")
        proxy.fail("GET", TROUBLE[trouble], TROUBLE[trouble])
        assert store.read("a/1") == b"mine"


def test_what_can_not_be_known_is_not_claimed(store: S3Store, proxy: S3Proxy) -> None:
    """If the look after a lost answer fails too, create claims neither to have won nor to have lost."""
    proxy.fail("PUT", LoseAnswer())
    proxy.fail("HEAD", Refuse(503, "SlowDown"))
    with pytest.raises(StoreUnavailable, match="Connection was closed"):
        store.create("a/1", b"mine")


def test_a_conflict_is_tried_again(store: S3Store, proxy: S3Proxy, waits: list[float]) -> None:
    """After a 409 the write is sent again, each time after a random part of a doubled wait."""
    proxy.fail("PUT", CONFLICT, Refuse(409, "OperationAborted"), CONFLICT)
    store.create("a/1", b"mine")
    assert proxy.seen == ["PUT"] * 4
    assert [0 <= wait <= most for wait, most in zip(waits, (0.1, 0.2, 0.4), strict=True)] == [True] * 3
    assert len(set(waits)) == 3


def test_a_marker_meets_conflicts_too(store: S3Store, proxy: S3Proxy) -> None:
    """A mark that meets the removal of the same marker is sent again."""
    proxy.fail("PUT", CONFLICT)
    store.mark("open/a")
    assert list(store.list("")) == ["open/a"]


def test_endless_conflicts_end(store: S3Store, proxy: S3Proxy, waits: list[float]) -> None:
    """After six conflicts the store is unavailable; nothing was written."""
    proxy.fail("PUT", *[CONFLICT] * 6)
    with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict"):
        store.create("a/1", b"mine")
    assert (len(proxy.seen), len(waits)) == (6, 5)
    with pytest.raises(KeyMissing):
        store.read("a/1")


def test_a_server_that_ignores_the_condition_is_found_out(s3_moto: S3) -> None:
    """A server that overwrites where it must refuse does not pass the check, and the probe is removed."""
    # moto's, because the header is signed, and versitygw would see that it is missing.
    with proxy_before(s3_moto.endpoint) as proxy:
        store = S3Store(s3_moto.client(endpoint=proxy.endpoint, attempts=1), s3_moto.bucket, "hitl")
        proxy.fail("PUT", IgnoreCondition(), IgnoreCondition())
        with pytest.raises(StoreUnfit, match="If-None-Match"):
            store.check()
        assert list(store.list("")) == []


def test_a_server_that_refuses_the_condition_is_unfit(store: S3Store, proxy: S3Proxy) -> None:
    """501 NotImplemented means that the server knows no conditional writes."""
    proxy.fail("PUT", Refuse(501, "NotImplemented"))
    with pytest.raises(StoreUnfit, match="If-None-Match"):
        store.check()


def test_a_directory_bucket_is_unfit(s3_moto: S3) -> None:
    """S3 Express One Zone is refused by its bucket's name, without a request."""
    client = s3_moto.client()
    with counted_requests(client) as sent, pytest.raises(StoreUnfit, match="directory bucket"):
        S3Store(client, "hitl--use1-az4--x-s3").check()
    assert sent == []


def test_a_body_that_breaks_off_is_not_returned(store: S3Store, proxy: S3Proxy) -> None:
    """A connection that ends in the middle of a body gets StoreUnavailable and never half a record."""
    store.create("a/1", b"{}" * 5000)
    proxy.fail("GET", CutBody())
    with pytest.raises(StoreUnavailable):
        store.read("a/1")
    assert store.read("a/1") == b"{}" * 5000


def test_a_listing_that_fails_says_so(store: S3Store, proxy: S3Proxy) -> None:
    """A refused page gets StoreUnavailable, not an end of the keys."""
    proxy.fail("GET", Refuse(503, "SlowDown"))
    with pytest.raises(StoreUnavailable, match="SlowDown"):
        list(store.list(""))


@pytest.mark.parametrize("method", ["create", "read", "list", "mark", "unmark", "check"])
def test_a_bucket_that_does_not_exist_is_named(s3: S3, method: str) -> None:
    """Every method says which bucket is missing and what to do."""
    store = S3Store(s3.client(), f"{s3.bucket}-missing", "hitl")
    calls = {
        "create": lambda: store.create("a/1", b"1"),
        "read": lambda: store.read("a/1"),
        "list": lambda: list(store.list("")),
        "mark": lambda: store.mark("open/a"),
        "unmark": lambda: store.unmark("open/a"),
        "check": store.check,
    }
    with pytest.raises(StoreUnavailable, match=rf"s3://{s3.bucket}-missing/hitl.*NoSuchBucket.*Create the bucket"):
        calls[method]()


def test_wrong_credentials_are_named(s3_versitygw: S3) -> None:
    """A secret that is not this key's: the message says which settings to check."""
    client = boto3.session.Session(ACCESS_KEY, "another secret", region_name=REGION).client(
        "s3", endpoint_url=s3_versitygw.endpoint
    )
    with pytest.raises(StoreUnavailable, match=r"SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY"):
        S3Store(client, s3_versitygw.bucket).read("a/1")


def test_a_server_that_is_not_there_is_named() -> None:
    """Nobody listens: the message names the endpoint and says to check it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StoreUnavailable, match=rf"127\.0\.0\.1:{port}.*AWS_ENDPOINT_URL_S3"):
        S3Store(make_client(f"http://127.0.0.1:{port}", attempts=1), "bucket").create("a/1", b"1")


def test_what_each_call_costs(s3: S3) -> None:
    """Each call is one request, and so is each page of a listing; only a create that loses is two."""
    client = s3.client()
    store = S3Store(client, s3.bucket, "hitl")
    with counted_requests(client) as sent:
        store.create("a/1", b"1")
        store.read("a/1")
        store.mark("open/a")
        store.mark("open/a")
        list(store.list("open/"))
        store.unmark("open/a")
    assert sent == ["PutObject", "GetObject", "PutObject", "PutObject", "ListObjectsV2", "DeleteObject"]
    with counted_requests(client) as sent, pytest.raises(KeyTaken):
        store.create("a/1", b"1")
    assert sent == ["PutObject", "HeadObject"]


def test_a_listing_asks_for_what_is_taken(s3: S3) -> None:
    """No request is sent before the first key is asked for, and none for a limit of zero."""
    client = s3.client()
    store = S3Store(client, s3.bucket, "hitl")
    with counted_requests(client) as sent:
        keys = store.list("")
        assert list(store.list("", limit=0)) == []
    assert sent == []
    with counted_requests(client) as sent:
        assert list(keys) == []
    assert sent == ["ListObjectsV2"]


def test_the_server_counts_what_all_processes_ask(s3_versitygw: S3) -> None:
    """The access log of the bucket holds each request with its key."""
    store = s3_versitygw.store()
    store.create("open/a", b"1")
    store.read("open/a")
    list(store.list("open/"))  # on the same connection: by then the lines of the two before it are written
    asked = [line for line in s3_versitygw.requests() if line.endswith(" hitl/open/a")]
    assert asked == ["PutObject hitl/open/a", "GetObject hitl/open/a"]


def test_a_write_carries_its_checksum_in_a_header(s3: S3) -> None:
    """Every write names the SHA-256 of its body, unchunked, as Object Lock asks and as every server reads it."""
    client = s3.client()
    sent = []

    def record(request: AWSPreparedRequest, **_: object) -> None:
        sent.append({name.lower(): value for name, value in request.headers.items()})

    client.meta.events.register("before-send.s3.PutObject", record)
    try:
        S3Store(client, s3.bucket, "hitl").create("a/1", b"body")
    finally:
        client.meta.events.unregister("before-send.s3.PutObject", record)
    checksum = b64encode(hashlib.sha256(b"body").digest())
    assert [headers["x-amz-checksum-sha256"] in {checksum, checksum.decode()} for headers in sent] == [True]
    assert not {"x-amz-trailer", "x-amz-decoded-content-length"} & sent[0].keys()


def test_the_bucket_may_hold_other_things(s3: S3) -> None:
    """Objects outside the prefix, one beside it with a longer name, and folders made in a console are not listed."""
    client = s3.client()
    for key in ("other/a", "hitl-old/open/a", "hitl/open/"):
        client.put_object(Bucket=s3.bucket, Key=key, Body=b"")
    store = S3Store(client, s3.bucket, "hitl")
    store.mark("open/a")
    assert list(store.list("")) == ["open/a"]


def test_a_store_may_have_the_whole_bucket(s3: S3) -> None:
    """Without a prefix, keys are the objects' own."""
    store = S3Store(s3.client(), s3.bucket)
    store.mark("open/a")
    assert (store.url, list(store.list("open/", after="nothing"))) == (f"s3://{s3.bucket}", ["open/a"])
    assert s3.client().head_object(Bucket=s3.bucket, Key="open/a")["ContentLength"] == 0


def test_the_prefix_counts_for_the_length_of_a_key() -> None:
    """S3 takes 1,024 bytes, and the prefix is among them."""
    store = S3Store(None, "bucket", "p" * 500)
    with pytest.raises(BadKey, match="1025 bytes"):
        store.read("a" * 255 + "/" + "b" * 255 + "/" + "c" * 12)
