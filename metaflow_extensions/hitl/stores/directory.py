"""A store in a directory: one file a key, for one machine or a shared file system.

How a key is written: the whole body goes to a file under ``.tmp`` and to the disk (fsync); a hard link then gives that
file its name. Making a link fails if the name is there, so of many writers one succeeds, in whatever process or, where
the file system keeps links atomic (NFS does), on whatever machine. A reader sees the whole body or no key.

A writer that dies leaves, at worst, a file under ``.tmp``: never part of a key, and free to be deleted while nobody
writes. The name itself is on the disk when ``create`` returns (fsync of the folder). Another process may see the key
some milliseconds before that; a power cut in between can take it back.

A file system without hard links is refused. Creating the final name and then filling it would work there, but a crash
in between would leave half a record under a key that can never be written again.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from random import Random, SystemRandom

from metaflow_extensions.hitl.approvals.errors import BadKey, KeyMissing, KeyTaken, StoreUnavailable, StoreUnfit
from metaflow_extensions.hitl.approvals.ports import Store

from . import keys
from .keys import prove

_TMP = ".tmp"  # no key begins with a dot, so none can be in there

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}

_A_FILE = "A file exists where a folder should be: point METAFLOW_HITL_ROOT elsewhere."

_WHAT_TO_DO = {
    errno.EACCES: "Give this user read and write access to it.",
    errno.EPERM: "Give this user read and write access to it.",
    errno.EROFS: "Mount it for writing, or point METAFLOW_HITL_ROOT elsewhere.",
    errno.ENOSPC: "Free some space there.",
    errno.EDQUOT: "Free some of this user's quota there.",
    errno.EEXIST: _A_FILE,
    errno.ENOTDIR: _A_FILE,
    errno.ESTALE: "Mount it again.",
}


class DirectoryStore:
    """Bodies by key, each in a file of its own.

    Parameters
    ----------
    path : Path
        Made when the first key is written. A relative one is meant from where the process is now.
    rng : Random, optional
        Names the files under ``.tmp``. By default the system's, which a forked process does not repeat.

    Notes
    -----
    A key can't be the folder of another one (``a`` and ``a/b``): BadKey. Files that no key can name, such as
    ``.DS_Store``, are not listed.
    """

    poll_interval = 0.1

    def __init__(self, path: Path, *, rng: Random | None = None) -> None:
        self._root = Path(path).absolute()
        self._rng = rng or SystemRandom()

    @property
    def url(self) -> str:
        """The absolute path."""
        return str(self._root)

    def create(self, key: str, body: bytes) -> None:
        """Write a new key and see it on the disk, or raise KeyTaken."""
        final = self._file(key)
        with self._unavailable():
            self._make_folder(final.parent, key)
            self._make_folder(self._root / _TMP, key)
            written = self._root / _TMP / self._token()
            try:
                _write(written, body)
                self._link(written, final, key)
            finally:
                with suppress(FileNotFoundError):
                    written.unlink()
            _sync_folder(final.parent)

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing."""
        file = self._file(key)
        with self._unavailable():
            try:
                return file.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise KeyMissing(f"Nothing has been written at {key}.") from None

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys in order. Only folders that can hold such keys are opened, one at a time."""
        folder = keys.checked_prefix(prefix).rpartition("/")[0]
        return islice(self._walk(f"{folder}/" if folder else "", prefix, after), limit)

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Yield keys with the seconds since they were written, by the file system's word and this machine's clock."""
        for key in self.list(prefix):
            with self._unavailable(), suppress(FileNotFoundError, NotADirectoryError):
                yield key, max(0.0, time.time() - self._file(key).stat().st_mtime)

    def mark(self, key: str) -> None:
        """Write an empty marker and see it on the disk, unless the key is there."""
        with suppress(KeyTaken):
            self.create(key, b"")

    def unmark(self, key: str) -> None:
        """Remove a marker, if it is there. A power cut may bring it back."""
        file = self._file(key)
        with self._unavailable(), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            file.unlink()

    def may_unmark(self, key: str) -> bool:
        """Whether a key could be removed from here, which is the right to write its folder."""
        return os.access(self._file(key).parent, os.W_OK)

    def check(self) -> None:
        """Prove that a key can be created once."""
        prove(self, self._token())

    def _file(self, key: str) -> Path:
        return self._root / keys.checked(key)

    def _token(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _make_folder(self, folder: Path, key: str) -> None:
        try:
            folder.mkdir()
        except FileNotFoundError:
            self._make_folder(folder.parent, key)
            self._make_folder(folder, key)
        except (FileExistsError, NotADirectoryError):
            if folder.is_dir():
                return  # it was there, or another writer was quicker
            if self._root.is_dir():
                raise BadKey(f"{key} can't be a key here: a part of it is a key already.") from None
            raise
        else:
            _sync_folder(folder.parent)

    def _link(self, written: Path, final: Path, key: str) -> None:
        try:
            os.link(written, final)
        except FileExistsError:
            if final.is_dir():
                raise BadKey(f"{key} can't be a key here: other keys are in it.") from None
            # NFS answers so too when its first answer was lost and the link was made by this very call (link(2), BUGS).
            if written.stat().st_nlink == 1:
                raise KeyTaken(f"{key} already exists. Nothing was changed.") from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            raise StoreUnfit(
                f"The file system of {self.url} does not support hard links ({error.strerror}), so a half-written "
                "record could be read. Point METAFLOW_HITL_ROOT at a folder on another one."
            ) from error

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[str]:
        """Yield keys in a folder, given as ``""`` or with its last slash."""
        with self._unavailable():
            try:
                with os.scandir(self._root / folder) as entries:
                    # With their slash, folders sort where their keys belong: a-b, a/b, a0.
                    paths = sorted(
                        folder + entry.name + ("/" if entry.is_dir() else "")
                        for entry in entries
                        if keys.is_part(entry.name)
                    )
            except (FileNotFoundError, NotADirectoryError):
                return
        for path in paths:
            if not path.endswith("/"):
                if path.startswith(prefix) and path > after:
                    yield path
            # Every key in there begins with this path: all of them come before `after`, unless it does so too.
            elif (path.startswith(prefix) or prefix.startswith(path)) and (path > after or after.startswith(path)):
                yield from self._walk(path, prefix, after)

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what_to_do = _WHAT_TO_DO.get(error.errno or 0, "Look at it with ls -ld, then try again.")
            where = f" ({error.filename})" if error.filename else ""
            raise StoreUnavailable(
                f"The store {self.url} could not be used: {error.strerror or error}{where}. {what_to_do}"
            ) from error


def _write(file: Path, body: bytes) -> None:
    # Not tempfile: its files are for their owner alone, and the bot may be another user of the same group.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems can't, and then have nothing to sync
            raise
    finally:
        os.close(descriptor)


# A copy of a bucket that somebody took, to be read as the bucket itself.


class CopiedStore:
    """Reads a copy; writes nothing.

    Parameters
    ----------
    copy : Store
        Where the copy is.
    url : str
        The URL of what was copied: a signature names it, and counts for no other place.
    """

    def __init__(self, copy: Store, url: str) -> None:
        self._copy = copy
        self.url = url
        self.poll_interval = copy.poll_interval

    def read(self, key: str) -> bytes:
        """Return the body, or raise KeyMissing."""
        return self._copy.read(key)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield keys in order."""
        return self._copy.list(prefix, after=after, limit=limit)

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Yield keys with their ages, as the copy has them."""
        return self._copy.ages(prefix)

    def create(self, key: str, body: bytes) -> None:  # noqa: ARG002 - the port's
        """Refuse."""
        self._refuse(key)

    def mark(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def unmark(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def check(self) -> None:
        """Refuse: it would write."""
        self._refuse("")

    def _refuse(self, key: str) -> None:
        raise StoreUnavailable(f"{self._copy.url} is a copy of {self.url}, so {key or 'nothing'} is not written there.")
