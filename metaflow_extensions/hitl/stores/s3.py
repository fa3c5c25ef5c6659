"""A store in an S3 bucket, or in anything that speaks S3 and honours ``If-None-Match: *`` on PutObject.

Sources: Amazon S3 API Reference, PutObject (412 PreconditionFailed: the key is there; 409 ConditionalRequestConflict:
something else happened to the key meanwhile, send it again) and ListObjectsV2 (keys in the order of their UTF-8 bytes,
which is that of their code points; 1,000 a page).
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from random import Random, SystemRandom
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from metaflow_extensions.hitl.approvals.errors import (
    BadKey,
    KeyMissing,
    KeyTaken,
    StoreError,
    StoreUnavailable,
    StoreUnfit,
)
from metaflow_extensions.hitl.stores import keys
from metaflow_extensions.hitl.stores.probe import prove
from metaflow_extensions.hitl.stores.s3_errors import code_of, may_have_written, status_of, translate

_PAGE = 1000
_WRITER = "hitl-writer"  # sent as x-amz-meta-hitl-writer
_TAKEN = 412
_CONFLICTS = {"ConditionalRequestConflict", "OperationAborted"}
_TRIES = 6
_WAIT = 0.05  # seconds; doubled after each conflict, of which a random part is waited
_DIRECTORY_BUCKET = "--x-s3"


class S3Store:
    """Bodies by key, each an object.

    Whether a write won is known even if its answer was lost. Each carries a random token as the object's metadata; told
    that the key is taken, the writer looks whose token is there. Comparing bodies would not do: two people who press
    the same button write the same bytes, and both would have won. On a server that drops metadata a writer whose answer
    was lost gets KeyTaken, so there may be no winner, and never two.

    Each body carries its SHA-256, as Object Lock asks of every write. As a header of our own it also keeps boto3 from
    sending the body in chunks with a checksum behind it, which many servers besides Amazon's do not read.

    Parameters
    ----------
    client : Any
        A boto3 S3 client; threads may share it.
    bucket : str
        An existing bucket. Not a directory bucket (S3 Express One Zone): those list in no order.
    prefix : str
        What stands before every key, without a slash at either end.
    sleep : Callable
        Waits so many seconds between two tries after a 409.
    rng : Random, optional
        Tokens and waits. By default the system's, which a forked process does not repeat.
    """

    # A GET a second costs about 0.03 USD a day and waiting task (0.0004 USD per 1,000, us-east-1).
    poll_interval = 1.0

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str = "",
        *,
        sleep: Callable[[float], None] = time.sleep,
        rng: Random | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._sleep = sleep
        self._rng = rng or SystemRandom()

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    def create(self, key: str, body: bytes) -> None:
        """Write a new key in one request, or raise KeyTaken after two.

        Raises
        ------
        KeyTaken
            Another writer's object is there.
        StoreUnavailable
            As always; here it may also mean that the answer was lost and that the object appears later.
        """
        path = self._path(key)
        token = self._token()
        if not self._won(path, body, token):
            raise KeyTaken(f"{key} already exists. Nothing was changed.")

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing: one request."""
        path = self._path(key)
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=path)["Body"].read()
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                raise KeyMissing(f"Nothing has been written at {key}.") from None
            raise translate(error, self.url) from error
        except BotoCoreError as error:
            raise translate(error, self.url) from error
        return body

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys in order: a request for 1,000, sent when the first of them is asked for."""
        path = self._root + keys.checked_prefix(prefix)
        page = _PAGE if limit is None else min(limit, _PAGE)
        return islice(self._pages(path, self._root + after if after else "", page), limit)

    def mark(self, key: str) -> None:
        """Write an empty marker, unless the key is there: one request."""
        self._put(self._path(key), b"", self._token())

    def unmark(self, key: str) -> None:
        """Remove a marker, if it is there: one request."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key))
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self.url) from error

    def check(self) -> None:
        """Prove that a key can be created once."""
        if self._bucket.endswith(_DIRECTORY_BUCKET):
            raise StoreUnfit(
                f"The store {self.url} is a directory bucket, which does not list keys in order. "
                "Point METAFLOW_HITL_ROOT at a general purpose bucket."
            )
        prove(self, self._token())

    def _path(self, key: str) -> str:
        path = self._root + keys.checked(key)
        if (length := len(path.encode())) > keys.LONGEST_KEY:
            raise BadKey(f"{self.url}/{key} has {length} bytes after the bucket, and the limit is {keys.LONGEST_KEY}.")
        return path

    def _token(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _won(self, path: str, body: bytes, token: str) -> bool:
        try:
            if self._put(path, body, token):
                return True
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, (BotoCoreError, ClientError)) or not may_have_written(error.__cause__):
                raise
            writer = None
            with suppress(StoreError):
                writer = self._writer(path)
            if writer is None:
                raise
            return writer == token
        # boto3, or a proxy on the way, may have sent it twice: the one who was first may have been this very writer.
        return self._writer(path) == token

    def _put(self, path: str, body: bytes, token: str) -> bool:
        """Create an object; False if there was one."""
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        conflicts = 0
        while True:
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=path,
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumSHA256=checksum,
                    Metadata={_WRITER: token},
                )
            except ClientError as error:
                if status_of(error) == _TAKEN:
                    return False
                conflicts += 1
                if code_of(error) not in _CONFLICTS or conflicts == _TRIES:
                    raise translate(error, self.url) from error
            except BotoCoreError as error:
                raise translate(error, self.url) from error
            else:
                return True
            self._sleep(self._rng.uniform(0, _WAIT * 2**conflicts))

    def _writer(self, path: str) -> str | None:
        """Return the token of whoever wrote this object, ``""`` if it has none, None if there is no object."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=path)
        except ClientError as error:
            if code_of(error) in {"404", "NoSuchKey"}:
                return None
            raise translate(error, self.url) from error
        except BotoCoreError as error:
            raise translate(error, self.url) from error
        return str(answer.get("Metadata", {}).get(_WRITER, ""))

    def _pages(self, prefix: str, after: str, size: int) -> Iterator[str]:
        request = {"Bucket": self._bucket, "Prefix": prefix, "MaxKeys": size}
        if after:
            request["StartAfter"] = after
        while True:
            try:
                answer = self._client.list_objects_v2(**request)
            except (BotoCoreError, ClientError) as error:
                raise translate(error, self.url) from error
            for entry in answer.get("Contents", ()):
                # A key with a slash at its end is a folder that somebody made in S3's console.
                if not (key := entry["Key"]).endswith("/"):
                    yield key[len(self._root) :]
            if not answer.get("IsTruncated"):
                return
            request["ContinuationToken"] = answer["NextContinuationToken"]


def s3_client(
    endpoint_url: str | None = None,
    *,
    connections: int = 16,
    attempts: int = 4,
    connect_timeout: float = 5,
    read_timeout: float = 20,
) -> Any:
    """Make a boto3 S3 client that gives up in time to say so.

    Credentials and region come from boto3's usual places.

    Parameters
    ----------
    endpoint_url : str, optional
        A server other than Amazon's. By default boto3's own choice, ``AWS_ENDPOINT_URL_S3`` included.
    connections : int
        Kept open; as many threads can use the client at once without waiting for each other.
    attempts : int
        The first one included (boto3's standard retries: connection errors, 5xx, throttling).
    connect_timeout, read_timeout : float
        Seconds for each attempt.

    Raises
    ------
    StoreUnavailable
        The AWS configuration can't be used.
    """
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint_url,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                max_pool_connections=connections,
            ),
        )
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is not a URL
        raise StoreUnavailable(f"No S3 client could be made: {error}. Correct the AWS configuration.") from error
