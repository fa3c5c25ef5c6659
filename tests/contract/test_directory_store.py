"""What is the directory's own: processes that die while they write, files of others, and disks that refuse."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from metaflow_extensions.hitl.approvals.errors import BadKey, KeyMissing, KeyTaken, StoreUnavailable, StoreUnfit
from metaflow_extensions.hitl.stores import DirectoryStore
from tests.plugin import NO_MOUNT

MIB = 1 << 20

# Each takes the store's path; what differs is how the process ends.
OUTGROW = """
import resource, signal, sys
from pathlib import Path
from metaflow_extensions.hitl.stores.directory import DirectoryStore
path, on_limit = sys.argv[1:]
# A file that outgrows this limit gets its writer killed by the kernel, in the middle of the write.
signal.signal(signal.SIGXFSZ, getattr(signal, on_limit))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
DirectoryStore(Path(path)).create("a/00001.json", b"x" * (4 << 20))
"""

WRITE_ON = """
import sys
from pathlib import Path
from metaflow_extensions.hitl.stores.directory import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
for number in range(100_000):
    store.create(f"a/{number:05}", bytes([number % 256]) * (1 << 20))
"""

RACE = """
import json, sys
from pathlib import Path
from metaflow_extensions.hitl.approvals.errors import KeyTaken
from metaflow_extensions.hitl.stores.directory import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(100):
    try:
        store.create(f"race/{number:05}", sys.argv[2].encode())
    except KeyTaken:
        continue
    won.append(number)
print(json.dumps(won))
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_writer_killed_in_the_middle_leaves_no_key(tmp_path: Path) -> None:
    """The kernel kills a writer after 1 of 4 MiB: the key is missing, not listed, and free for the next one."""
    with start(OUTGROW, tmp_path, "SIG_DFL") as writer:
        assert writer.wait(60) == -signal.SIGXFSZ
    assert [file.stat().st_size for file in (tmp_path / ".tmp").iterdir()] == [MIB]  # it did die in the middle
    store = DirectoryStore(tmp_path)
    assert list(store.list("")) == []
    with pytest.raises(KeyMissing):
        store.read("a/00001.json")
    store.create("a/00001.json", b"whole")
    assert store.read("a/00001.json") == b"whole"


def test_a_writer_killed_at_any_moment_leaves_whole_bodies(tmp_path: Path) -> None:
    """SIGKILL hits a process that writes key after key: every key there has its whole body, and none is left out."""
    store = DirectoryStore(tmp_path)
    with start(WRITE_ON, tmp_path) as writer:
        last = time.monotonic() + 60
        while not list(store.list("a/", limit=3))[2:]:
            assert time.monotonic() < last
            assert writer.poll() is None
            time.sleep(0.005)  # another process's files can't be awaited, only looked for
        writer.kill()
    keys = list(store.list(""))
    assert keys == [f"a/{number:05}" for number in range(len(keys))]
    for number, key in enumerate(keys):
        assert store.read(key) == bytes([number % 256]) * MIB


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    """A write that fails in the middle gets StoreUnavailable with the cause; no key and no other file stay."""
    with start(OUTGROW, tmp_path, "SIG_IGN") as writer:
        _, complaint = writer.communicate(timeout=60)
    assert writer.returncode == 1
    assert f"StoreUnavailable: The store {tmp_path} could not be used: File too large" in complaint
    assert list(DirectoryStore(tmp_path).list("")) == []
    assert list((tmp_path / ".tmp").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip(NO_MOUNT)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_what_is_there_stays(small_disk: Path) -> None:
    """On a full disk nothing is half written, what is there can be read, and once there is room it goes on."""
    store = DirectoryStore(small_disk / "store")
    store.create("a/1", b"old")
    with suppress(OSError), (small_disk / "of others").open("wb", buffering=0) as others:
        while others.write(bytes(1 << 10)):
            pass
    with pytest.raises(StoreUnavailable, match=r"No space left on device.*Free some space there"):
        store.create("a/2", bytes(32 << 10))
    with pytest.raises(StoreUnavailable, match=r"Free some space there"):
        store.check()  # /readyz says so, too
    assert {key: store.read(key) for key in store.list("")} == {"a/1": b"old"}
    (small_disk / "of others").unlink()
    store.create("a/2", bytes(32 << 10))
    assert store.read("a/2") == bytes(32 << 10)


def test_a_disk_that_became_read_only_is_named(small_disk: Path) -> None:
    """A disk that was mounted read-only can still be read, and says what to do when something is written."""
    store = DirectoryStore(small_disk)
    store.create("a/1", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for write in (lambda: store.create("a/2", b"new"), lambda: store.mark("open/a"), store.check):
        with pytest.raises(StoreUnavailable, match=r"Read-only file system.*Mount it for writing"):
            write()
    assert {key: store.read(key) for key in store.list("")} == {"a/1": b"old"}


def test_of_several_processes_one_wins(tmp_path: Path) -> None:
    """Four processes create the same hundred keys: each key has one winner, and holds what that one wrote."""
    writers = [start(RACE, tmp_path, name) for name in range(4)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    won = [json.loads(writer.communicate("go\n", timeout=60)[0]) for writer in writers]
    assert sorted(number for numbers in won for number in numbers) == list(range(100))
    store = DirectoryStore(tmp_path)
    for name, numbers in enumerate(won):
        assert {store.read(f"race/{number:05}") for number in numbers} <= {str(name).encode()}


def test_a_link_whose_answer_was_lost_has_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS may say that the name is there when this very call made it: the link count tells, and create is content."""
    link = os.link

    def link_and_forget(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError

    with monkeypatch.context() as forgetful:
        forgetful.setattr(os, "link", link_and_forget)
        DirectoryStore(tmp_path).create("a/1", b"mine")
    with pytest.raises(KeyTaken):
        DirectoryStore(tmp_path).create("a/1", b"mine")


def test_a_key_is_a_file_that_others_may_read(tmp_path: Path) -> None:
    """A body stands in a file of its key's name, with the rights that this user's new files have."""
    DirectoryStore(tmp_path).create("approvals/a/00001.json", b"{}")
    (tmp_path / "plain").touch()
    file = tmp_path / "approvals" / "a" / "00001.json"
    assert file.read_bytes() == b"{}"
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_nothing_is_left_over(tmp_path: Path) -> None:
    """Neither a write nor one that was refused leaves a file under .tmp."""
    store = DirectoryStore(tmp_path)
    for _ in "first", "second":
        with suppress(KeyTaken):
            store.create("a/1", b"1")
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_files_of_others_are_not_keys(tmp_path: Path) -> None:
    """Hidden files, and names that no key can have, are not listed."""
    DirectoryStore(tmp_path).mark("open/a")
    for name in (".DS_Store", "line\nbreak"):
        (tmp_path / "open" / name).touch()
    (tmp_path / "open" / os.fsdecode(b"\xff")).touch()
    assert list(DirectoryStore(tmp_path).list("")) == ["open/a"]


def test_a_key_is_not_a_folder_too(tmp_path: Path) -> None:
    """A key below another key, or above one, is refused and names the cause; nothing changes."""
    store = DirectoryStore(tmp_path)
    store.create("a/b", b"1")
    with pytest.raises(BadKey, match="a key already"):
        store.create("a/b/c", b"1")
    with pytest.raises(BadKey, match="in it"):
        store.create("a", b"1")
    store.unmark("a")
    assert list(store.list("")) == ["a/b"]


def test_only_folders_that_matter_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing of one prefix, after a key, opens the folders in which such keys may be and no others."""
    store = DirectoryStore(tmp_path)
    for key in ("a/1/x", "a/2/x", "a/2/y", "a/3/x", "b/1/x"):
        store.mark(key)
    opened = []
    scandir = os.scandir

    def record(folder: Path) -> Iterator[os.DirEntry[str]]:
        opened.append(str(folder.relative_to(tmp_path)))
        return scandir(folder)

    with monkeypatch.context() as recording:
        recording.setattr(os, "scandir", record)
        assert list(store.list("a/", after="a/2/x")) == ["a/2/y", "a/3/x"]
        assert opened == ["a", "a/2", "a/3"]
        opened.clear()
        assert list(store.list("a/2/", limit=1)) == ["a/2/x"]
        assert opened == ["a/2"]


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    """A file stands where the root should be: reading finds nothing there, writing names it and says what to do."""
    (tmp_path / "root").touch()
    store = DirectoryStore(tmp_path / "root")
    assert list(store.list("")) == []
    with pytest.raises(StoreUnavailable, match=r"root.*A file exists.*METAFLOW_HITL_ROOT"):
        store.create("a/1", b"1")


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is meant from where the process was when the store was opened."""
    monkeypatch.chdir(tmp_path)
    store = DirectoryStore("hitl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.mark("open/a")
    assert (tmp_path / "hitl" / "open" / "a").exists()
    assert store.url == str(tmp_path / "hitl")


def test_a_file_system_without_hard_links_is_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no link can be made, nothing is written and the message says so: a record could be seen half written."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # link(2) on vfat and others

    with monkeypatch.context() as vfat:
        vfat.setattr(os, "link", refuse)
        with pytest.raises(StoreUnfit, match="hard links"):
            DirectoryStore(tmp_path).check()
    assert list(DirectoryStore(tmp_path).list("")) == []
    assert list((tmp_path / ".tmp").iterdir()) == []
