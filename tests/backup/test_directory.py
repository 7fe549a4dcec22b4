"""What a backup directory holds after many backups: little more than the last one."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import (
    BackupGone,
    Damaged,
    DiskFull,
    InvalidRequest,
    NotInBackup,
    ReadOnly,
    Unavailable,
)
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.backup import taking
from rundlet_server.storage.log.backup.choosing import indexes_in
from rundlet_server.storage.log.backup.following import FollowingTaker
from rundlet_server.storage.log.backup.local import LeaseSource, leased
from rundlet_server.storage.log.backup.places import DirectoryPlace
from rundlet_server.storage.log.backup.pruning import prune
from rundlet_server.storage.log.backup.taking import BackupTaker
from rundlet_server.storage.log.backup.verifying import verify_backups
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backups import LEASE_S, back_up, restore
from tests.support.campaign import Campaign
from tests.support.disks.faulty_files import Call, FaultyFiles
from tests.support.disks.sample_stores import state_of
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock


@pytest.fixture
def settings(clock: Clock) -> StoreSettings:
    return StoreSettings(
        files=UnsyncedFiles(),
        clock=clock,
        segment_records_max=64,
        keep_for_s=10,
        keep_versions=1,
        cache_bytes_max=0,
    )


@pytest.fixture
def store(tmp_path: Path, settings: StoreSettings) -> Iterator[LogStore]:
    opened = open_log_store(tmp_path / "data", settings)
    yield opened
    opened.close()


@pytest.fixture
def place(tmp_path: Path) -> DirectoryPlace:
    return DirectoryPlace(tmp_path / "backups", UnsyncedFiles())


def put(store: LogStore, value: bytes = b"value") -> int:
    return store.commit(Txn([Put("a", value)])).revision


def pieces(place: DirectoryPlace) -> dict[str, int]:
    return {name: size for name, size in place.sizes().items() if name.endswith(".piece")}


def test_an_incremental_backup_fetches_what_is_new(
    tmp_path: Path, store: LogStore, place: DirectoryPlace
) -> None:
    for _ in range(200):
        put(store)
    full = back_up(store, tmp_path / "backups")
    assert full.bytes_fetched >= 200 * 80
    put(store)

    second = back_up(store, tmp_path / "backups")

    assert 0 < second.bytes_fetched < 200
    assert back_up(store, tmp_path / "backups").bytes_fetched == 0


class EndingSource:
    """The source of a backup whose lease ends before the second read."""

    def __init__(self, source: LeaseSource) -> None:
        self.backup = source.backup
        self._source = source
        self._count = 0

    def read(self, name: str, start: int, size: int) -> bytes:
        self._count += 1
        if self._count > 1:
            raise BackupGone
        return self._source.read(name, start, size)


def test_what_was_hashed_is_known_after_a_lease_has_ended(
    store: LogStore, place: DirectoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next backup hashes it wrong, and fetches all of it once more."""
    monkeypatch.setattr(taking, "PIECE_BYTES", 256)
    taker = BackupTaker(place)
    put(store)
    with leased(store.backups, LEASE_S) as source:
        first = taker.take(source)
    for _ in range(8):
        put(store)
    with leased(store.backups, LEASE_S) as source, pytest.raises(BackupGone):
        taker.take(EndingSource(source))

    with leased(store.backups, LEASE_S) as source:
        third = taker.take(source)

    assert third.bytes_fetched < third.bytes_total - first.bytes_total
    assert verify_backups(place).problems == []


def test_many_small_backups_leave_few_pieces(
    tmp_path: Path, store: LogStore, place: DirectoryPlace
) -> None:
    for _ in range(60):
        put(store)
        back_up(store, tmp_path / "backups")

    assert len(pieces(place)) <= 7
    assert verify_backups(place).problems == []
    assert len(verify_backups(place).backups) == 60


def test_a_backup_of_a_store_that_was_put_back_is_refused(
    tmp_path: Path, settings: StoreSettings, store: LogStore
) -> None:
    store.close()
    copy = {path: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}
    first = open_log_store(tmp_path / "data", settings)
    put(first, b"first")
    back_up(first, tmp_path / "backups")
    first.close()
    for path, data in copy.items():
        path.write_bytes(data)
    second = open_log_store(tmp_path / "data", settings)
    put(second, b"other")

    with pytest.raises(Damaged, match="differs from the store"):
        back_up(second, tmp_path / "backups")

    second.close()
    place = DirectoryPlace(tmp_path / "backups")
    assert verify_backups(place).problems == []


def test_whole_frames_of_another_life_are_never_restored(
    tmp_path: Path, settings: StoreSettings, store: LogStore, place: DirectoryPlace
) -> None:
    """Their checksums are right, so only the hash of the segment tells."""
    store.close()
    copy = {path: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()}
    for name, value in (("backups", b"first"), ("others", b"other")):
        for path, data in copy.items():
            path.write_bytes(data)
        with contextlib.closing(open_log_store(tmp_path / "data", settings)) as opened:
            put(opened, value)
            back_up(opened, tmp_path / name)
    [piece] = pieces(place)
    (tmp_path / "backups" / piece).write_bytes((tmp_path / "others" / piece).read_bytes())

    assert verify_backups(place).problems != []
    with pytest.raises(Damaged, match="hash"):
        restore(tmp_path / "backups", tmp_path / "new")


def test_pruning_keeps_the_newest_and_those_of_a_time(
    tmp_path: Path, clock: Clock, store: LogStore, place: DirectoryPlace
) -> None:
    for _ in range(6):
        clock.advance(100)
        for _ in range(40):
            put(store)
        store.compact(wait=True)
        back_up(store, tmp_path / "backups")
    before = pieces(place)

    removed = prune(place, clock(), keep=1, keep_for_s=250)

    assert len(removed) == 3
    assert len(indexes_in(place)) == 3
    assert len(pieces(place)) < len(before)
    assert verify_backups(place).problems == []
    assert len(prune(place, clock(), keep=1)) == 2
    assert verify_backups(place).problems == []
    restore(tmp_path / "backups", tmp_path / "new")
    with pytest.raises(NotInBackup):
        restore(tmp_path / "backups", tmp_path / "new2", revision=40)


def test_the_last_backup_is_never_pruned(
    tmp_path: Path, clock: Clock, store: LogStore, place: DirectoryPlace
) -> None:
    back_up(store, tmp_path / "backups")

    assert prune(place, clock() + 10**12, keep_for_s=1) == []


def test_following_keeps_few_backups_and_every_revision(
    tmp_path: Path, clock: Clock, settings: StoreSettings, store: LogStore, place: DirectoryPlace
) -> None:
    taker = FollowingTaker(place, BackupTaker(place))
    states = {}
    for number in range(60):
        clock.advance(1)
        revision = put(store, b"%d" % number)
        states[revision] = state_of(store)
        if number % 7 == 0:
            store.compact(wait=True)
        with leased(store.backups, LEASE_S) as source:
            taker.take(source)

    indexes = indexes_in(place)
    assert len(indexes) < 15
    assert verify_backups(place).problems == []
    for earlier, later in itertools.pairwise(indexes):
        assert later.oldest_revision <= earlier.revision + 1
    for revision, expected in states.items():
        folder = tmp_path / f"{revision}"
        restore(tmp_path / "backups", folder, revision=revision)
        again = open_log_store(folder, settings)
        found = {key: value for key, (value, _, _) in state_of(again).items()}
        assert found == {key: value for key, (value, _, _) in expected.items()}
        again.close()


def test_a_store_that_is_only_read_is_backed_up(
    tmp_path: Path, settings: StoreSettings, store: LogStore
) -> None:
    revision = put(store)
    reading = dataclasses.replace(settings, is_read_only=True)
    with contextlib.closing(open_log_store(tmp_path / "data", reading)) as reader:
        assert back_up(reader, tmp_path / "backups").index.revision == revision


def test_a_writer_that_is_stopped_delays_no_backup(tmp_path: Path, store: LogStore) -> None:
    revision = put(store)
    stopped = RealFiles().open(tmp_path / "data" / LOCK_NAME)
    assert stopped.lock(wait=False)

    taken = back_up(store, tmp_path / "backups")

    assert taken.index.revision == revision
    stopped.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.EROFS, ReadOnly),
        (errno.EACCES, ReadOnly),
        (errno.EOPNOTSUPP, Unavailable),
        (errno.ENOSPC, DiskFull),
    ],
)
def test_where_no_links_can_be_made_a_backup_is_refused(
    tmp_path: Path, settings: StoreSettings, code: int, error: type[Exception]
) -> None:
    def failing(_: int, call: Call) -> OSError | None:
        return OSError(code, os.strerror(code)) if call.name == "link" else None

    files = FaultyFiles(failing)
    with contextlib.closing(
        open_log_store(tmp_path / "data", dataclasses.replace(settings, files=files))
    ) as opened:
        put(opened)
        with pytest.raises(error):
            opened.backups.take(LEASE_S)
        put(opened)
    assert [path.name for path in (tmp_path / "data" / "backups").iterdir()] == []


def test_one_backup_at_a_time_writes_to_a_directory(tmp_path: Path) -> None:
    with (
        DirectoryPlace(tmp_path / "backups"),
        pytest.raises(Unavailable, match="at work"),
        DirectoryPlace(tmp_path / "backups"),
    ):
        pass


def test_other_files_of_a_directory_are_left_alone(tmp_path: Path, store: LogStore) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "notes.tmp").write_text("mine")
    (folder / "secret").touch(mode=0)
    os.mkfifo(folder / "fifo")  # to open it would wait for ever
    put(store)
    back_up(store, folder)
    [index] = [path.name for path in folder.glob("backup-*.json")]
    for half_written in (f"{index}.tmp", f"{next(iter(pieces(DirectoryPlace(folder))))}.tmp"):
        (folder / half_written).touch()

    with DirectoryPlace(folder):
        back_up(store, folder)
    assert verify_backups(DirectoryPlace(folder)).problems == []

    assert (folder / "notes.tmp").read_text() == "mine"
    assert [path.name for path in folder.glob("*.tmp")] == ["notes.tmp"]


def test_no_backup_goes_into_the_folder_of_a_store(tmp_path: Path, store: LogStore) -> None:
    put(store)
    names = {path.name for path in (tmp_path / "data").iterdir()}

    with pytest.raises(InvalidRequest, match="holds a store"), DirectoryPlace(tmp_path / "data"):
        pass

    assert {path.name for path in (tmp_path / "data").iterdir()} == names


def test_directory_that_cannot_be_used_is_not_kept_locked(tmp_path: Path) -> None:
    (tmp_path / "backup-1.json.tmp").touch()
    error = OSError(errno.EIO, "the disk failed")
    files = FaultyFiles(lambda _, call: error if call.name == "unlink" else None)
    with pytest.raises(OSError, match="the disk failed") as caught:
        DirectoryPlace(tmp_path, files).__enter__()

    with DirectoryPlace(tmp_path):
        assert caught.value is error


def test_backups_of_a_busy_store_are_each_one_revision(
    tmp_path: Path, place: DirectoryPlace, campaign: Campaign
) -> None:
    """Two writers move a sum between two keys while it compacts: each backup has the same sum."""
    settings = StoreSettings(
        files=UnsyncedFiles(), segment_records_max=32, keep_for_s=0, keep_versions=1
    )
    store = open_log_store(tmp_path / "data", settings)
    other = open_log_store(tmp_path / "data", settings)
    is_over = threading.Event()

    def move(of: LogStore, seed: int) -> None:
        chance = random.Random(seed)
        while not is_over.is_set():
            amount = chance.randint(-5, 5)
            value = b"%d" % amount
            ops = [Put("plus", value), Put("minus", b"%d" % -amount), Put(f"{amount}", b"x" * 100)]
            of.commit(Txn(ops))

    def compact() -> None:
        while not is_over.is_set():
            store.compact(wait=True)

    threads = [
        threading.Thread(target=move, args=(store, campaign.seed)),
        threading.Thread(target=move, args=(other, campaign.seed + 1)),
        threading.Thread(target=compact),
    ]
    for thread in threads:
        thread.start()
    taker = BackupTaker(place)
    taken = []
    until_s = time.monotonic() + 3
    while time.monotonic() < until_s:
        with leased(store.backups, LEASE_S) as source:
            taken.append(taker.take(source))
        campaign.count("backups of a busy store")
    is_over.set()
    for thread in threads:
        thread.join()
    store.close()
    other.close()

    assert verify_backups(place).problems == []
    revisions = [each.index.revision for each in taken]
    assert revisions == sorted(revisions)
    for each in [*taken[:: max(1, len(taken) // 8)], taken[-1]]:
        folder = tmp_path / each.index.name
        if folder.exists():
            continue
        restored = restore(tmp_path / "backups", folder, backup=each.index.name)
        assert restored.revision == each.index.revision
        assert verify(folder, settings).problems == []
        again = open_log_store(folder, settings)
        values = {key: value for key, (value, _, _) in state_of(again).items()}
        assert int(values.get("plus", b"0")) + int(values.get("minus", b"0")) == 0
        again.close()
