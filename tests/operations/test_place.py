"""Test that a store notices when its folder is replaced, and then leaves the new one alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.removal import remove_in_use


def put(store: LogStore, key: str, value: bytes = b"1") -> None:
    store.commit(Txn([Put(key, value)]))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[LogStore]:
    """A store with small segments, some of them full, that holds the key ``old``."""
    store = open_log_store(folder, StoreSettings(segment_records_max=4, open_segments_max=2))
    put(store, "old")
    for number in range(16):
        put(store, f"k{number}")
    yield store
    store.close()


def replace_by_backup(store: LogStore, folder: Path) -> None:
    """Restore a backup under the open store, which has committed ``since`` after it was made."""
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup)
    put(store, "since")
    remove_in_use(folder)
    shutil.copytree(backup, folder)


def test_commit_is_refused_once_a_backup_takes_the_place_of_the_folder(store, folder):
    replace_by_backup(store, folder)

    with pytest.raises(Unavailable, match=r"no longer holds the store that is open"):
        put(store, "lost")

    (reason,) = store.health().reasons
    assert "restart the server" in reason
    store.close()
    reopened = open_log_store(folder)
    assert reopened.get("old") is not None
    assert reopened.get("lost") is None
    reopened.close()


def test_maintenance_leaves_the_folder_in_its_place_alone(store, folder):
    replace_by_backup(store, folder)
    before = contents(folder)

    for work in (
        store.maintainer.checkpoint,
        store.maintainer.expire,
        store.maintainer.merge_all,
        store.maintainer.remove_orphans,
        lambda: store.compact(wait=True),
        lambda: store.load([(b"x", b"1", "text/plain")]),
    ):
        with pytest.raises(Unavailable):
            work()

    assert contents(folder) == before


def test_store_in_its_place_keeps_what_is_written_to_it(store, folder):
    replace_by_backup(store, folder)
    restored = open_log_store(folder, StoreSettings(segment_records_max=4))

    for number in range(20):
        put(restored, f"new{number}")
        with pytest.raises(Unavailable):
            put(store, f"old{number}")
    restored.close()

    assert verify(folder).problems == []
    reopened = open_log_store(folder)
    assert [reopened.get(f"new{number}") is not None for number in range(20)] == [True] * 20
    reopened.close()


def test_reads_never_mix_two_stores(store, folder):
    replace_by_backup(store, folder)
    restored = open_log_store(folder, StoreSettings(segment_records_max=4))
    put(restored, "old", b"new value")
    restored.compact(wait=True)
    restored.close()

    found = set()
    for number in range(16):
        for key in (f"k{number}", "old"):
            try:
                entry = store.get(key)
            except Unavailable:
                continue
            found.add(None if entry is None else entry.value)

    assert found <= {b"1"}


def test_removed_folder_is_not_made_again(store, folder):
    remove_in_use(folder)

    with pytest.raises(Unavailable, match="gone"):
        put(store, "lost")

    assert not folder.exists()
    assert len(store.health().reasons) == 1


def test_folder_that_was_moved_away_may_be_put_back(store, folder):
    away = folder.with_name("away")
    folder.rename(away)
    with pytest.raises(Unavailable):
        put(store, "refused")

    away.rename(folder)
    put(store, "kept")

    assert store.health().reasons == []
    assert store.get("kept") is not None
    assert store.get("refused") is None


@pytest.mark.parametrize("pattern", ["LOCK", "COMMIT", "active segment"])
def test_one_file_in_another_ones_place_is_enough(store, folder, pattern):
    path = folder / pattern if pattern != "active segment" else max(folder.glob("*.log"))
    copy = folder / "copy"
    shutil.copy2(path, copy)
    copy.rename(path)

    reasons = store.health().reasons

    assert len(reasons) == 1
    assert f"its {path.name} is another file" in reasons[0]
    with pytest.raises(Unavailable, match=rf"its {path.name} is another file"):
        put(store, "lost")


def test_a_segment_that_compaction_removed_is_no_other_store(folder):
    """The view of a process that was idle may be older than the log."""
    settings = StoreSettings(segment_records_max=4, keep_for_s=0, keep_versions=1)
    with closing(open_log_store(folder, settings)) as idle:
        put(idle, "a")
        stale = idle._follower.current()
        segment = stale.segments[stale.active.segment]
        with closing(open_log_store(folder, settings)) as busy:
            for number in range(12):
                put(busy, "a", b"%d" % number)
            busy.maintainer.checkpoint()
            busy.maintainer.compact(thorough=True)
        assert not segment.path.exists()

        reasons = idle._parts.health.misplaced(stale)

        assert reasons == []
        put(idle, "b")
