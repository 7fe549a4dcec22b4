"""Test that acknowledged writes survive a failed disk call followed by a power cut."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import random
import threading
from concurrent import futures
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.errors import OutcomeUnknown, Unavailable
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings, SyncPolicy
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.disks.aftermath import Aftermath
from tests.support.disks.faulty_files import Call, FaultyFiles
from tests.support.disks.sample_stores import State, folder_in_memory, state_of
from tests.support.disks.simulated_disk import MODES, SimulatedDisk, SimulatedFile, laid_out
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock
from tests.support.models.workload import FAILURES_MAX, Expectation, Workload
from tests.support.quiet import quiet


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
        with contextlib.closing(open_log_store(cut, after)) as store:
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
        with contextlib.closing(quiet(open_log_store(folder / "live", settings))) as store:
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
            assert [version.version for version in store.history("k0").versions] == [2, 1]
            cuts = after_power_cuts(disk, folder, settings)

        assert bad.failed
        assert cuts == [before] * len(cuts)
        (folder / "live" / "MANIFEST").unlink()
        alone = dataclasses.replace(settings, files=UnsyncedFiles())
        repair(folder / "live", alone)
        with contextlib.closing(open_log_store(folder / "live", alone)) as store:
            assert state_of(store) == before


def test_power_may_go_while_it_is_written_again(campaign: Campaign):
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        bad, clock = BadSector("sync"), Clock()
        aftermath = Aftermath(campaign, chance, folder, clock)
        expected = Expectation(clock, "interval")

        def cut(disk: SimulatedDisk) -> None:
            if bad.failed:
                for mode in MODES:
                    aftermath.cut(disk, mode, expected)
                aftermath.kill(disk, expected)

        disk = SimulatedDisk(folder / "live", on_operation=cut)
        settings = tiny(FaultyFiles(bad, disk), "interval")
        with contextlib.closing(quiet(open_log_store(folder / "live", settings))) as store:
            for number in range(5):
                op = Put(f"k{number % 3}", b"%d" % number * 200)
                expected.begin([op])
                store.commit(Txn([op]))
                expected.answered(state_of(store))
            bad.is_armed = True
            with pytest.raises(Unavailable):
                store.sync()
            store.sync()

        assert campaign.faults["kills"] > 5


@pytest.mark.parametrize("sync", ["always", "interval"])
@pytest.mark.parametrize("share_written", [0.5, 1.0])
def test_a_write_that_was_refused_does_not_come_back_when_the_power_goes(sync, share_written):
    with folder_in_memory() as folder:
        disk, bad = SimulatedDisk(folder / "live"), BadSector("pwrite")
        settings = tiny(FaultyFiles(bad, disk, share_written=share_written), sync)
        with contextlib.closing(quiet(open_log_store(folder / "live", settings))) as store:
            put(store, 1)
            store.sync()
            bad.is_armed = True
            with pytest.raises(Unavailable):
                put(store, 2)
            before = state_of(store)
            cuts = after_power_cuts(disk, folder, settings)

        assert bad.failed
        assert cuts == [before] * len(cuts)


class BadSyncAndNoRoll:
    """When armed, the next sync of a segment fails, and then all of rolling does."""

    def __init__(self) -> None:
        self.is_armed = False
        self._is_rolling = False

    def __call__(self, _: int, call: Call) -> OSError | None:
        if not self.is_armed:
            return None
        if call.name == "sync" and call.file.endswith(".log"):
            self._is_rolling = True
        return OSError(errno.EIO, "bad sector") if self._is_rolling else None


def test_a_segment_whose_sync_failed_is_never_synced_again_although_the_next_cannot_be_made():
    with folder_in_memory() as folder:
        bad = BadSyncAndNoRoll()
        files = FaultyFiles(bad, SimulatedDisk(folder / "live"))
        with contextlib.closing(open_log_store(folder / "live", tiny(files, "always"))) as store:
            put(store, 1)
            bad.is_armed = True
            with pytest.raises(OutcomeUnknown):
                put(store, 2)
            bad.is_armed = False
            put(store, 3)

        assert files.failed[0].name == "sync"
        assert len(files.failed) > 1
        assert no_sync_is_repeated(files), files.failed


def test_a_full_segment_whose_sync_failed_is_never_synced_again():
    with folder_in_memory() as folder:
        disk, bad = SimulatedDisk(folder / "live"), BadSector("sync")
        files = FaultyFiles(bad, disk)
        settings = tiny(files, "interval")
        with contextlib.closing(quiet(open_log_store(folder / "live", settings))) as store:
            for number in range(8):
                put(store, number)
            bad.is_armed = True
            with pytest.raises(Unavailable):
                put(store, 8)
            put(store, 9)
            store.sync()
            before = state_of(store)
            cuts = after_power_cuts(disk, folder, settings)

        assert bad.failed
        assert no_sync_is_repeated(files), files.failed
        assert cuts == [before] * len(cuts)


class BadSyncBesideAnother:
    """Of two syncs of a segment, when armed, the second one fails; the first one ends after it.

    Attributes:
        is_armed: see above.
        has_begun: the first one is at work.
        has_failed: set it when the second one has ended.
    """

    def __init__(self) -> None:
        self.is_armed = False
        self.has_begun = threading.Event()
        self.has_failed = threading.Event()

    def __call__(self, _: int, call: Call) -> OSError | None:
        if not self.is_armed or call.name != "sync" or not call.file.endswith(".log"):
            return None
        if self.has_begun.is_set():
            return OSError(errno.EIO, "bad sector")
        self.has_begun.set()
        self.has_failed.wait(0.3)  # in vain, where the second one waits for this one
        return None


@pytest.mark.parametrize("is_same_process", [True, False])
def test_a_sync_beside_one_that_fails_vouches_for_nothing_that_is_lost(
    monkeypatch: pytest.MonkeyPatch, is_same_process: bool
):
    """The kernel tells one of two threads that have the same file open; some, one of all.

    In one process, the other thread comes to its end before the failure is known to anyone.
    """
    with folder_in_memory() as folder:
        disk, bad = SimulatedDisk(folder / "live"), BadSyncBesideAnother()
        forget = SimulatedFile.forget

        def forget_and_wait(file: SimulatedFile, chance: random.Random) -> None:
            forget(file, chance)
            bad.has_failed.set()
            futures.wait([syncing], 0.3)

        if is_same_process:
            monkeypatch.setattr(SimulatedFile, "forget", forget_and_wait)
        settings = tiny(FaultyFiles(bad, disk), "interval")
        with (
            contextlib.closing(quiet(open_log_store(folder / "live", settings))) as store,
            contextlib.closing(quiet(open_log_store(folder / "live", settings))) as other,
        ):
            for number in range(5):
                put(store, number)
            bad.is_armed = True
            with futures.ThreadPoolExecutor(1) as threads:
                syncing = threads.submit(store.sync)
                assert bad.has_begun.wait(PATIENCE_S)
                with contextlib.suppress(Unavailable):
                    (store if is_same_process else other).sync()
                bad.has_failed.set()
            bad.is_armed = False
            with contextlib.suppress(Unavailable):
                syncing.result()
            store.sync()
            before = state_of(store)
            cuts = after_power_cuts(disk, folder, settings)

        assert cuts == [before] * len(cuts)


# --- every call fails -----------------------------------------------------------------------


WAKE = 60
"""Calls after a failure during which it may be coped with."""
WAKE_SHARE = 0.1


class OnceOrFor:
    """Fails the calls from one number on, as many as are told; only those that may fail so.

    Attributes:
        wake: numbers of the calls that may have to do with it.
    """

    def __init__(self, first: int, count: int, code: int) -> None:
        self._numbers = range(first, first + count)
        self._code = code
        self.wake = range(first, first + count + WAKE)

    def __call__(self, number: int, call: Call) -> OSError | None:
        if number not in self._numbers or not may_fail(call, self._code):
            return None
        return OSError(self._code, os.strerror(self._code), call.file)


def may_fail(call: Call, code: int) -> bool:
    """Whether a call can fail in this way at all."""
    match code:
        case errno.ENOSPC:
            return call.name in ("open", "pwrite", "sync", "rename", "sync_folder")
        case errno.EMFILE | errno.ENOMEM:
            return call.name in ("open", "map", "sync_folder")
    return True


def fail_and_cut(
    campaign: Campaign, seed: int, failing: OnceOrFor, sync: SyncPolicy, *, steps: int
) -> int:
    """A workload, some of whose calls fail; then the power goes. Returns how many calls it did."""
    chance = random.Random(seed)
    with folder_in_memory() as folder:
        clock = Clock()
        workload = Workload(folder / "live", random.Random(seed), clock, sync)
        aftermath = Aftermath(campaign, chance, folder, clock)
        thread = threading.current_thread()

        def cut(disk: SimulatedDisk) -> None:
            """Now and then, soon after a failure: while it is being coped with."""
            if threading.current_thread() is not thread:
                return  # the workload goes on beside a background sync: what may be found changes
            if len(files.calls) in failing.wake and chance.random() < WAKE_SHARE:
                aftermath.cut(disk, chance.choice(MODES), workload.expected)
                aftermath.kill(disk, workload.expected)

        disk = SimulatedDisk(folder / "live", on_operation=cut)
        files = FaultyFiles(failing, disk, share_written=chance.choice([0, 0.5, 1]))
        workload.run(files, steps)
        for mode in MODES:
            aftermath.cut(disk, mode, workload.expected)
        aftermath.kill(disk, workload.expected)
        campaign.count("failed calls", len(files.failed))
        assert workload.refusals <= max(1, len(files.failed)), files.failed
        assert no_sync_is_repeated(files), files.failed
        return len(files.calls)


def no_sync_is_repeated(files: FaultyFiles) -> bool:
    """Whether no file is synced again after its sync has failed (a new one of its name may be)."""
    bad: set[str] = set()
    for call, has_failed in files.outcomes():
        if call.name in ("unlink", "rename"):
            bad.discard(call.file)
        elif call.name == "sync":
            if call.file in bad:
                return False
            if has_failed:
                bad.add(call.file)
    return True


CODES = [errno.EIO, errno.ENOSPC, errno.EMFILE]


def fail_everywhere(
    campaign: Campaign, chance: random.Random, sync: SyncPolicy, *, steps: int, share: float
) -> None:
    """Each call fails once, or the calls from it on for a while."""
    seed = chance.getrandbits(32)
    nothing = OnceOrFor(-WAKE, 0, errno.EIO)
    for number in range(1, fail_and_cut(campaign, seed, nothing, sync, steps=steps) + 1):
        if chance.random() < share:
            failing = OnceOrFor(
                number, chance.choice([1, 1, 1, 2, FAILURES_MAX]), chance.choice(CODES)
            )
            fail_and_cut(campaign, seed, failing, sync, steps=steps)


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_a_sync_may_fail_and_so_many_calls_behind_it(campaign: Campaign, sync: SyncPolicy):
    """Also those that were to put right what the sync has left."""
    chance = next(campaign.rounds(1))
    calls: list[Call] = []

    def note(_: int, call: Call) -> None:
        calls.append(call)

    seed = chance.getrandbits(32)
    with folder_in_memory() as folder:
        workload = Workload(folder / "live", random.Random(seed), Clock(), sync)
        workload.run(FaultyFiles(note), 12)
    syncs = [n for n, call in enumerate(calls, 1) if call.name == "sync" and ".log" in call.file]
    for count in range(1, 13):
        failing = OnceOrFor(chance.choice(syncs[len(syncs) // 3 :]), count, errno.EIO)
        fail_and_cut(campaign, seed, failing, sync, steps=12)


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_any_call_may_fail_before_the_power_goes(campaign: Campaign, sync: SyncPolicy):
    for chance in campaign.rounds(1):
        fail_everywhere(campaign, chance, sync, steps=20, share=0.1)


@pytest.mark.soak
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_any_call_may_fail_before_the_power_goes_for_long(campaign: Campaign, sync: SyncPolicy):
    for chance in campaign.rounds():
        fail_everywhere(campaign, chance, sync, steps=40, share=1.0)
