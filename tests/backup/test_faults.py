"""Kill a backup or a restore at any file operation, damage any byte: nothing wrong is restored."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Damaged, StoreError
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.backup.choosing import indexes_in
from rundlet_server.storage.log.backup.local import leased
from rundlet_server.storage.log.backup.places import DirectoryPlace
from rundlet_server.storage.log.backup.taking import BackupTaker
from rundlet_server.storage.log.backup.verifying import verify_backups
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backups import LEASE_S, back_up, restore
from tests.support.campaign import Campaign
from tests.support.disks.faulty_files import FaultyFiles, dying_at
from tests.support.disks.sample_stores import flipped, state_of
from tests.support.disks.simulated_disk import MODES, SimulatedDisk, laid_out
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock


@pytest.fixture
def settings(clock: Clock) -> StoreSettings:
    return StoreSettings(
        files=UnsyncedFiles(), clock=clock, segment_records_max=4, cache_bytes_max=0
    )


@pytest.fixture
def store(tmp_path: Path, settings: StoreSettings) -> Iterator[LogStore]:
    opened = open_log_store(tmp_path / "data", settings)
    commit(opened, 6)
    yield opened
    opened.close()


def commit(store: LogStore, count: int) -> None:
    for _ in range(count):
        number = store.stats().revision
        store.commit(Txn([Put("a", b"%d" % number), Put(f"{number % 3}", b"x" * number)]))


def problems_of(backups: Path) -> list[Damaged]:
    return verify_backups(DirectoryPlace(backups, UnsyncedFiles())).problems


def test_a_killed_backup_is_finished_by_the_next_one(
    tmp_path: Path, settings: StoreSettings, store: LogStore, campaign: Campaign
) -> None:
    back_up(store, tmp_path / "first")
    commit(store, 3)
    with leased(store.backups, LEASE_S) as source:
        number = is_done = 0
        while not is_done:
            number += 1
            backups = tmp_path / "backups"
            shutil.copytree(tmp_path / "first", backups)
            try:
                BackupTaker(DirectoryPlace(backups, dying_at(number))).take(source)
                is_done = 1
            except OSError:
                pass
            assert problems_of(backups) == [], number
            taken = BackupTaker(DirectoryPlace(backups, UnsyncedFiles())).take(source)
            assert problems_of(backups) == []
            folder = tmp_path / "new"
            assert restore(backups, folder).revision == taken.index.revision
            with_store(folder, settings, store)
            shutil.rmtree(folder)
            shutil.rmtree(backups)
            campaign.count("kills of a backup")
    assert number > 10


def with_store(folder: Path, settings: StoreSettings, expected: LogStore) -> None:
    """Check that a restored store holds what another one holds."""
    again = open_log_store(folder, settings)
    assert state_of(again) == state_of(expected)
    again.close()


def test_a_power_cut_during_a_backup_costs_no_earlier_one(
    tmp_path: Path, settings: StoreSettings, store: LogStore, campaign: Campaign
) -> None:
    chance = random.Random(campaign.seed)
    back_up(store, tmp_path / "backups")
    commit(store, 3)
    states: list[dict[str, bytes]] = []
    disk = SimulatedDisk(
        tmp_path / "backups",
        on_operation=lambda disk: states.extend(disk.crashed(mode, chance) for mode in MODES),
    )
    with leased(store.backups, LEASE_S) as source:
        BackupTaker(DirectoryPlace(disk.folder, disk)).take(source)
        before = {index.name for index in indexes_in(DirectoryPlace(disk.folder))}
        states += [disk.crashed(mode, chance) for mode in MODES]
        for number, state in enumerate(states):
            backups = laid_out(state, tmp_path / f"cut {number}")
            place = DirectoryPlace(backups, UnsyncedFiles())
            assert problems_of(backups) == [], number
            assert {index.name for index in indexes_in(place)} <= before
            assert len(indexes_in(place)) >= 1 + (number >= len(states) - len(MODES))
            BackupTaker(place).take(source)
            assert problems_of(backups) == []
            restore(backups, tmp_path / "new")
            with_store(tmp_path / "new", settings, store)
            shutil.rmtree(tmp_path / "new")
            campaign.count("power cuts of a backup")


def is_unused(folder: Path) -> bool:
    """Return whether a folder is as good as empty: the restore has not begun."""
    return not any(folder.iterdir())


def test_a_killed_restore_leaves_nothing_that_opens_and_can_be_run_again(
    tmp_path: Path, settings: StoreSettings, store: LogStore, campaign: Campaign
) -> None:
    back_up(store, tmp_path / "backups")
    folder = tmp_path / "new"
    number, is_done = 0, False
    while not is_done:
        number += 1
        try:
            restore(tmp_path / "backups", folder, files=dying_at(number))
            is_done = True
        except (OSError, StoreError):
            if (folder / "MANIFEST").exists() and not (folder / "RESTORING").exists():
                with_store(folder, settings, store)  # only the last sync is missing
                shutil.rmtree(folder)
            if folder.exists() and not is_unused(folder):
                with pytest.raises(StoreError):
                    open_log_store(folder, settings).close()
                with pytest.raises((StoreError, FileNotFoundError)):
                    verify(folder, settings)
            restore(tmp_path / "backups", folder)
        assert verify(folder, settings).problems == []
        with_store(folder, settings, store)
        shutil.rmtree(folder)
        campaign.count("kills of a restore")
    assert number > 30


def test_a_power_cut_during_a_restore_leaves_nothing_that_opens(
    tmp_path: Path, settings: StoreSettings, store: LogStore, campaign: Campaign
) -> None:
    chance = random.Random(campaign.seed)
    back_up(store, tmp_path / "backups")
    (tmp_path / "new").mkdir()
    states: list[dict[str, bytes]] = []
    disk = SimulatedDisk(
        tmp_path / "new",
        on_operation=lambda disk: states.extend(disk.crashed(mode, chance) for mode in MODES),
    )
    restore(tmp_path / "backups", disk.folder, files=_Both(disk))
    done = [disk.crashed(mode, chance) for mode in MODES]

    for number, state in enumerate([*states, *done]):
        folder = laid_out(state, tmp_path / f"cut {number}")
        campaign.count("power cuts of a restore")
        try:
            if not is_unused(folder):
                assert verify(folder, settings).problems == []
                with_store(folder, settings, store)
        except StoreError:
            assert number < len(states)
            if not (folder / "MANIFEST").exists() or (folder / "RESTORING").exists():
                restore(tmp_path / "backups", folder)
                with_store(folder, settings, store)


class _Both(UnsyncedFiles):
    """The disk for its folder, and the real files for all others."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk
        for name in ("rename", "unlink", "make_folder"):
            setattr(self, name, getattr(disk, name))
        self.sync_folder = disk.sync_folder  # type: ignore[method-assign] # of one folder

    def open(self, path: Path, *, create: bool = False, writable: bool = True):  # type: ignore[no-untyped-def, override] # of either
        of = self._disk if path.parent == self._disk.folder else super()
        return of.open(path, create=create, writable=writable)


def test_damage_in_any_byte_is_found_and_never_restored(
    tmp_path: Path, store: LogStore, campaign: Campaign
) -> None:
    chance = random.Random(campaign.seed)
    back_up(store, tmp_path / "backups")
    commit(store, 3)
    back_up(store, tmp_path / "backups")
    newest = indexes_in(DirectoryPlace(tmp_path / "backups"))[-1]
    read = {newest.name}
    for path in sorted((tmp_path / "backups").iterdir()):
        for offset in range(path.stat().st_size):
            bit = offset * 8 + chance.randrange(8)
            flipped(path, bit)

            assert problems_of(tmp_path / "backups") != [], (path.name, offset)
            if path.suffix == ".piece" or path.name in read:
                with pytest.raises(Damaged):
                    restore(tmp_path / "backups", tmp_path / "new", backup=newest.name)
                shutil.rmtree(tmp_path / "new", ignore_errors=True)

            flipped(path, bit)
            campaign.count("flipped bits")
    assert problems_of(tmp_path / "backups") == []


def test_a_lost_piece_is_found_and_never_restored(tmp_path: Path, store: LogStore) -> None:
    back_up(store, tmp_path / "backups")
    piece = min((tmp_path / "backups").glob("*.piece"))
    piece.unlink()

    assert [problem.reason for problem in problems_of(tmp_path / "backups")]
    with pytest.raises(Damaged):
        restore(tmp_path / "backups", tmp_path / "new")


def test_a_lease_whose_making_is_killed_is_removed_in_time(
    tmp_path: Path, clock: Clock, settings: StoreSettings, campaign: Campaign
) -> None:
    open_log_store(tmp_path / "data", settings).close()
    number, is_done = 0, False
    while not is_done:
        number += 1
        files = FaultyFiles(files=UnsyncedFiles())
        opened = open_log_store(tmp_path / "data", with_files(settings, files))
        start = len(files.calls)
        opened.close()
        dying = dying_at(start + number)
        opened = open_log_store(tmp_path / "data", with_files(settings, dying))
        try:
            opened.backups.take(LEASE_S)
            is_done = True
        except (OSError, StoreError):
            pass
        again = open_log_store(tmp_path / "data", settings)
        clock.advance(LEASE_S + 61)
        again.backups.remove_ended()
        backups = tmp_path / "data" / "backups"
        left = [path.name for path in backups.iterdir()] if backups.exists() else []
        assert all(name.startswith("SHA256") for name in left)
        assert verify(tmp_path / "data", settings).problems == []
        again.close()
        campaign.count("kills of a lease")
    assert number > 5


def with_files(settings: StoreSettings, files: FaultyFiles) -> StoreSettings:
    return dataclasses.replace(settings, files=files)
