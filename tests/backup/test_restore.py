"""A restored store holds what the store held at that revision or time, and repeats nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Compacted, InvalidRequest, NotInBackup
from rundlet_server.storage.interface import Entry, Put, Store, Txn
from rundlet_server.storage.log.backup.restoring import REVISION_STEP
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME
from rundlet_server.storage.log.open.unfinished import BEGUN_NAME, MARK_NAME
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backups import back_up, random_txn, restore
from tests.support.campaign import Campaign
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock, ModelStore

COMMITS = 60


@pytest.fixture
def settings(clock: Clock) -> StoreSettings:
    return StoreSettings(
        files=UnsyncedFiles(),
        clock=clock,
        segment_records_max=8,
        keep_for_s=20,
        keep_versions=2,
        cache_bytes_max=0,
    )


@pytest.fixture
def store(tmp_path: Path, settings: StoreSettings) -> Iterator[LogStore]:
    opened = open_log_store(tmp_path / "data", settings)
    yield opened
    opened.close()


def entries_of(store: Store) -> list[Entry | None]:
    return [info.entry for info in store.scan(limit=1_000, include_values=True).keys]


def put(store: Store, key: str, value: bytes) -> int:
    return store.commit(Txn([Put(key, value)])).revision


def bytes_behind(folder: Path) -> int:
    """Return the bytes in sealed segments behind what the manifest says: of other commits."""
    sealed = read_manifest(UnsyncedFiles(), folder).segments[:-1]
    sizes = [(folder / segment_name(state.number)).stat().st_size for state in sealed]
    return sum(sizes) - sum(state.size for state in sealed)


def test_every_revision_of_a_random_history_is_restored(
    tmp_path: Path,
    clock: Clock,
    settings: StoreSettings,
    store: LogStore,
    campaign: Campaign,
) -> None:
    chance = random.Random(campaign.seed)
    model = ModelStore(clock)
    states = {0: entries_of(model)}
    times = {0: clock()}
    for number in range(COMMITS):
        clock.advance(1)
        txn = random_txn(chance)
        revision = store.commit(txn).revision
        assert model.commit(txn).revision == revision
        states[revision], times[revision] = entries_of(model), clock()
        if number % 10 == 9:
            back_up(store, tmp_path / "backups")
            store.compact(wait=True)
    back_up(store, tmp_path / "backups")

    for revision, expected in states.items():
        folder = tmp_path / f"{revision}"
        restored = restore(tmp_path / "backups", folder, revision=revision)
        report = verify(folder, settings)
        assert (report.problems, report.revision) == ([], revision)
        assert bytes_behind(folder) == 0
        again = open_log_store(folder, settings)
        assert entries_of(again) == expected, revision
        assert [again.get(entry.key) for entry in expected if entry] == expected
        assert (again.stats().revision, again.stats().key_count) == (revision, len(expected))
        assert again.info.store_id == restored.store_id != store.info.store_id
        again.close()
        campaign.count("revisions restored")


def test_every_time_of_a_history_is_restored(
    tmp_path: Path, clock: Clock, settings: StoreSettings, store: LogStore
) -> None:
    expected = {}
    for number in range(20):
        clock.advance(1)
        put(store, "a", b"%d" % number)
        put(store, "b", b"%d" % number)
        expected[clock()] = entries_of(store)
    clock.advance(1)
    back_up(store, tmp_path / "backups")

    for time_us, entries in expected.items():
        folder = tmp_path / f"{time_us}"
        restored = restore(tmp_path / "backups", folder, time_us=time_us + 999_999)
        assert restored.time_us == time_us
        again = open_log_store(folder, settings)
        assert entries_of(again) == entries
        again.close()


def test_revisions_go_on_far_above_all_that_was_backed_up(
    tmp_path: Path, settings: StoreSettings, store: LogStore
) -> None:
    first = put(store, "a", b"1")
    put(store, "a", b"2")
    back_up(store, tmp_path / "backups")
    last = put(store, "a", b"3")
    back_up(store, tmp_path / "backups")

    restored = restore(tmp_path / "backups", tmp_path / "new", revision=first)

    assert restored.next_revision == last + REVISION_STEP
    again = open_log_store(tmp_path / "new", settings)
    assert put(again, "a", b"4") == restored.next_revision
    back_up(again, tmp_path / "backups")
    again.close()
    of_first = back_up(store, tmp_path / "backups").index
    twice = restore(tmp_path / "backups", tmp_path / "newer", backup=of_first.name)
    assert twice.next_revision == restored.next_revision + REVISION_STEP


def test_revisions_in_the_gap_are_compacted(
    tmp_path: Path, settings: StoreSettings, store: LogStore
) -> None:
    head = put(store, "a", b"1")
    back_up(store, tmp_path / "backups")
    restored = restore(tmp_path / "backups", tmp_path / "new")
    again = open_log_store(tmp_path / "new", settings)

    for _ in range(2):
        for revision in (head + 1, restored.next_revision - 1):
            with pytest.raises(Compacted, match=f"restored as it was at revision {head} "):
                again.get("a", at=revision)
            with pytest.raises(Compacted, match=f"restored as it was at revision {head} "):
                again.changes(revision)
        with pytest.raises(InvalidRequest):
            again.get("a", at=again.stats().revision + REVISION_STEP)
        put(again, "b", b"")
        again.compact(wait=True)
    again.close()


def test_a_restored_store_is_backed_up_and_restored_again(
    tmp_path: Path, settings: StoreSettings, store: LogStore
) -> None:
    first = put(store, "a", b"1")
    back_up(store, tmp_path / "backups")
    restore(tmp_path / "backups", tmp_path / "second")
    again = open_log_store(tmp_path / "second", settings)
    second = put(again, "a", b"2")
    back_up(again, tmp_path / "backups")
    again.close()

    restored = restore(tmp_path / "backups", tmp_path / "third")

    third = open_log_store(tmp_path / "third", settings)
    entry = third.get("a")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"2", second)
    for revision in (first + 1, second - 1, second + 1, restored.next_revision - 1):
        with pytest.raises(Compacted):
            third.get("a", at=revision)
    third.close()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, store: LogStore) -> None:
    back_up(store, tmp_path / "backups")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_bytes(b"mine")

    with pytest.raises(InvalidRequest, match="not empty"):
        restore(tmp_path / "backups", tmp_path / "new")

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


@pytest.mark.parametrize("found", [[], [MARK_NAME], [LOCK_NAME]])
def test_restore_that_looked_before_another_one_ended_is_refused(
    tmp_path: Path, settings: StoreSettings, store: LogStore, found: list[str]
) -> None:
    put(store, "a", b"1")
    back_up(store, tmp_path / "backups")
    (tmp_path / "new").mkdir()
    for name in found:
        (tmp_path / "new" / name).touch()

    class Overtaken(UnsyncedFiles):
        """Another restore runs just after the first look at the folder."""

        is_ahead = False

        def names(self, folder: Path) -> list[str]:
            names = super().names(folder)
            if folder.name == "new" and not self.is_ahead:
                self.is_ahead = True
                restore(tmp_path / "backups", folder)
            return names

    with pytest.raises(InvalidRequest, match="not empty"):
        restore(tmp_path / "backups", tmp_path / "new", files=Overtaken())

    assert not (tmp_path / "new" / BEGUN_NAME).exists()
    again = open_log_store(tmp_path / "new", settings)
    assert [entry.value for entry in entries_of(again) if entry] == [b"1"]
    again.close()
    assert verify(tmp_path / "new", settings).problems == []


def test_what_no_backup_holds_is_refused_with_what_they_hold(
    tmp_path: Path, clock: Clock, store: LogStore
) -> None:
    for number in range(40):
        clock.advance(10)
        put(store, "a", b"%d" % number)
    store.compact(wait=True)
    oldest = store.stats().oldest_revision
    assert oldest > 1
    back_up(store, tmp_path / "backups")

    for revision in (1, 41):
        with pytest.raises(NotInBackup, match=f"revisions {oldest} to 40"):
            restore(tmp_path / "backups", tmp_path / "new", revision=revision)
    with pytest.raises(NotInBackup, match="does not reach back"):
        restore(tmp_path / "backups", tmp_path / "new", time_us=clock() - 399_000_000)
    with pytest.raises(NotInBackup, match="no backup"):
        restore(tmp_path / "backups", tmp_path / "new", time_us=clock())


def test_an_empty_store_is_restored(
    tmp_path: Path, settings: StoreSettings, store: LogStore
) -> None:
    back_up(store, tmp_path / "backups")

    restore(tmp_path / "backups", tmp_path / "new")

    assert verify(tmp_path / "new", settings).problems == []
    again = open_log_store(tmp_path / "new", settings)
    assert again.stats().key_count == 0
    again.close()


def test_tokens_are_restored(tmp_path: Path, store: LogStore) -> None:
    (tmp_path / "data" / "TOKENS").write_bytes(b"tokens of a server")
    back_up(store, tmp_path / "backups")

    restore(tmp_path / "backups", tmp_path / "new")

    assert (tmp_path / "new" / "TOKENS").read_bytes() == b"tokens of a server"
