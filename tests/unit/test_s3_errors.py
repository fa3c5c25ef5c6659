"""How botocore's errors map to the project's own; each says where, why and what to do."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from metaflow_extensions.hitl.approvals.errors import StoreUnavailable, StoreUnfit
from metaflow_extensions.hitl.stores.s3 import may_have_written, s3_client, translate

URL = "s3://bucket/hitl"


def refused(status: int, code: str, message: str = "As S3 puts it.") -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("error", "what_to_do"),
    [
        (refused(404, "NoSuchBucket"), "Create the bucket, or correct METAFLOW_HITL_ROOT."),
        (refused(400, "InvalidBucketName"), "Create the bucket, or correct METAFLOW_HITL_ROOT."),
        (refused(403, "AccessDenied"), "s3:ListBucket"),
        (refused(403, "403", ""), "s3:ListBucket"),
        (refused(403, "InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID"),
        (refused(403, "SignatureDoesNotMatch"), "AWS_SECRET_ACCESS_KEY"),
        (refused(400, "ExpiredToken"), "Sign in again"),
        (refused(403, "RequestTimeTooSkewed"), "clock"),
        (refused(301, "PermanentRedirect"), "AWS_DEFAULT_REGION"),
        (refused(400, "AuthorizationHeaderMalformed"), "AWS_DEFAULT_REGION"),
        (refused(503, "SlowDown"), "Try again in a moment."),
        (refused(500, "InternalError"), "Try again in a moment."),
        (refused(418, "Teapot"), "the server's log"),
    ],
    ids=lambda value: value.response["Error"]["Code"] if isinstance(value, ClientError) else "",
)
def test_refusals(error: ClientError, what_to_do: str) -> None:
    """A refusal is StoreUnavailable: it names the store, the operation, S3's code and words, and what to do."""
    translated = translate(error, URL)
    assert type(translated) is StoreUnavailable
    assert str(translated).startswith(f"The store {URL} refused PutObject ({error.response['Error']['Code']}: ")
    assert what_to_do in str(translated)


@pytest.mark.parametrize(
    ("error", "what_to_do"),
    [
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "AWS_ENDPOINT_URL_S3"),
        (boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"), "AWS_ENDPOINT_URL_S3"),
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), "AWS_ENDPOINT_URL_S3"),
        (boto.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"), "AWS_ENDPOINT_URL_S3"),
        (boto.ProxyConnectionError(proxy_url="http://127.0.0.1:1"), "Check the network"),
        (boto.ResponseStreamingError(error="reset"), "Check the network"),
        (boto.SSLError(endpoint_url="https://127.0.0.1:1", error="self-signed"), "AWS_CA_BUNDLE"),
        (boto.NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
        (boto.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), "AWS_SECRET_ACCESS_KEY"),
        (boto.CredentialRetrievalError(provider="role", error_msg="refused"), "Sign in again"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login"),
        (boto.ParamValidationError(report='Invalid bucket name "a b":\n two words'), "Correct METAFLOW_HITL_ROOT."),
        (boto.ProfileNotFound(profile="gone"), "Check the AWS configuration"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures_without_an_answer(error: boto.BotoCoreError, what_to_do: str) -> None:
    """What botocore itself gives up on is StoreUnavailable, on one line, with what to do."""
    translated = translate(error, URL)
    assert type(translated) is StoreUnavailable
    assert str(translated).startswith(f"The store {URL} could not be used: ")
    assert what_to_do in str(translated)
    assert "\n" not in str(translated)


def test_no_conditional_writes() -> None:
    """501 NotImplemented is StoreUnfit: another server is needed, not another try."""
    translated = translate(refused(501, "NotImplemented"), URL)
    assert type(translated) is StoreUnfit
    assert "If-None-Match" in str(translated)


@pytest.mark.parametrize(
    ("error", "may_have"),
    [
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), True),
        (boto.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"), True),
        (refused(500, "InternalError"), True),
        (refused(504, "504"), True),
        (refused(503, "SlowDown"), False),
        (refused(403, "AccessDenied"), False),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), False),
        (boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"), False),
        (boto.NoCredentialsError(), False),
    ],
    ids=str,
)
def test_what_may_have_happened_all_the_same(error: boto.BotoCoreError | ClientError, may_have: bool) -> None:  # noqa: FBT001  (a parameter of the table)
    """A lost answer and a server's own failure may hide a write; a refusal or a failed connection hides none."""
    assert may_have_written(error) is may_have


@pytest.mark.parametrize(
    ("setting", "value"), [("AWS_PROFILE", "no-such-profile"), ("AWS_ENDPOINT_URL_S3", "not a url")]
)
def test_a_configuration_that_makes_no_client(monkeypatch: pytest.MonkeyPatch, setting: str, value: str) -> None:
    """A profile that is missing or an endpoint that is not a URL gets StoreUnavailable before any request."""
    monkeypatch.setenv(setting, value)
    with pytest.raises(StoreUnavailable, match="Correct the AWS configuration"):
        s3_client()


def test_the_client_gives_up_in_time() -> None:
    """Attempts, timeouts and connections are as they were asked for."""
    config = s3_client(connections=7, attempts=2, connect_timeout=1.5, read_timeout=2.5).meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
    assert (config.max_pool_connections, config.connect_timeout, config.read_timeout) == (7, 1.5, 2.5)
