"""Test reads that never wait for a disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.files import RealFile
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.log.read.page_cache import read_cached
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    settings = StoreSettings(files=UnsyncedFiles(), maintain_inline=False, cache_bytes_max=0)
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RealFile]:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    fd = os.open(path, os.O_RDWR)
    with contextlib.closing(RealFile(fd)) as file:
        yield file


def test_cached_value_is_the_same_as_with_a_read_that_may_wait(store: LogStore):
    store.commit(Txn([Put("a", b"1"), Put("gone", b"2")]))
    store.commit(Txn([Delete("gone")]))

    assert store.peek_cached("a") == store.peek("a")
    assert store.peek_cached("none") is None


def test_cached_values_of_many_keys_are_the_same_as_with_reads_that_may_wait(store: LogStore):
    keys = ["b", "none", "a", "gone", "b", "ü"]
    store.commit(Txn([Put("a", b"1"), Put("b", b"22"), Put("gone", b"2"), Put("ü", b"3")]))
    store.commit(Txn([Delete("gone"), Put("a", b"11", metadata=(("name", "text"),))]))
    plain = [key for key in keys[:-2] if key != "gone"]

    assert store.get_many_cached(plain, 100).entries == store.get_many(plain).entries
    with pytest.raises(BlockingIOError):
        store.get_many_cached(keys, 100)  # one is deleted, one named twice


def test_values_that_are_larger_together_than_is_wanted_may_have_to_be_waited_for(store: LogStore):
    store.commit(Txn([Put("a", b"1" * 10), Put("b", b"2" * 10)]))

    assert len(store.get_many_cached(["a", "b"], 22).entries) == 2
    with pytest.raises(BlockingIOError):
        store.get_many_cached(["a", "b"], 21)


@pytest.mark.parametrize("key", ["", "\ud800", "k" * 3_000])
def test_odd_keys_among_many_may_have_to_be_waited_for(store: LogStore, key: str):
    with pytest.raises(BlockingIOError):
        store.get_many_cached(["a", key], 100)


@pytest.mark.parametrize("key", ["gone", "large", "k" * 70_000])
def test_what_is_rare_may_have_to_be_waited_for(store: LogStore, key: str):
    store.commit(Txn([Put("large", bytes(300_000)), Put("gone", b"2")]))
    store.commit(Txn([Delete("gone")]))

    with pytest.raises(BlockingIOError):
        store.peek_cached(key)


def test_bytes_in_memory_are_read(file: RealFile):
    file.pread(4_096, 0)

    assert read_cached(file, 1_000, 10) == file.pread(1_000, 10)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="RWF_NOWAIT is needed")
def test_bytes_that_are_not_in_memory_are_not_waited_for(file: RealFile):
    def is_in_memory() -> bool:
        with contextlib.suppress(BlockingIOError):
            return os.preadv(file.fileno(), [bytearray(100)], 0, os.RWF_NOWAIT) == 100
        return False

    def is_read_at_once() -> bool:
        with contextlib.suppress(BlockingIOError):
            return read_cached(file, 100, 8_192) != b""
        return False

    file.sync()
    # A try may find the bytes in memory all the same: the kernel read ahead after the one before.
    if all(_without_memory(file, is_in_memory) for _ in range(_TRIES)):
        pytest.skip("this file system keeps all files in memory")

    assert not all(_without_memory(file, is_read_at_once) for _ in range(_TRIES))


_TRIES = 20


def _without_memory(file: RealFile, look: Callable[[], bool]) -> bool:
    """Look once the kernel was asked to forget a file."""
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return look()


def test_bytes_behind_the_end_are_missed_by_the_read_that_waits(file: RealFile):
    with pytest.raises(BlockingIOError):
        read_cached(file, 100, 256 * 64 - 50)
