"""Test a power cut or a death at every operation on the disk, and again during recovery."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import pytest

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.files import File
from rundlet_server.storage.interface import Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import SyncPolicy
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.campaign import Campaign
from tests.support.disks.aftermath import Aftermath
from tests.support.disks.sample_stores import folder_in_memory, state_of
from tests.support.disks.simulated_disk import MODES, SimulatedDisk, laid_out
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock
from tests.support.models.workload import Workload, tiny_settings


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


def test_what_a_recovery_finds_is_durable_before_anybody_sees_it(campaign: Campaign):
    """Without a page to trust, frames are found that nobody has synced yet."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        disk, clock = SimulatedDisk(folder / "live"), Clock()
        before = tiny_settings(disk, clock, 1, "never")
        with contextlib.closing(open_log_store(disk.folder, before)) as store:
            store.commit(Txn([Put("a", bytes(3_000))]))
        after = tiny_settings(disk, clock, 2, "always")
        with contextlib.closing(open_log_store(disk.folder, after)) as recovered:
            seen = state_of(recovered)
            assert seen
            for number, mode in enumerate(MODES * 3):
                cut = laid_out(disk.crashed(mode, chance), folder / f"cut{number}")
                settings = tiny_settings(UnsyncedFiles(), clock, 3, "always")
                with contextlib.closing(open_log_store(cut, settings)) as store:
                    assert state_of(store) == seen


class DeadProcess(BaseException):
    """What the process was to do after this it does not do."""


class DeathBehindRename(SimulatedDisk):
    """The process dies when a manifest has its name, and before that is durable."""

    is_dead = False
    is_armed = False

    def operation(self) -> None:
        if self.is_dead:
            raise DeadProcess
        super().operation()

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.is_dead = self.is_armed


def fill_a_segment(store: Store) -> None:
    """So that it is sealed, which changes the manifest."""
    for number in range(9):
        store.commit(Txn([Put(f"{number}", b"")]))


def test_a_manifest_that_a_recovery_finds_is_durable_before_anybody_sees_it(campaign: Campaign):
    """Also where the page is lost, which tells that a change of it was cut off."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        disk, clock = DeathBehindRename(folder / "live"), Clock()
        dying = open_log_store(disk.folder, tiny_settings(disk, clock, 1, "always"))
        disk.is_armed = True
        with pytest.raises(DeadProcess):
            fill_a_segment(dying)
        with contextlib.suppress(DeadProcess):
            dying.close()
        disk.is_dead = disk.is_armed = False
        disk.unlink(disk.folder / "COMMIT")
        with contextlib.closing(
            open_log_store(disk.folder, tiny_settings(disk, clock, 1, "always"))
        ) as recovered:
            recovered.commit(Txn([Put("after", b"")]))
            seen = state_of(recovered)
            assert {"0", "3", "after"} <= seen.keys()
            for number, mode in enumerate(MODES * 3):
                cut = laid_out(disk.crashed(mode, chance), folder / f"cut{number}")
                settings = tiny_settings(UnsyncedFiles(), clock, 3, "always")
                with contextlib.closing(open_log_store(cut, settings)) as store:
                    assert state_of(store) == seen


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
