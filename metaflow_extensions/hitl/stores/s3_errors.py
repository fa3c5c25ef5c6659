"""What S3 and botocore fail with, as errors of this project that say what to do."""

from __future__ import annotations

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

from metaflow_extensions.hitl.approvals.errors import StoreError, StoreUnavailable, StoreUnfit

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


def translate(error: BotoCoreError | ClientError, url: str) -> StoreError:
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
            return StoreUnfit(
                f"The store {url} doesn't support creating a key only if it is missing ({code}: {_one_line(said)}). "
                "Point METAFLOW_HITL_ROOT at one that honours If-None-Match on PutObject, as Amazon S3 does."
            )
        what_to_do = _WHAT_TO_DO.get(code, "Try again; if this keeps happening, look at the server's log.")
        return StoreUnavailable(f"The store {url} refused ({code}: {_one_line(said)}). {what_to_do}")
    return StoreUnavailable(f"The store {url} could not be used: {_one_line(str(error))}. {_what_to_do(error)}")


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
