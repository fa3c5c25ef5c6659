"""Where approvals are kept: an S3 bucket, a directory, or memory."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from metaflow_extensions.hitl.approvals.errors import StoreError
from metaflow_extensions.hitl.approvals.ports import Store

from . import keys
from .directory import DirectoryStore
from .memory import MemoryStore

__all__ = ["BadRoot", "DirectoryStore", "MemoryStore", "open_store"]

_ACCEPTED = "METAFLOW_HITL_ROOT accepts s3://bucket/prefix, a path, or file:///path"


class BadRoot(StoreError):
    """The root names no place where approvals can be kept."""

    def __init__(self, root: str, fault: str) -> None:
        super().__init__(f"Approvals can't be kept in {root!r}: {fault}. {_ACCEPTED}.")


class Scheme(Enum):
    """Where a root keeps its records."""

    DIRECTORY = "directory"  # on this machine
    S3 = "s3"


def scheme_of(root: str) -> Scheme:
    """Read the scheme of a root; the only place that does.

    Raises
    ------
    BadRoot
        It is empty, or its scheme is not supported.
    """
    if not root.strip():
        raise BadRoot(root, "it is empty")
    scheme, separator, _ = root.partition("://")
    if not separator or scheme == "file":
        return Scheme.DIRECTORY
    if scheme == "s3":
        return Scheme.S3
    raise BadRoot(root, f"{scheme}:// is not supported")


def open_store(root: str, *, s3_client: Callable[[], Any] | None = None, s3_endpoint_url: str | None = None) -> Store:
    """Open the store at a root, without a look at what is there; ``check`` has one.

    Parameters
    ----------
    root : str
        ``s3://bucket/prefix``, ``file:///path`` or a path, in which ``~`` is the home directory.
    s3_client : Callable[[], Any], optional
        Makes the boto3 S3 client to use for ``s3://``, such as Metaflow's own. By default a new one. It is called for
        a root on S3 alone, since boto3 takes a second to import.
    s3_endpoint_url : str, optional
        The server that a new client uses. Default: boto3's own choice.

    Raises
    ------
    BadRoot
        It is something else. The message names what is accepted.
    """
    if scheme_of(root) is Scheme.S3:
        return _open_s3(root, s3_client, s3_endpoint_url)
    return DirectoryStore(_file_path(root) if "://" in root else Path(root).expanduser())


def _file_path(root: str) -> Path:
    parts = urlsplit(root)
    if parts.netloc not in {"", "localhost"}:
        raise BadRoot(root, f"{parts.netloc} would be another machine; file:// must be followed by a third slash")
    path = Path(unquote(parts.path))
    if not path.is_absolute():
        raise BadRoot(root, "its path is empty")
    return path


def _open_s3(root: str, client: Callable[[], Any] | None, endpoint_url: str | None) -> Store:
    bucket, _, prefix = root.partition("://")[2].partition("/")
    prefix = prefix.strip("/")
    if not bucket:
        raise BadRoot(root, "it does not name a bucket")
    # A bucket may well have folders whose names begin with a dot; only what is left of `.` and `..` is not a name.
    if not all(keys.is_part(part.lstrip(".")) for part in f"{bucket}/{prefix}".rstrip("/").split("/")):
        raise BadRoot(root, "a part of it is empty, too long, or holds dots alone or control characters")
    # boto3 takes a second to import, which a flow on a directory should not pay for.
    from . import s3  # noqa: PLC0415  (see above)

    return s3.S3Store(s3.s3_client(endpoint_url) if client is None else client(), bucket, prefix)
