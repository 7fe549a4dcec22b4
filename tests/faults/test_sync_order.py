"""Test that each thing is durable before another one refers to it, in every kind of work.

A power cut at a random place finds a missing sync by chance. These tests find it always: they ask a
simulated disk, at each operation, whether what the store relies on has been synced.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Delete, Put, Row, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import SyncPolicy
from tests.support.campaign import Campaign
from tests.support.disks.ordered_disk import OrderedDisk
from tests.support.disks.sample_stores import State, folder_in_memory, state_of
from tests.support.disks.simulated_disk import MODES, SimulatedDisk, laid_out
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock
from tests.support.models.workload import KEYS, tiny_settings
from tests.support.quiet import quiet

POLICIES: tuple[SyncPolicy, ...] = ("always", "interval")
every_policy = pytest.mark.parametrize("sync", POLICIES)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.contextmanager
def opened(disk: OrderedDisk, clock: Clock, sync: SyncPolicy) -> Iterator[LogStore]:
    """Open a store whose syncs are those of the test: the checks look at one thread's steps."""
    settings = tiny_settings(disk, clock, 1, sync)
    with contextlib.closing(quiet(open_log_store(disk.folder, settings))) as store:
        yield store
    disk.check()


def ordered(folder: Path, sync: SyncPolicy) -> OrderedDisk:
    return OrderedDisk(folder, boot_id=1, is_always=sync == "always")


def fill(store: LogStore, disk: OrderedDisk, count: int) -> None:
    """Commit enough for several segments; some of it is dead."""
    for number in range(count):
        store.commit(Txn([Put(KEYS[number % 4], b"%d" % number)]))
        disk.check()
    store.commit(Txn([Delete(KEYS[0])]))


@every_policy
def test_a_segment_is_durable_before_the_manifest_seals_it(tmp_path, clock, sync):
    disk = ordered(tmp_path / "data", sync)
    with opened(disk, clock, sync) as store:
        fill(store, disk, 14)

    assert disk.manifests >= 4


@every_policy
def test_an_index_file_is_durable_before_the_manifest_names_it(tmp_path, clock, sync):
    disk = ordered(tmp_path / "data", sync)
    with opened(disk, clock, sync) as store:
        for count in (5, 5):
            fill(store, disk, count)
            store.maintainer.checkpoint()

        assert len(store._follower.refresh().manifest.indexes) > 0


@every_policy
def test_merged_index_files_go_when_the_manifest_is_durable(tmp_path, clock, sync):
    disk = ordered(tmp_path / "data", sync)
    with opened(disk, clock, sync) as store:
        for _ in range(3):
            fill(store, disk, 9)
            store.maintainer.checkpoint()

        store.maintainer.merge_all()

    assert disk.removals > 1


@every_policy
def test_compacted_segments_go_when_their_copies_and_the_manifest_are_durable(
    tmp_path, clock, sync
):
    disk = ordered(tmp_path / "data", sync)
    with opened(disk, clock, sync) as store:
        fill(store, disk, 18)
        state = state_of(store)

        store.maintainer.compact(thorough=True)

        assert state_of(store) == state

    assert disk.removals > 2


@every_policy
def test_a_bulk_load_is_durable_before_the_manifest_names_it(tmp_path, clock, sync):
    disk = ordered(tmp_path / "data", sync)
    rows: list[Row] = [(key.encode(), b"new", "text/plain") for key in KEYS[:4]]
    with opened(disk, clock, sync) as store:
        fill(store, disk, 2)
        before = disk.manifests

        store.load(rows)

    assert disk.manifests > before


@every_policy
def test_a_background_sync_makes_durable_what_it_says(tmp_path, clock, sync):
    disk = ordered(tmp_path / "data", sync)
    with opened(disk, clock, sync) as store:
        store.commit(Txn([Put("a", b"1")]))
        store.sync()
        disk.check()

        published = store._parts.commit_page.published
        assert published is not None
        assert store._parts.commit_page.durable == published


def test_what_a_recovery_finds_is_durable_before_anybody_sees_it(campaign: Campaign):
    """Without a page to trust, frames are found that no process has synced yet."""
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


def fill_a_segment(store: LogStore) -> None:
    """So that it is sealed, which changes the manifest."""
    for number in range(9):
        store.commit(Txn([Put(f"{number}", b"")]))


def seal_a_segment(store: LogStore) -> None:
    """Although there is space left, for commits of a process that has not heard of it."""
    store.commit(Txn([Put("0", b"")]))
    store._writer.seal()


@contextlib.contextmanager
def dead_behind_rename(
    disk: DeathBehindRename, clock: Clock, work: Callable[[LogStore], None]
) -> Iterator[None]:
    """Let a process die when a sealed segment's manifest has its name; then the disk is whole."""
    dying = open_log_store(disk.folder, tiny_settings(disk, clock, 1, "always"))
    disk.is_armed = True
    with pytest.raises(DeadProcess):
        work(dying)
    with contextlib.suppress(DeadProcess):
        dying.close()
    disk.is_dead = disk.is_armed = False
    yield


def check_every_cut(disk: SimulatedDisk, clock: Clock, chance: random.Random, seen: State) -> None:
    for number, mode in enumerate(MODES * 3):
        cut = laid_out(disk.crashed(mode, chance), disk.folder.parent / f"cut{number}")
        settings = tiny_settings(UnsyncedFiles(), clock, 3, "always")
        with contextlib.closing(open_log_store(cut, settings)) as store:
            assert state_of(store) == seen, mode


@pytest.mark.parametrize("is_page_lost", [True, False])
def test_a_manifest_that_a_recovery_finds_is_durable_before_anybody_sees_it(
    campaign: Campaign, is_page_lost: bool
):
    """Also where the page is lost, which tells that a change of it was cut off."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        disk, clock = DeathBehindRename(folder / "live"), Clock()
        with dead_behind_rename(disk, clock, fill_a_segment):
            if is_page_lost:
                disk.unlink(disk.folder / "COMMIT")
            settings = tiny_settings(disk, clock, 1, "always")
            with contextlib.closing(open_log_store(disk.folder, settings)) as recovered:
                recovered.commit(Txn([Put("after", b"")]))
                seen = state_of(recovered)
                assert {"0", "3", "after"} <= seen.keys()
                check_every_cut(disk, clock, chance, seen)


@pytest.mark.parametrize("work", [fill_a_segment, seal_a_segment])
def test_a_manifest_of_a_dead_process_is_settled_before_another_one_commits(
    campaign: Campaign, work: Callable[[LogStore], None]
):
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        disk, clock = DeathBehindRename(folder / "live"), Clock()
        settings = tiny_settings(disk, clock, 1, "always")
        with (
            contextlib.closing(open_log_store(disk.folder, settings)) as other,
            dead_behind_rename(disk, clock, work),
        ):
            other.commit(Txn([Put("after", b"")]))
            seen = state_of(other)
            assert {"0", "after"} <= seen.keys()
            check_every_cut(disk, clock, chance, seen)


def test_a_disk_that_is_asked_too_early_says_so(tmp_path):
    """The checks themselves can fail."""
    disk = OrderedDisk(tmp_path / "data", boot_id=1, is_always=True)
    settings = tiny_settings(disk, Clock(), 1, "never")
    with contextlib.closing(open_log_store(disk.folder, settings)) as store:
        store.commit(Txn([Put("a", b"1")]))

        with pytest.raises(AssertionError, match="the published word covers"):
            disk.check()
        with pytest.raises(AssertionError, match="while the durable manifest names it"):
            disk.unlink(disk.folder / "0000000001.log")
        disk.is_always = False


class WithoutFolderSync(OrderedDisk):
    """Its folder is never synced."""

    def sync_folder(self, path: Path) -> None:
        assert path in (self.folder, self.folder.parent)
        self.operation()


def test_a_name_that_is_not_durable_is_found(tmp_path):
    disk = WithoutFolderSync(tmp_path / "data", boot_id=1, is_always=True)
    with pytest.raises(AssertionError, match="the name is not durable"):
        open_log_store(disk.folder, tiny_settings(disk, Clock(), 1, "always"))
