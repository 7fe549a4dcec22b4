"""Test that a store works with few descriptors, and closes every one of them."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.waitress.server import _connections_max
from rundlet_server.storage.care import repair
from rundlet_server.storage.errors import (
    Conflict,
    Damaged,
    DiskFull,
    InvalidOperation,
    StoreError,
    Unavailable,
    UnknownFormat,
)
from rundlet_server.storage.files import Buffer, RealFile
from rundlet_server.storage.interface import Condition, Delete, Put, Touch, Txn
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.format.segment import Segment
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME, MAINTENANCE_LOCK_NAME
from rundlet_server.storage.log.open.recovery import open_folder
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.disks.faulty_files import FaultyFiles
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
    paths = map(Path, open_in(folder))
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


def test_without_a_limit_on_descriptors_many_are_used(monkeypatch):
    limit = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert StoreSettings().open_segments_max >= 10_000
    assert _connections_max(ConnectionLimits(connections_max=5_000)) == 5_000


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


def failing_calls(folder: Path, is_new: bool) -> Iterator[FaultyFiles]:
    """Yield files of which the n-th call fails, until no call has failed; the folder is made anew.

    The other processes that have used it have ended with their boot of the machine.
    """
    number = 0
    files = FaultyFiles()
    while number == 0 or files.failed:
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
        if not is_new:
            with opened(folder) as store:
                store.commit(Txn([Put("a", b"1")]))
            del store
        error = OSError(errno.EIO, "the disk failed")
        files = FaultyFiles(lambda at, _, last=number, error=error: error if at == last else None)
        with without_collector():
            yield files
    assert number > 10


@pytest.mark.parametrize(
    ("is_new", "boot_id"), [(True, 2), (False, 2), (False, None)], ids=["new", "reboot", "join"]
)
def test_opening_that_fails_leaves_no_file_open(tmp_path: Path, is_new: bool, boot_id: int | None):
    folder = tmp_path / "data"
    for files in failing_calls(folder, is_new):
        settings = StoreSettings(files=files)
        if boot_id is not None:
            settings = dataclasses.replace(settings, boot_id=boot_id)
        try:
            open_log_store(folder, settings).close()
        except (OSError, StoreError):
            assert open_files(folder) == set(), files.failed


@pytest.mark.parametrize("is_new", [True, False])
def test_recovery_that_fails_leaves_no_segment_open(tmp_path: Path, is_new: bool):
    folder = tmp_path / "data"
    for files in failing_calls(folder, is_new):
        try:
            folder.mkdir(exist_ok=True)
            open_folder(files, folder, 2).close()
        except (OSError, StoreError):
            assert not [name for name in open_files(folder) if ".log" in name], files.failed


def test_files_that_are_refused_are_closed(tmp_path: Path):
    (tmp_path / "COMMIT").write_bytes(b"short")
    (tmp_path / segment_name(1)).write_bytes(b"RNDLTSG" + b"9" * 1_000)

    with pytest.raises(Damaged) as page:
        CommitPage.look(UnsyncedFiles(), tmp_path, 1)
    with pytest.raises((Damaged, UnknownFormat)) as segment:
        Segment.open(UnsyncedFiles(), tmp_path, 1)

    assert open_files(tmp_path) == set()
    del page, segment  # until here, their tracebacks hold on to what was opened


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

        wait_for(lambda: not removed_and_open(tmp_path))  # a thread looks at a view each second


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
