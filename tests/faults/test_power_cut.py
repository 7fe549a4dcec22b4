"""Test a power cut or a death at every operation on the disk, and again during recovery."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import pytest

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.files import File
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.format.manifest import Oldest
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import SyncPolicy
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.campaign import Campaign
from tests.support.disks.aftermath import Aftermath
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.disks.simulated_disk import MODES, SimulatedDisk, laid_out
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock
from tests.support.models.workload import Workload, tiny_settings
from tests.support.quiet import quiet


class CutEverywhere:
    """A workload, and a disk that is cut before each of its operations."""

    def __init__(
        self,
        campaign: Campaign,
        chance: random.Random,
        folder: Path,
        *,
        sync: SyncPolicy = "always",
        share: float = 1.0,
    ) -> None:
        """``share``: of the crash states that are tried."""
        self._chance = chance
        self._share = share
        self._thread = threading.current_thread()
        clock = Clock()
        self._aftermath = Aftermath(campaign, chance, folder, clock)
        self.workload = Workload(folder / "live", chance, clock, sync)

    def __call__(self, disk: SimulatedDisk) -> None:
        """Called by the disk before an operation."""
        if threading.current_thread() is not self._thread:
            return  # the workload goes on beside a background sync: what may be found changes
        self.workload.look()
        for mode in MODES:
            if self._chance.random() < self._share:
                self._aftermath.cut(disk, mode, self.workload.expected, nested=0.03)
        if self._chance.random() < self._share:
            self._aftermath.kill(disk, self.workload.expected, nested=0.1)


def cut_everywhere(
    campaign: Campaign, chance: random.Random, sync: SyncPolicy, *, share: float, steps: int
) -> None:
    with folder_in_memory() as folder:
        cuts = CutEverywhere(campaign, chance, folder, sync=sync, share=share)
        disk = SimulatedDisk(folder / "live", on_operation=cuts)
        cuts.workload.run(disk, steps)
        campaign.count("operations", disk.operations)
        assert cuts.workload.refusals == 0
        assert disk.operations > 2 * steps


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_power_may_go_at_any_operation(campaign: Campaign, sync: SyncPolicy):
    for chance in campaign.rounds(1):
        cut_everywhere(campaign, chance, sync, share=0.15, steps=40)


@pytest.mark.soak
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_power_may_go_at_any_operation_for_long(campaign: Campaign, sync: SyncPolicy):
    for chance in campaign.rounds():
        cut_everywhere(campaign, chance, sync, share=1.0, steps=60)


def test_power_may_go_while_a_token_is_made(tmp_path: Path):
    folder = tmp_path / "live"
    folder.mkdir()
    TokenFile(folder, files=UnsyncedFiles()).add("kept", "read")
    choice = random.Random(1)
    found = []

    def cut(disk: SimulatedDisk) -> None:
        for mode in MODES:
            state = laid_out(disk.crashed(mode, choice), tmp_path / f"cut{len(found)}")
            found.append([token.name for token in TokenFile(state).read()])

    disk = SimulatedDisk(folder, on_operation=cut)
    TokenFile(folder, files=disk).add("new", "read")
    end = laid_out(disk.crashed("nothing", choice), tmp_path / "end")

    assert len(found) >= 4 * 5
    assert all(names in (["kept"], ["kept", "new"]) for names in found)
    assert [token.name for token in TokenFile(end).read()] == ["kept", "new"]


@pytest.mark.parametrize("sync", ["interval", "never"])
def test_history_is_dropped_only_behind_what_a_power_cut_keeps(campaign: Campaign, sync):
    """Else the head would be below the oldest revision that can be read."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        disk, clock = SimulatedDisk(folder / "live"), Clock()
        with contextlib.closing(
            quiet(open_log_store(disk.folder, tiny_settings(disk, clock, 1, sync)))
        ) as store:
            for number in range(11):
                store.commit(Txn([Put("a", b"%d" % number)]))
            store.maintainer.checkpoint()
            store.maintainer.merge_all()
            store.maintainer.compact(thorough=False)
            cut = laid_out(disk.crashed("nothing", chance), folder / "cut")

        settings = tiny_settings(UnsyncedFiles(), clock, 2, sync)
        with contextlib.closing(open_log_store(cut, settings)) as store:
            stats = store.stats()
            assert 0 < stats.oldest_revision <= stats.revision < 11
            assert store.count(at=stats.revision) == 1


def test_a_horizon_that_an_earlier_release_put_too_high_is_put_right(campaign: Campaign):
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        disk, clock = SimulatedDisk(folder / "live"), Clock()
        with contextlib.closing(
            open_log_store(disk.folder, tiny_settings(disk, clock, 1, "never"))
        ) as store:
            store.commit(Txn([Put("a", b"kept")]))
            store.sync()
            store.commit(Txn([Put("a", b"lost")]))
            store.maintainer._writer.change_manifest(lambda old: old.changed(oldest=Oldest(2, 0)))
            cut = laid_out(disk.crashed("nothing", chance), folder / "cut")

        settings = tiny_settings(UnsyncedFiles(), clock, 2, "never")
        with contextlib.closing(open_log_store(cut, settings)) as store:
            assert store.stats().oldest_revision == store.stats().revision == 1
            assert store.count(at=1) == 1


class LyingDisk(SimulatedDisk):
    """A planted bug: one kind of sync does nothing, and says that it did."""

    def __init__(self, folder: Path, lie: str, cut: CutEverywhere) -> None:
        super().__init__(folder, on_operation=cut)
        self._lie = lie

    def sync_folder(self, path: Path) -> None:
        if self._lie != "folder":
            super().sync_folder(path)

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        file = super().open(path, create=create, writable=writable)
        if path.suffix == self._lie:
            file.sync = lambda: None
        return file


@pytest.mark.parametrize("lie", ["folder", ".log", ".idx", ".tmp"])
def test_a_disk_that_lies_about_a_sync_is_found_out(campaign: Campaign, lie: str):
    """The checks above can fail: each kind of sync is needed."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        cuts = CutEverywhere(campaign, chance, folder)
        lying = LyingDisk(folder / "live", lie, cuts)

        with pytest.raises((AssertionError, StoreError)):  # a wrong state, or damage
            cuts.workload.run(lying, steps=200)
