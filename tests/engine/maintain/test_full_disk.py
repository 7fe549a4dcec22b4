"""Test that keys can be deleted, and space reclaimed, on a disk that the store has filled."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Conflict, DiskFull
from rundlet_server.storage.files import Buffer, RealFile
from rundlet_server.storage.interface import Add, Condition, Delete, Op, Put, Restore, Touch, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.log.write.free_space import NO_FREE_SPACE
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.disks.unsynced_files import UnsyncedFiles

MIB = 1024 * 1024


class SmallFile(RealFile):
    """A file of ``SmallDisk``."""

    __slots__ = ("_disk", "_path")

    def __init__(self, disk: SmallDisk, path: Path, fd: int) -> None:
        super().__init__(fd)
        self._disk = disk
        self._path = path

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        growth = offset + sum(map(len, buffers)) - self.size()
        if growth > self._disk.free_bytes(self._path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().pwrite(buffers, offset)

    def sync(self) -> None:
        pass


class SmallDisk(UnsyncedFiles):
    """A file system that is as large as it is told to be."""

    def __init__(self, size: int) -> None:
        self.size = size

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        fd = os.open(path, flags | (os.O_CREAT if create else 0), 0o600)
        return SmallFile(self, path, fd)

    def free_bytes(self, path: Path) -> int:
        return self.size - sum(found.stat().st_size for found in path.iterdir())


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as above:
        yield above / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[LogStore]:
    """On a disk of 8 MiB."""
    store = open_log_store(
        folder, StoreSettings(files=SmallDisk(8 * MIB), keep_for_s=0, keep_versions=1)
    )
    yield store
    store.close()


def fill(store: LogStore, held: dict[str, bytes], chance: random.Random, size: int) -> int:
    """Put values until the first one is refused; how many were not."""
    count = 0
    while True:
        key, value = f"{chance.getrandbits(64)}", chance.randbytes(chance.randint(0, 2 * size))
        try:
            store.commit(Txn([Put(key, value)]))
        except DiskFull:
            return count
        held[key] = value
        count += 1


def delete(store: LogStore, held: dict[str, bytes], keys: Sequence[str]) -> None:
    for key in keys:
        store.commit(Txn([Delete(key)]))
        del held[key]


def contents(store: LogStore) -> dict[str, bytes]:
    found = store.scan(limit=1_000_000, include_values=True).keys
    return {info.key: info.entry.value for info in found if info.entry}


@pytest.mark.parametrize(
    ("size", "share"), [(50_000, 0.3), (50_000, 0.6), (50_000, 1.0), (2_000, 0.4)]
)
def test_what_is_deleted_on_a_full_disk_can_be_written_again(
    store: LogStore, folder: Path, size: int, share: float
):
    chance = random.Random(1)
    held: dict[str, bytes] = {}
    fill(store, held, chance, size)
    most = sum(map(len, held.values()))

    for _ in range(3):
        before = sum(map(len, held.values()))
        delete(store, held, chance.sample(sorted(held), int(len(held) * share)))
        deleted = before - sum(map(len, held.values()))
        assert contents(store) == held
        store.maintainer.compact(thorough=True)
        assert contents(store) == held
        fill(store, held, chance, size)
        assert sum(map(len, held.values())) > before - deleted + 0.8 * deleted
        assert contents(store) == held

    assert most > 5 * MIB
    assert verify(folder, StoreSettings(files=UnsyncedFiles())).problems == []


@pytest.mark.parametrize(
    "op", [Put("new", b"v" * 10_000), Add("number"), Touch("large", 60), Restore("large", 1)]
)
def test_nothing_but_deletions_is_taken_on_a_full_disk(store: LogStore, op: Op):
    held: dict[str, bytes] = {}
    store.commit(Txn([Put("large", bytes(500_000))]))
    fill(store, held, random.Random(1), 50_000)
    key = min(held)
    fill(store, held, random.Random(2), 1)
    is_absent = [Condition("absent", exists=True)]

    for txn in (Txn([op]), Txn([op, Delete(key)]), Txn([], is_absent, otherwise=[op])):
        with pytest.raises(DiskFull, match="kept for deletions"):
            store.commit(txn)
    with pytest.raises(Conflict):
        store.commit(Txn([op], is_absent))
    assert store.commit(Txn([op], is_absent, otherwise=[Delete(key)])).results[0].found


def test_a_large_value_leaves_as_much_free_as_a_small_one(store: LogStore, folder: Path):
    store.commit(Txn([Put("large", bytes(2 * MIB))]))
    store.commit(Txn([Put("other", bytes(3 * MIB))]))

    for op in (Put("new", bytes(2 * MIB)), Touch("large", 60), Restore("large", 1)):
        with pytest.raises(DiskFull):
            store.commit(Txn([op]))
    assert SmallDisk(8 * MIB).free_bytes(folder) > 2 * MIB
    assert store.health().reasons == []
    store.commit(Txn([Put("small", bytes(1_000))]))


def test_a_store_tells_that_its_disk_is_full_until_it_is_not(store: LogStore):
    held: dict[str, bytes] = {}
    assert store.health().reasons == []
    fill(store, held, random.Random(1), 100_000)
    assert store.health().reasons == [NO_FREE_SPACE]
    delete(store, held, list(held))
    assert store.health().reasons == [NO_FREE_SPACE]
    assert store.maintainer.is_compaction_worth_it()
    store.maintainer.compact(thorough=True)

    assert store.health().reasons == []
    assert not store.maintainer.is_compaction_worth_it()


def test_who_only_reads_from_a_full_disk_has_no_problem(store: LogStore, folder: Path):
    fill(store, {}, random.Random(1), 100_000)
    reader = open_log_store(
        folder, StoreSettings(files=SmallDisk(8 * MIB), keep_for_s=0, keep_versions=1)
    )

    assert reader.health().reasons == []
    reader.close()


def test_a_disk_that_cannot_be_asked_refuses_nothing_beforehand(folder: Path):
    class SilentDisk(UnsyncedFiles):
        def free_bytes(self, path: Path) -> int:  # noqa: ARG002 (it is not even looked at)
            raise OSError(errno.ENOSYS, "planted")

    with contextlib.closing(open_log_store(folder, StoreSettings(files=SilentDisk()))) as store:
        store.commit(Txn([Put("a", b"v")]))
        assert store.health().reasons == []


def test_a_load_stops_while_there_is_room_for_deletions(store: LogStore):
    chance = random.Random(1)

    def load() -> None:
        for number in range(100):
            keys = [f"{number}/{row}".encode() for row in range(300)]
            store.load([(key, chance.randbytes(4_000), "text/plain") for key in keys])

    with pytest.raises(DiskFull):
        load()
    keys = sorted(contents(store))
    store.commit(Txn([Delete(key) for key in keys[:500]]))
    store.maintainer.compact(thorough=True)

    assert sorted(contents(store)) == keys[500:]
    store.commit(Txn([Put("again", bytes(500_000))]))


def test_segments_are_the_smaller_the_fuller_the_disk_is(store: LogStore, folder: Path):
    fill(store, {}, random.Random(1), 50_000)
    sizes = [path.stat().st_size for path in sorted(folder.glob("*.log"))[:-1]]

    assert len(sizes) > 4
    assert sizes[0] > 1.5 * MIB
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < MIB
