"""A store with a key whose values are all over its files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Delete, Put
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backends import do
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

KEY = "person/4711"
MARKER = b"unique-bytes-of-the-person"
TYPE = "text/x-of-the-person"
NOTE = "metadata-of-the-person"
OTHERS = 5


class Spread:
    """A folder, and the settings by which nothing happens in the background.

    The key has values in segments with an index file of their own, in merged ones, in segments
    that wait for one, in the active one, and dead ones that no index knows any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.rest: dict[str, bytes] = {}
        self.has_metadata = True
        self.settings = StoreSettings(
            files=UnsyncedFiles(),
            clock=self.clock,
            keep_versions=2,
            keep_for_s=3_600,
            maintain_inline=False,
            cache_bytes_max=1 << 20,
        )

    def open(self, **changes: object) -> LogStore:
        return open_log_store(self.folder, dataclasses.replace(self.settings, **changes))

    def fill(self, store: LogStore) -> None:
        for number in range(OTHERS):
            do(store, Put(f"other/{number}", b"kept %d" % number))
            data, note = b"%s %d" % (MARKER, number), f"{NOTE} {number}"
            metadata = (("note", note),) if self.has_metadata else ()
            do(store, Put(KEY, data, content_type=TYPE, metadata=metadata))
            if number == 1:
                do(store, Delete(KEY))
                self.clock.advance(4_000)
            store._writer.seal()
            if number == 1:
                do(store, Put("without it", b"x"), Put("nor this", b"y"))
                store._writer.seal()
                store.maintainer.checkpoint()
                store.maintainer.merge_all()  # what is behind the horizon leaves the index
            if number == 2:
                store.maintainer.checkpoint()
        do(store, Put(KEY, MARKER), Put("both", b"kept too"))
        assert store.get(KEY).value == MARKER  # and is in the cache now

    def files_with(self, data: bytes) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and data in path.read_bytes()
        )


@pytest.fixture
def spread(tmp_path: Path) -> Spread:
    return Spread(tmp_path / "data")


def rest_of(store: LogStore) -> dict[str, bytes]:
    """All values but those of the key."""
    page = store.scan(include_values=True)
    return {info.key: info.entry.value for info in page.keys if info.key != KEY}


def require_unseen(store: LogStore) -> None:
    """Nothing of the key can be read, at any revision."""
    head = store.stats().revision
    for at in range(store.stats().oldest_revision, head + 1):
        assert store.get(KEY, at=at) is None
        assert KEY not in [info.key for info in store.scan(at=at).keys]
    assert store.get(KEY) is None
    assert [line.kind for line in store.history(KEY).versions] == ["erase"]
    events = store.changes(store.stats().oldest_revision).events
    assert [event.kind for event in events if event.key == KEY] == ["erase"]
