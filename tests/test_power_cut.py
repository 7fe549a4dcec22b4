"""The power goes at every operation on the disk, and again while the store recovers.

After each cut the store opens, holds every commit that was answered and the one under way
whole or not at all, is the same when it is opened again, and leaves no file behind.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import LogStore, StoreSettings, open_store, verify
from storage.errors import StoreError
from storage.files import Files
from storage.interface import Add, Delete, Op, Put, Restore, Touch, Txn
from storage.log.chunk import Row
from storage.log.manifest import read_manifest
from storage.tokens import TokenFile
from tests.campaign import Campaign
from tests.model import Clock
from tests.simulated_disk import MODES, Mode, SimulatedDisk, laid_out
from tests.storage_samples import State, folder_in_memory, state_of
from tests.unsynced_files import UnsyncedFiles

KEYS = ["a", "b", "c/1", "c/2", "é"]


def settings_on(files: Files, clock: Clock, boot_id: int) -> StoreSettings:
    """Tiny segments, so that a few commits go through everything that a store does."""
    return StoreSettings(
        files=files,
        clock=clock,
        boot_id=boot_id,
        segment_records_max=4,
        keep_for_s=0,
        keep_versions=2,
        sync_interval_s=60,
        cache_bytes_max=0,
    )


class Workload:
    """Random commits, checkpoints, compactions, loads and restarts, with what must be there.

    Attributes:
        allowed: the states that the store may be found in at this moment.
    """

    def __init__(self, folder: Path, choice: random.Random, clock: Clock) -> None:
        self._folder = folder
        self._choice = choice
        self._clock = clock
        self.allowed: list[State] = [{}]

    def run(self, files: Files, steps: int) -> None:
        """Some steps, each of which notes what it may leave."""
        store = open_store(self._folder, settings_on(files, self._clock, 1))
        try:
            for _ in range(steps):
                self._step(store)
        finally:
            store.close()

    def _step(self, store: LogStore) -> None:
        match self._choice.choice(["commit"] * 8 + ["checkpoint", "compact", "merge", "load"]):
            case "commit":
                self._commit(store)
            case "checkpoint":
                store.maintainer.checkpoint()
            case "compact":
                store.maintainer.compact(thorough=self._choice.random() < 0.7)
                store.maintainer.remove_leftovers()
            case "merge":
                store.maintainer.merge_all()
            case "load":
                self._load(store)

    def _commit(self, store: LogStore) -> None:
        keys = self._choice.sample(KEYS, self._choice.randint(1, 3))
        ops = [self._op(store, key) for key in keys]
        before = state_of(store)
        after = dict(before)
        for op in ops:
            _apply(op, after)
        self.allowed = [before, after]
        store.commit(Txn(ops))
        assert state_of(store) == after
        self.allowed = [after]

    def _op(self, store: LogStore, key: str) -> Op:
        held = store.get(key)
        kind = self._choice.choice(["put", "put", "put", "delete", "touch", "add"])
        if kind == "delete":
            return Delete(key)
        if kind == "touch" and held is not None:
            return Touch(key, 1_000.0)
        if kind == "add" and held is None:
            return Add(key, 7)
        size = self._choice.choice([0, 3, 700, 5_000])
        return Put(key, self._choice.randbytes(size), self._choice.choice(["text/css", "x/rare"]))

    def _load(self, store: LogStore) -> None:
        rows: list[Row] = [
            (key.encode(), self._choice.randbytes(20), "text/css") for key in KEYS[:4]
        ]
        before = state_of(store)
        after = dict(before)
        for key, value, content_type in rows:
            _apply(Put(key.decode(), value, content_type), after)
        self.allowed = [before, after]
        store.load(rows)
        self.allowed = [after]


def _apply(op: Op, state: State) -> None:
    """What an operation makes of a state."""
    value, version, content_type = state.get(op.key, (b"", 0, ""))
    match op:
        case Put():
            state[op.key] = (op.value, version + 1, op.content_type)
        case Delete():
            state.pop(op.key, None)
        case Add():
            state[op.key] = (b"7", 1, "text/plain; charset=utf-8")
        case Touch():
            state[op.key] = (value, version + 1, content_type)
        case Restore():
            raise AssertionError


class Cuts:
    """Cuts the power at every operation of a disk, and opens what is left."""

    def __init__(
        self, campaign: Campaign, chance: random.Random, folder: Path, clock: Clock
    ) -> None:
        self._campaign = campaign
        self._random = chance
        self._folder = folder
        self._clock = clock
        self._number = 0

    def after_every_operation(self, workload: Workload, share: float) -> SimulatedDisk:
        """A disk that is cut before each of its operations, in a share of the modes."""

        def cut(disk: SimulatedDisk) -> None:
            for mode in MODES:
                if self._random.random() < share:
                    self._cut(disk, mode, workload.allowed, nested=0.03)

        return SimulatedDisk(self._folder / "live", on_operation=cut)

    def _cut(self, disk: SimulatedDisk, mode: Mode, allowed: list[State], *, nested: float) -> None:
        self._campaign.count("power cuts")
        context = f"{mode}, before operation {disk.operations}"
        state = disk.crashed(mode, self._random)
        with self._laid_out(state) as folder:
            if self._random.random() < nested:
                self._cut_while_recovering(folder, allowed)
            found = self._opened(folder, UnsyncedFiles(), 2)
            assert found in allowed, context
            assert self._opened(folder, UnsyncedFiles(), 2) == found, f"opened again: {context}"
            assert verify(folder).problems == [], context
            assert _strays(folder, self._clock) == set(), context

    def _cut_while_recovering(self, folder: Path, allowed: list[State]) -> None:
        """The power goes a second time, before each operation of the recovery."""

        def cut(disk: SimulatedDisk) -> None:
            for mode in MODES:
                self._campaign.count("cuts of a recovery")
                self._cut(disk, mode, allowed, nested=0)

        with self._laid_out({path.name: path.read_bytes() for path in folder.iterdir()}) as copy:
            self._opened(copy, SimulatedDisk(copy, on_operation=cut), 3)

    def _opened(self, folder: Path, files: Files, boot_id: int) -> State:
        settings = settings_on(files, self._clock, boot_id)
        with contextlib.closing(open_store(folder, settings)) as store:
            return state_of(store)

    @contextlib.contextmanager
    def _laid_out(self, state: dict[str, bytes]) -> Iterator[Path]:
        self._number += 1
        folder = laid_out(state, self._folder / f"cut{self._number}")
        yield folder
        shutil.rmtree(folder)


def _strays(folder: Path, clock: Clock) -> set[str]:
    """Files that nothing names, after maintenance had its turn."""
    settings = settings_on(UnsyncedFiles(), clock, 2)
    with contextlib.closing(open_store(folder, settings)) as store:
        store.maintainer.remove_leftovers()
    manifest = read_manifest(UnsyncedFiles(), folder)
    named = {f"{segment.number:010}.log" for segment in manifest.segments}
    named |= {f"{index.number:010}.idx" for index in manifest.indexes}
    return {
        path.name for path in folder.iterdir() if path.suffix in (".log", ".idx", ".tmp")
    } - named


def cut_everywhere(campaign: Campaign, chance: random.Random, *, share: float, steps: int) -> None:
    with folder_in_memory() as folder:
        clock = Clock()
        workload = Workload(folder / "live", chance, clock)
        disk = Cuts(campaign, chance, folder, clock).after_every_operation(workload, share)
        workload.run(disk, steps)
        campaign.count("operations", disk.operations)
        assert disk.operations > 100


def test_power_may_go_at_any_operation(campaign: Campaign):
    for chance in campaign.rounds(1):
        cut_everywhere(campaign, chance, share=0.35, steps=40)


@pytest.mark.soak
def test_power_may_go_at_any_operation_for_long(campaign: Campaign):
    for chance in campaign.rounds():
        cut_everywhere(campaign, chance, share=1.0, steps=60)


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


class LyingDisk(SimulatedDisk):
    """A planted bug: the n-th kind of sync does nothing, and says that it did."""

    def __init__(self, folder: Path, lie: str, cut) -> None:
        super().__init__(folder, on_operation=cut)
        self._lie = lie

    def sync_folder(self, path: Path) -> None:
        if self._lie != "folder":
            super().sync_folder(path)

    def open(self, path: Path, *, create: bool = False, writable: bool = True):
        file = super().open(path, create=create, writable=writable)
        if path.suffix == self._lie:
            file.sync = lambda: None
        return file


@pytest.mark.parametrize("lie", ["folder", ".log", ".tmp"])
def test_a_disk_that_lies_about_a_sync_is_found_out(campaign: Campaign, lie: str):
    """The checks above can fail: each kind of sync is needed."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        clock = Clock()
        workload = Workload(folder / "live", chance, clock)
        cuts = Cuts(campaign, chance, folder, clock)
        honest = cuts.after_every_operation(workload, share=1.0)
        lying = LyingDisk(folder / "live", lie, honest._on_operation)

        with pytest.raises((AssertionError, StoreError)):  # a wrong state, or damage
            workload.run(lying, steps=200)
