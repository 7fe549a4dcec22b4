"""Check a store after a crash: it opens, holds a state it may hold, and removes orphaned files."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from rundlet_server.storage.care import verify
from rundlet_server.storage.files import Files
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.campaign import Campaign
from tests.support.disks.sample_stores import State, state_of
from tests.support.disks.simulated_disk import MODES, Mode, SimulatedDisk, laid_out
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.idempotent import check_outcomes
from tests.support.models.model import Clock
from tests.support.models.workload import Expectation, tiny_settings

Check = Callable[[State, str], None]


class Aftermath:
    """Cuts the power of a simulated disk, or kills the process, and checks the state it leaves.

    The store opens, holds what was answered, is the same when it is opened again, has nothing that
    ``verify`` finds, leaves no file behind, and takes a commit.
    """

    def __init__(
        self, campaign: Campaign, chance: random.Random, folder: Path, clock: Clock
    ) -> None:
        """Begin; copies of a state are made in ``folder``."""
        self._campaign = campaign
        self._chance = chance
        self._folder = folder
        self._clock = clock
        self._number = 0

    def cut(
        self, disk: SimulatedDisk, mode: Mode, expected: Expectation, *, nested: float = 0.0
    ) -> None:
        """Cut the power; with the probability ``nested``, cut it again at each step of recovery."""
        self._campaign.count("power cuts")
        context = f"{mode}, before operation {disk.operations}"
        state = disk.crashed(mode, self._chance)
        if self._chance.random() < nested:
            with self._laid_out(state) as copy:
                self._cut_while_recovering(copy, expected.check_after_cut)
        self._look(state, 2, expected.check_after_cut, context)

    def kill(self, disk: SimulatedDisk, expected: Expectation, *, nested: float = 0.0) -> None:
        """Kill the process but not the machine: all written data is there, synced or not.

        With a chance of ``nested`` the power goes while the next process writes.
        """
        self._campaign.count("kills")
        state = {path.name: path.read_bytes() for path in disk.folder.iterdir()}
        if self._chance.random() < nested:
            with self._laid_out(state) as copy:
                self._cut_while_used(copy, expected.check_running)
        self._look(state, 1, expected.check_running, f"killed, before {disk.operations}")

    def look(self, folder: Path, expected: Expectation, context: str) -> None:
        """Check the state that real processes left when they died without a power cut."""
        state = {path.name: path.read_bytes() for path in folder.iterdir()}
        self._look(state, 1, expected.check_running, context)

    def _cut_while_recovering(self, folder: Path, check: Check) -> None:
        def cut(disk: SimulatedDisk) -> None:
            for mode in MODES:
                self._campaign.count("cuts of a recovery")
                self._look(disk.crashed(mode, self._chance), 3, check, f"twice, {mode}")

        self._opened(folder, SimulatedDisk(folder, on_operation=cut), 2)

    def _cut_while_used(self, folder: Path, check: Check) -> None:
        def check_without(found: State, context: str) -> None:
            check({key: held for key, held in found.items() if key != "after"}, context)

        def cut(disk: SimulatedDisk) -> None:
            for mode in MODES:
                self._campaign.count("cuts of a successor")
                self._look(disk.crashed(mode, self._chance), 2, check_without, f"then {mode}")

        disk = SimulatedDisk(folder, on_operation=cut)
        with contextlib.closing(open_log_store(folder, self._settings(disk, 1))) as store:
            store.commit(Txn([Put("after", b"")]))

    def _look(self, state: dict[str, bytes], boot_id: int, check: Check, context: str) -> None:
        with self._laid_out(state) as folder:
            found = self._opened(folder, UnsyncedFiles(), boot_id)
            check(found, context)
            assert self._opened(folder, UnsyncedFiles(), boot_id) == found, f"again: {context}"
            assert verify(folder, self._settings(UnsyncedFiles(), boot_id)).problems == [], context
            self._check_use(folder, boot_id, found)
            assert strays(folder) == set(), context

    def _check_use(self, folder: Path, boot_id: int, found: State) -> None:
        """Check that the store accepts a commit, and that maintenance removes orphaned files."""
        with contextlib.closing(
            open_log_store(folder, self._settings(UnsyncedFiles(), boot_id))
        ) as store:
            check_outcomes(store, found)
            store.commit(Txn([Put("used", b"1", "text/css")]))
            store.maintainer.remove_orphans()
            assert state_of(store) == {**found, "used": (b"1", 1, "text/css")}

    def _opened(self, folder: Path, files: Files, boot_id: int) -> State:
        with contextlib.closing(open_log_store(folder, self._settings(files, boot_id))) as store:
            stats = store.stats()
            assert stats.oldest_revision <= stats.revision, "the head cannot be read by its number"
            return state_of(store)

    def _settings(self, files: Files, boot_id: int) -> StoreSettings:
        return tiny_settings(files, self._clock, boot_id, "always")

    @contextlib.contextmanager
    def _laid_out(self, state: dict[str, bytes]) -> Iterator[Path]:
        self._number += 1
        folder = laid_out(state, self._folder / f"crash{self._number}")
        yield folder
        shutil.rmtree(folder)


def strays(folder: Path) -> set[str]:
    """Return the files that the manifest does not name."""
    manifest = read_manifest(UnsyncedFiles(), folder)
    named = {f"{segment.number:010}.log" for segment in manifest.segments}
    named |= {f"{index.number:010}.idx" for index in manifest.indexes}
    found = {path.name for path in folder.iterdir() if path.suffix in (".log", ".idx", ".tmp")}
    return found - named
