"""Which roots open which store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from metaflow_extensions.hitl.approvals.errors import StoreError
from metaflow_extensions.hitl.stores import BadRoot, DirectoryStore, open_store
from metaflow_extensions.hitl.stores.s3 import S3Store


@pytest.mark.parametrize(
    ("root", "url"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket//hitl", "s3://bucket/hitl"),
        ("s3://bucket/metaflow/hitl/", "s3://bucket/metaflow/hitl"),
        ("s3://bucket/.metaflow/a b?c#d", "s3://bucket/.metaflow/a b?c#d"),
    ],
)
def test_s3_roots(root: str, url: str) -> None:
    """A bucket and a prefix are taken as they stand, without the slashes around them."""
    store = open_store(root, s3_client=object)
    assert isinstance(store, S3Store)
    assert store.url == url


def test_an_s3_client_is_made_if_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a client, the given server or boto3's usual settings decide; opening sends nothing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    store = open_store("s3://bucket/hitl")
    assert isinstance(store, S3Store)
    assert store._client.meta.endpoint_url == "http://127.0.0.1:1"
    other = open_store("s3://bucket/hitl", s3_endpoint_url="http://127.0.0.1:2")
    assert isinstance(other, S3Store)
    assert other._client.meta.endpoint_url == "http://127.0.0.1:2"


@pytest.mark.parametrize(
    ("root", "url"),
    [
        ("/srv/hitl", "/srv/hitl"),
        ("/srv/hitl/", "/srv/hitl"),
        ("file:///srv/my%20hitl", "/srv/my hitl"),
        ("file://localhost/srv/hitl", "/srv/hitl"),
        ("~/hitl", str(Path.home() / "hitl")),
        ("hitl", str(Path.cwd() / "hitl")),
    ],
)
def test_directory_roots(root: str, url: str) -> None:
    """Paths and file URLs open a directory, by its absolute path."""
    store = open_store(root)
    assert isinstance(store, DirectoryStore)
    assert store.url == url


@pytest.mark.parametrize(
    "root",
    [
        "",
        "  ",
        "gs://bucket/hitl",
        "azure://container/hitl",
        "https://example.com/hitl",
        "s3://",
        "s3:///hitl",
        "s3://bucket/../other",
        "s3://bucket/a//hitl",
        "s3://bucket/a\nb",
        "file://",
        "file://server/hitl",
    ],
)
def test_other_roots_are_refused(root: str) -> None:
    """The message names the root and all that is accepted."""
    with pytest.raises(BadRoot) as refusal:
        open_store(root)
    assert repr(root) in str(refusal.value)
    assert "s3://bucket/prefix, a path, or file:///path" in str(refusal.value)
    assert isinstance(refusal.value, StoreError)


def test_a_directory_does_not_need_boto3() -> None:
    """Opening and using a directory or memory imports neither boto3 nor anything else that is not Python's own."""
    program = (
        "import sys, tempfile\n"
        "from metaflow_extensions.hitl.stores import MemoryStore, open_store\n"
        "open_store(tempfile.mkdtemp()).check(); MemoryStore().check()\n"
        "print(sorted({'boto3', 'botocore', 'metaflow', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
