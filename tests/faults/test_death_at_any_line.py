"""Test a process death or a power cut between any two lines of code that changes a store.

The commit page changes by stores to memory, not by calls to the disk, so only a death between two
lines shows what a death between two such stores leaves.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable
from types import FrameType, TracebackType

import pytest

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.format import commit_page, segment_writer
from rundlet_server.storage.log.maintain import checkpoint, compaction, maintainer
from rundlet_server.storage.log.open import recovery
from rundlet_server.storage.log.write import rolling, unsynced_tail, writer
from rundlet_server.storage.opening import open_log_store
from tests.support.campaign import Campaign
from tests.support.disks.aftermath import Aftermath
from tests.support.disks.sample_stores import folder_in_memory, state_of
from tests.support.disks.simulated_disk import MODES, SimulatedDisk
from tests.support.models.model import Clock
from tests.support.models.workload import Expectation, Workload, tiny_settings

WATCHED = {
    module.__file__
    for module in (
        checkpoint,
        commit_page,
        compaction,
        maintainer,
        recovery,
        rolling,
        segment_writer,
        unsynced_tail,
        writer,
    )
}


class EveryLine:
    """Calls a function before every line of the watched modules, in this thread: ``with``."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._on_call)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sys.settrace(self._before)

    def _on_call(self, frame: FrameType, *_: object):
        return self._on_line if frame.f_code.co_filename in WATCHED else None

    def _on_line(self, _: FrameType, event: str, __: object):
        if event == "line":
            self._action()  # which is not traced itself
        return self._on_line


class Deaths:
    """Looks at what is left whenever that has changed."""

    def __init__(
        self,
        disk: SimulatedDisk,
        aftermath: Aftermath,
        expected: Expectation,
        chance: random.Random,
        *,
        share: float,
        nested: float = 0.15,
    ) -> None:
        """``share``: of the states that are looked at; ``nested``: see ``Aftermath.kill``."""
        self._disk = disk
        self._aftermath = aftermath
        self._expected = expected
        self._chance = chance
        self._share = share
        self._nested = nested
        self._last: dict[str, bytes] = {}

    def __call__(self) -> None:
        state = {path.name: path.read_bytes() for path in self._disk.folder.iterdir()}
        if state == self._last:
            return
        self._last = state
        self._disk.look_at_pages()
        if self._chance.random() < self._share:
            self._aftermath.kill(self._disk, self._expected, nested=self._nested)
            self._aftermath.cut(self._disk, self._chance.choice(MODES), self._expected)


def die_everywhere(campaign: Campaign, chance: random.Random, *, share: float, steps: int) -> None:
    with folder_in_memory() as folder:
        clock = Clock()
        (folder / "live").mkdir()
        disk = SimulatedDisk(folder / "live")
        workload = Workload(folder / "live", chance, clock)
        aftermath = Aftermath(campaign, chance, folder, clock)
        with EveryLine(Deaths(disk, aftermath, workload.expected, chance, share=share)):
            workload.run(disk, steps)


@pytest.mark.slow
def test_a_process_may_die_between_any_two_lines(campaign: Campaign):
    for chance in campaign.rounds(1):
        die_everywhere(campaign, chance, share=0.5, steps=16)


def test_a_process_may_die_between_any_two_lines_of_a_commit(campaign: Campaign):
    """Nothing is left to chance: every state, then every cut of the next writer."""
    chance = next(campaign.rounds(1))
    with folder_in_memory() as folder:
        clock = Clock()
        (folder / "live").mkdir()
        disk = SimulatedDisk(folder / "live")
        expected = Expectation(clock, "always")
        aftermath = Aftermath(campaign, chance, folder, clock)
        deaths = Deaths(disk, aftermath, expected, chance, share=1.0, nested=1.0)
        settings = tiny_settings(disk, clock, 1, "always")
        with contextlib.closing(open_log_store(disk.folder, settings)) as store:
            for number in range(2):
                ops = [Put("a", b"%d" % number, "text/plain")]
                expected.begin(ops)
                with EveryLine(deaths):
                    store.commit(Txn(ops))
                expected.answered(state_of(store))
    assert campaign.faults["kills"] > 6


@pytest.mark.soak
def test_a_process_may_die_between_any_two_lines_for_long(campaign: Campaign):
    for chance in campaign.rounds():
        die_everywhere(campaign, chance, share=1.0, steps=40)
