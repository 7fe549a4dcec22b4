"""Test that a store works with few descriptors, and closes every one of them."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair
from rundlet_server.storage.errors import Conflict, DiskFull, InvalidOperation, Unavailable
from rundlet_server.storage.files import Buffer, RealFile
from rundlet_server.storage.interface import Condition, Delete, Put, Touch, Txn
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME, MAINTENANCE_LOCK_NAME
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.disks.unsynced_files import UnsyncedFile, UnsyncedFiles
from tests.support.processes.servers import wait_for
from tests.support.without_collector import without_collector

SEGMENT_COUNT = 500
RECORDS = 2


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A store of 500 segments."""
    with folder_in_memory() as above:
        folder = above / "data"
        with opened(folder) as store:
            for number in range(RECORDS * SEGMENT_COUNT):
                store.commit(Txn([Put(f"k{number}", b"%d" % number)]))
            assert store.gauges()["segments"].value >= SEGMENT_COUNT
        yield folder


@contextlib.contextmanager
def opened(folder: Path, **settings: int) -> Iterator[LogStore]:
    store = open_log_store(
        folder,
        StoreSettings(
            files=UnsyncedFiles(), segment_records_max=RECORDS, cache_bytes_max=0, **settings
        ),
    )
    try:
        yield store
    finally:
        store.close()


def descriptor_count() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def open_files(folder: Path) -> set[str]:
    """Return the names of the files of a folder that this process has open."""
    links = Path("/proc/self/fd").iterdir()
    paths = [Path(os.readlink(link)) for link in links if link.is_symlink()]
    return {path.name for path in paths if path.parent == folder}


PROGRAM = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.interface import Put, Txn
store = open_log_store(Path(sys.argv[1]), StoreSettings(sync="never", segment_records_max=2))
found = sum(store.get(f"k{n}").value == b"%d" % n for n in range(1000))
listed = len(store.scan(limit=10_000, include_values=True).keys)
moments = sum(bool(store.changes(n, limit=1).events) for n in range(1000))
for n in range(20):
    store.commit(Txn([Put("few", b"%d" % n)]))
print(json.dumps([found, listed, moments, store.get("few").value.decode()]))
store.close()
"""


def test_few_descriptors_are_enough_for_many_segments(folder: Path):
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert json.loads(answer) == [1_000, 1_000, 1_000, "19"]


def test_open_segments_are_bounded(folder: Path):
    before = descriptor_count()
    with opened(folder, open_segments_max=10) as store:
        base = descriptor_count()
        for number in range(RECORDS * SEGMENT_COUNT):
            assert store.get(f"k{number}") is not None

        assert descriptor_count() - base <= 10
    del store
    assert descriptor_count() <= before


def test_closed_store_leaves_nothing_to_the_garbage_collector(tmp_path: Path):
    gc.collect()
    with without_collector():
        with opened(tmp_path / "data") as store:
            for number in range(10 * RECORDS):
                store.commit(Txn([Put(f"k{number}", b"v")]))
            store.compact()
            store.scan()
            assert open_in(tmp_path) != []
        del store

        assert open_in(tmp_path) == []


def test_store_whose_last_sync_fails_is_closed(tmp_path: Path, monkeypatch):
    store = open_log_store(tmp_path, StoreSettings(files=UnsyncedFiles(), sync="interval"))
    store.commit(Txn([Put("a", b"1")]))
    waiting = threading.Thread(target=store.wait, args=(1, PATIENCE_S))
    waiting.start()

    def failing() -> None:
        raise Unavailable("the disk failed")

    monkeypatch.setattr(store._writer, "sync", failing)
    with pytest.raises(Unavailable, match="the disk failed"):
        store.close()

    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()
    assert open_files(tmp_path).isdisjoint({LOCK_NAME, MAINTENANCE_LOCK_NAME})
    assert repair(tmp_path, StoreSettings()).losses == []
    store.close()


def test_compacted_segments_leave_no_file_open(tmp_path: Path):
    with opened(tmp_path / "data", maintain_inline=False) as store:
        for _ in range(5):
            since = store.stats().revision
            store.retain(Retention(keep_for_s=3_600))
            for number in range(4 * RECORDS):
                store.commit(Txn([Put("the same key", b"%d" % number)]))
            store.maintainer.checkpoint()
            assert store.changes(since).events
            store.retain(Retention(keep_for_s=0))
            store.maintainer.compact(thorough=True)
        store.get("the same key")

        assert removed_and_open(tmp_path) == []


class SmallFile(UnsyncedFile):
    """A file of ``SmallDisk``."""

    __slots__ = ("_disk",)

    def __init__(self, disk: SmallDisk, fd: int) -> None:
        super().__init__(fd)
        self._disk = disk

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        if self._disk.is_full:
            raise OSError(errno.ENOSPC, "planted")
        super().pwrite(buffers, offset)


class SmallDisk(UnsyncedFiles):
    """Has as much room as it is told, and takes nothing once it is full."""

    def __init__(self) -> None:
        self.room = 8 * 1024 * 1024
        self.is_full = False

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        return SmallFile(self, os.open(path, flags | (os.O_CREAT if create else 0), 0o600))

    def free_bytes(self, path: Path) -> int:  # noqa: ARG002 (whatever the folder)
        return self.room


Commits = Callable[[LogStore, Txn], object]


def alone(store: LogStore, txn: Txn) -> object:
    return store.commit(txn)


def in_a_group(store: LogStore, txn: Txn) -> object:
    """As the event loop of a worker does."""
    [outcome] = store.commit_group([txn])
    if not isinstance(outcome, Exception):
        return outcome
    try:
        raise outcome
    finally:
        del outcome  # it refers to this frame


def refuse_for_a_condition(commit: Commits, store: LogStore, files: SmallDisk) -> None:
    with pytest.raises(Conflict):
        commit(store, Txn([Put("a", b"new")], [Condition("a", exists=False)]))


def refuse_for_its_kind(commit: Commits, store: LogStore, _: SmallDisk) -> None:
    with pytest.raises(InvalidOperation):
        commit(store, Txn([Touch("absent", 1)]))


def refuse_for_want_of_room(commit: Commits, store: LogStore, files: SmallDisk) -> None:
    before, files.room = files.room, 0
    with pytest.raises(DiskFull):
        commit(store, Txn([Put("a", b"new")]))
    files.room = before


def refuse_what_the_disk_did(commit: Commits, store: LogStore, files: SmallDisk) -> None:
    files.is_full = True
    with pytest.raises(DiskFull):
        commit(store, Txn([Put("a", b"new")]))
    files.is_full = False


@pytest.mark.parametrize(
    "refuse",
    [
        refuse_for_a_condition,
        refuse_for_its_kind,
        refuse_for_want_of_room,
        refuse_what_the_disk_did,
    ],
)
@pytest.mark.parametrize("commit", [alone, in_a_group])
def test_a_refused_write_holds_on_to_no_removed_file(
    commit: Commits, refuse: Callable[[Commits, LogStore, SmallDisk], None]
):
    files = SmallDisk()
    with folder_in_memory() as above:
        store = open_log_store(
            above / "data", StoreSettings(files=files, keep_for_s=0, keep_versions=1)
        )
        with contextlib.closing(store), without_collector():
            store.commit(Txn([Put("a", b"1"), Put("b", b"2")]))
            refuse(commit, store, files)
            store.commit(Txn([Delete("b")]))
            store.maintainer.compact(thorough=True)
            assert store.get("a") is not None

            wait_for(lambda: not removed_and_open(above))  # a thread looks at a view each second


def open_in(folder: Path) -> list[str]:
    """Files of a folder that are open or mapped in this process."""
    found = [
        line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()
    ]
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(path.readlink()))
    return [name for name in found if name.startswith(str(folder))]


def removed_and_open(folder: Path) -> list[str]:
    """Files of a folder that are removed and still open in this process."""
    return [name for name in open_in(folder) if name.endswith("(deleted)")]


def test_opening_and_compacting_over_and_over_leaves_nothing_behind(campaign: Campaign):
    open_and_compact(campaign, campaign.rounds(60))


@pytest.mark.soak
def test_opening_and_compacting_for_long_leaves_nothing_behind(campaign: Campaign):
    open_and_compact(campaign, campaign.rounds())


def open_and_compact(campaign: Campaign, rounds: Iterator[random.Random]) -> None:
    """Descriptors and files are as few at the end as after the first rounds."""
    with folder_in_memory() as above:
        folder = above / "data"
        held = {}
        counts = []
        for number, choice in enumerate(rounds):
            with opened(folder, keep_for_s=0, keep_versions=1) as store:
                kept, gone = choice.sample(range(7), 2)
                store.commit(Txn([Put(f"k{kept}", b"%d" % number), Delete(f"k{gone}")]))
                held[f"k{kept}"] = b"%d" % number
                held.pop(f"k{gone}", None)
                store.maintainer.compact(thorough=True)
                store.maintainer.remove_orphans()
                found = {key: entry.value for key in held if (entry := store.get(key))}
                assert found == held
            campaign.count("compactions")
            if number % 10 == 9:
                counts.append((descriptor_count(), len(list(folder.iterdir()))))
    assert counts[-1][0] <= counts[0][0]
    assert counts[-1][1] <= counts[0][1] + 2
