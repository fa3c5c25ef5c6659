"""A store in an S3 bucket, or in anything that speaks S3 and honours ``If-None-Match: *`` on PutObject.

Sources: Amazon S3 API Reference, PutObject (412 PreconditionFailed: the key is there; 409 ConditionalRequestConflict:
something else happened to the key meanwhile, send it again) and ListObjectsV2 (keys in the order of their UTF-8 bytes,
which is that of their code points; 1,000 a page).
"""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import islice
from random import Random, SystemRandom
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError as BotoConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from metaflow_extensions.hitl.approvals import errors

from . import keys
from .keys import prove

# What S3 and botocore fail with, as errors of this project that say what to do.

_ACCESS = (
    "Allow s3:GetObject, s3:PutObject and s3:DeleteObject on its objects and s3:ListBucket on its bucket. "
    "Without s3:ListBucket, S3 answers 403 where a key is merely missing."
)
_CREDENTIALS = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile or role in use."
_SIGN_IN = "Sign in again (aws sso login, or new credentials), then try again."
_REGION = "Set AWS_DEFAULT_REGION to the bucket's region."
_BUCKET = "Create the bucket, or correct METAFLOW_HITL_ROOT."
_AGAIN = "Try again in a moment."

# Codes: Amazon S3 API Reference, "Error responses"; the numbers stand where a HEAD has no body to hold a code.
_WHAT_TO_DO = {
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "AccessDenied": _ACCESS,
    "AllAccessDisabled": _ACCESS,
    "403": _ACCESS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "ExpiredToken": _SIGN_IN,
    "TokenRefreshRequired": _SIGN_IN,
    "RequestExpired": _SIGN_IN,
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "301": _REGION,
    "SlowDown": _AGAIN,
    "ServiceUnavailable": _AGAIN,
    "InternalError": _AGAIN,
    "RequestTimeout": _AGAIN,
    "503": _AGAIN,
    "500": _AGAIN,
}

_UNFIT = {"NotImplemented", "501"}

_MAY_HAVE_WRITTEN = {500, 502, 504}


def code_of(error: ClientError) -> str:
    """Return S3's error code, or the HTTP status where there is none."""
    return str(error.response.get("Error", {}).get("Code", "") or status_of(error))


def status_of(error: ClientError) -> int:
    """Return the HTTP status, or 0."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def may_have_written(error: BotoCoreError | ClientError) -> bool:
    """Tell whether what was asked for may have happened: the answer was lost, or is a server's way to say so."""
    if isinstance(error, ClientError):
        return status_of(error) in _MAY_HAVE_WRITTEN
    return isinstance(error, HTTPClientError)


def translate(error: BotoCoreError | ClientError, url: str) -> errors.StoreError:
    """Return what to raise instead.

    Parameters
    ----------
    error : BotoCoreError or ClientError
        What boto3 raised. A missing key and a taken one are not for here: they are answers.
    url : str
        The store's, for the message.
    """
    if isinstance(error, ClientError):
        code = code_of(error)
        said = error.response.get("Error", {}).get("Message") or "no message"
        if code in _UNFIT:
            return errors.StoreUnfit(
                f"The store {url} doesn't support creating a key only if it is missing ({code}: {_one_line(said)}). "
                "Point METAFLOW_HITL_ROOT at one that honours If-None-Match on PutObject, as Amazon S3 does."
            )
        what_to_do = _WHAT_TO_DO.get(code, "Try again; if this keeps happening, look at the server's log.")
        asked = error.operation_name
        return errors.StoreUnavailable(f"The store {url} refused {asked} ({code}: {_one_line(said)}). {what_to_do}")
    return errors.StoreUnavailable(f"The store {url} could not be used: {_one_line(str(error))}. {_what_to_do(error)}")


def _what_to_do(error: BotoCoreError) -> str:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, NoAuthTokenError)):
        return _CREDENTIALS
    if isinstance(error, (CredentialRetrievalError, TokenRetrievalError, SSOError)):
        return _SIGN_IN
    if isinstance(error, SSLError):
        return "Check AWS_CA_BUNDLE and the server's certificate."
    if isinstance(error, (BotoConnectionError, HTTPClientError)):
        return "Check the network and the endpoint (AWS_ENDPOINT_URL_S3, METAFLOW_S3_ENDPOINT_URL), then try again."
    if isinstance(error, ParamValidationError):
        return "Correct METAFLOW_HITL_ROOT."
    return "Check the AWS configuration, then try again."


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


# A store in an S3 bucket, or in anything that speaks S3 and honours ``If-None-Match: *`` on PutObject.

_PAGE = 1000
_WRITER = "hitl-writer"  # sent as x-amz-meta-hitl-writer
_FORBIDDEN, _ABSENT, _TAKEN = 403, 404, 412
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
            raise errors.KeyTaken(f"{key} already exists. Nothing was changed.")

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing: one request."""
        path = self._path(key)
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=path)["Body"].read()
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                raise errors.KeyMissing(f"Nothing has been written at {key}.") from None
            raise translate(error, self.url) from error
        except BotoCoreError as error:
            raise translate(error, self.url) from error
        return body

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys in order: a request for 1,000, sent when the first of them is asked for."""
        path = self._root + keys.checked_prefix(prefix)
        page = _PAGE if limit is None else min(limit, _PAGE)
        found = self._pages(path, self._root + after if after else "", page)
        return islice((key for key, _ in found), limit)

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Yield keys with the seconds since they were written, both by S3's clock; requests as ``list``."""
        return self._pages(self._root + keys.checked_prefix(prefix), "", _PAGE)

    def mark(self, key: str) -> None:
        """Write an empty marker, unless the key is there: one request."""
        self._put(self._path(key), b"", self._token())

    def unmark(self, key: str) -> None:
        """Remove a marker, if it is there: one request."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key))
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self.url) from error

    def may_unmark(self, key: str) -> bool:
        """Whether a key could be removed from here; it must be one that no object has.

        The condition keeps a bucket with versions from noting a removal (Amazon S3 API Reference, DeleteObject).
        """
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key), IfMatch="*")
        except ClientError as error:
            if status_of(error) == _FORBIDDEN:
                return False
            if status_of(error) in {_ABSENT, _TAKEN}:
                return True
            raise translate(error, self.url) from error
        except BotoCoreError as error:
            raise translate(error, self.url) from error
        return True

    def check(self) -> None:
        """Prove that a key can be created once."""
        if self._bucket.endswith(_DIRECTORY_BUCKET):
            raise errors.StoreUnfit(
                f"The store {self.url} is a directory bucket, which does not list keys in order. "
                "Point METAFLOW_HITL_ROOT at a general purpose bucket."
            )
        prove(self, self._token())

    def _path(self, key: str) -> str:
        path = self._root + keys.checked(key)
        if (length := len(path.encode())) > keys.LONGEST_KEY:
            raise errors.BadKey(
                f"{self.url}/{key} has {length} bytes after the bucket, and the limit is {keys.LONGEST_KEY}."
            )
        return path

    def _token(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _won(self, path: str, body: bytes, token: str) -> bool:
        try:
            if self._put(path, body, token):
                return True
        except errors.StoreUnavailable as error:
            if not isinstance(error.__cause__, (BotoCoreError, ClientError)) or not may_have_written(error.__cause__):
                raise
            writer = None
            with suppress(errors.StoreError):
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

    def _pages(self, prefix: str, after: str, size: int) -> Iterator[tuple[str, float]]:
        request = {"Bucket": self._bucket, "Prefix": prefix, "MaxKeys": size}
        if after:
            request["StartAfter"] = after
        while True:
            try:
                answer = self._client.list_objects_v2(**request)
            except (BotoCoreError, ClientError) as error:
                raise translate(error, self.url) from error
            now = _said_at(answer)
            for entry in answer.get("Contents", ()):
                # A key with a slash at its end is a folder that somebody made in S3's console.
                if not (key := entry["Key"]).endswith("/"):
                    yield key[len(self._root) :], (now - entry["LastModified"]).total_seconds()
            if not answer.get("IsTruncated"):
                return
            request["ContinuationToken"] = answer["NextContinuationToken"]


def _said_at(answer: dict[str, Any]) -> datetime:
    """Return when S3 gave an answer, by its own clock; by the one here if it does not say."""
    with suppress(KeyError, ValueError, TypeError):
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return datetime.now(timezone.utc)


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
        raise errors.StoreUnavailable(f"No S3 client could be made: {error}. Correct the AWS configuration.") from error
