"""Make small stores with every kind of record, for tests of damage and recovery."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rundlet_server.storage.interface import Add, Delete, Op, Put, Restore, Touch, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.metadata import Metadata
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.faulty_files import FaultyFiles
from tests.support.models.model import Clock

State = dict[str, tuple[bytes, int, str]]
"""Value, version and ``described`` by key."""


class Sample:
    """A store's folder, and the content of the store after each commit.

    Attributes:
        states: the content by revision.
        expired: the keys that have expired since.
    """

    def __init__(self, folder: Path, settings: StoreSettings | None = None) -> None:
        self.folder = folder
        self.clock = Clock()
        # No cache: these tests look at what reading the disk gives.
        settings = settings or StoreSettings(keep_for_s=0, keep_versions=1, cache_bytes_max=0)
        self.settings = dataclasses.replace(settings, clock=self.clock, files=FaultyFiles())
        self.states: dict[int, State] = {0: {}}
        self.expired: set[str] = set()

    @contextlib.contextmanager
    def opened(self, settings: StoreSettings | None = None) -> Iterator[LogStore]:
        store = open_log_store(self.folder, settings or self.settings)
        try:
            yield store
        finally:
            store.close()

    def commit(self, store: LogStore, *ops: Op) -> int:
        """Commit, and record the content of the store afterwards."""
        revision = store.commit(Txn(ops)).revision
        self.states[revision] = state_of(store)
        return revision

    def copied(self, folder: Path) -> Sample:
        """Return a copy in another folder, for a test that changes the files."""
        copy = Sample(folder, self.settings)
        copy.states = dict(self.states)
        shutil.copytree(self.folder, folder)
        return copy

    def at(self, revision: int) -> State:
        """Return the content now of a store whose last revision is this one."""
        return {key: held for key, held in self.states[revision].items() if key not in self.expired}

    @property
    def last(self) -> State:
        return self.at(max(self.states))

    @property
    def active(self) -> Path:
        """The segment to which the store appends commits."""
        return max(self.folder.glob("*.log"))

    def after_restart(self) -> StoreSettings:
        """Return settings with another boot id, as after a restart of the machine."""
        return dataclasses.replace(self.settings, boot_id=self.settings.boot_id ^ 1)

    def reopened(self) -> State:
        with self.opened() as store:
            return state_of(store)


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Make a folder in memory if possible, because some disks sync on a rename."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def state_of(store: LogStore) -> State:
    """Return all keys with their values."""
    keys = store.scan(limit=10_000, include_values=True).keys
    found = {}
    for key in keys:
        assert key.entry is not None
        about = described(key.content_type, key.entry.metadata)
        found[key.key] = (key.entry.value, key.version, about)
    assert store.stats().key_count == len(found)
    assert store.stats().value_bytes == sum(len(value) for value, _, _ in found.values())
    return found


def described(content_type: str, metadata: Metadata) -> str:
    """Return content type and metadata as one text."""
    return f"{content_type} with {metadata}" if metadata else content_type


def fill(sample: Sample) -> None:
    """Write a short log of 9 commits with every kind of record."""
    with sample.opened(dataclasses.replace(sample.settings, keep_versions=9)) as store:
        sample.commit(store, Put("a", b"one"))
        sample.commit(store, Put("b", b"", "text/x-rare", ttl_s=1_000.0))
        sample.commit(store, Put("a", b"two"), Put("c", b"5", ttl_s=10.0), Delete("b"))
        sample.commit(store, Add("d", 7))
        sample.commit(store, Restore("a", 1))
        sample.clock.advance(11)
        store.maintainer.expire()
        sample.expired.add("c")
        sample.states[6] = state_of(store)
        sample.commit(store, Delete("d"))
        sample.commit(store, Touch("a", 5_000.0))
        sample.commit(store, Put("é", b"last" * 8, metadata=(("by", "ü"),)))


def flipped(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
