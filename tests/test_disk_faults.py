"""A call to the disk fails, then the power goes: what was answered is there all the same."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import random
from pathlib import Path

import pytest

from storage import LogStore, StoreSettings, open_store, verify
from storage.errors import Unavailable
from storage.interface import Put, Txn
from storage.settings import SyncPolicy
from tests.faulty_files import Call, FaultyFiles
from tests.model import Clock
from tests.simulated_disk import MODES, SimulatedDisk, laid_out
from tests.storage_samples import State, folder_in_memory, state_of
from tests.unsynced_files import UnsyncedFiles


class BadSector:
    """Fails the next call of a kind on a segment, when armed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_armed = False
        self.failed: list[Call] = []

    def __call__(self, _: int, call: Call) -> OSError | None:
        if not self.is_armed or call.name != self._name or not call.file.endswith(".log"):
            return None
        self.is_armed = False
        self.failed.append(call)
        return OSError(errno.EIO, "bad sector")


def tiny(files: FaultyFiles, sync: SyncPolicy) -> StoreSettings:
    return StoreSettings(
        files=files,
        clock=Clock(),
        sync=sync,
        sync_interval_s=60,
        segment_records_max=8,
        keep_for_s=0,
        keep_versions=3,
        cache_bytes_max=0,
        boot_id=1,
    )


def put(store: LogStore, number: int) -> None:
    store.commit(Txn([Put(f"k{number % 3}", b"%d" % number * 200)]))


def after_power_cuts(disk: SimulatedDisk, folder: Path, settings: StoreSettings) -> list[State]:
    """What is found after each of some power cuts."""
    found = []
    choice = random.Random(1)
    for number, mode in enumerate(MODES * 5):
        cut = laid_out(disk.crashed(mode, choice), folder / f"cut{number}")
        after = dataclasses.replace(settings, files=UnsyncedFiles(), boot_id=2)
        with contextlib.closing(open_store(cut, after)) as store:
            found.append(state_of(store))
        assert verify(cut).problems == []
    return found


@pytest.mark.parametrize("sync", ["interval", "never"])
@pytest.mark.parametrize("synced", [0, 2])
def test_what_a_failed_background_sync_has_lost_is_written_again_elsewhere(sync, synced):
    """Kernels mark pages clean that they failed to write: a second sync would lie."""
    with folder_in_memory() as folder:
        disk, bad = SimulatedDisk(folder / "live"), BadSector("sync")
        settings = tiny(FaultyFiles(bad, disk), sync)
        with contextlib.closing(open_store(folder / "live", settings)) as store:
            for number in range(synced):
                put(store, number)
            store.sync()
            for number in range(synced, 5):
                put(store, number)
            bad.is_armed = True
            with pytest.raises(Unavailable):
                store.sync()
            before = state_of(store)
            store.sync()
            assert state_of(store) == before
            assert [version.version for version in store.history("k0")] == [2, 1]
            cuts = after_power_cuts(disk, folder, settings)

        assert bad.failed
        assert cuts == [before] * len(cuts)


@pytest.mark.parametrize("sync", ["always", "interval"])
@pytest.mark.parametrize("share_written", [0.5, 1.0])
def test_a_write_that_was_refused_does_not_come_back_when_the_power_goes(sync, share_written):
    with folder_in_memory() as folder:
        disk, bad = SimulatedDisk(folder / "live"), BadSector("pwrite")
        settings = tiny(FaultyFiles(bad, disk, share_written=share_written), sync)
        with contextlib.closing(open_store(folder / "live", settings)) as store:
            put(store, 1)
            store.sync()
            bad.is_armed = True
            with pytest.raises(Unavailable):
                put(store, 2)
            before = state_of(store)
            cuts = after_power_cuts(disk, folder, settings)

        assert bad.failed
        assert cuts == [before] * len(cuts)
