"""Test real processes in which one system call fails, or kills them: each call in turn (T8).

The process runs the workload of the tests on a simulated disk, but on real files: commits, loads,
segments of four records, checkpoints, compactions, a close and an open. Whatever happens to it, the
next process finds every acknowledged write and no partial one, and no error appears that is not one
of the store's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from rundlet_server.storage.settings import SyncPolicy
from tests.support.campaign import Campaign
from tests.support.disks.aftermath import Aftermath
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.disks.strace import CannotTrace, Fault, Trace, attached
from tests.support.models.model import Clock
from tests.support.models.workload import Expectation
from tests.support.processes.stores import PROCESSES
from tests.support.processes.traced_workload import Ended, Told, work

ANSWER_MAX_S = 60
ERRORS = {
    "pwritev2": ["EIO", "ENOSPC"],
    "pwritev": ["EIO", "ENOSPC"],
    "fdatasync": ["EIO", "ENOSPC"],
    "fsync": ["EIO", "ENOSPC"],
    "ftruncate": ["EIO"],
    "rename": ["EIO", "ENOSPC"],
    "renameat": ["EIO", "ENOSPC"],
    "openat": ["EIO", "EMFILE", "ENOSPC"],
    "unlink": ["EIO"],
    "unlinkat": ["EIO"],
    "mmap": ["ENOMEM"],
    "pread64": ["EIO"],
    "getdents64": ["EIO"],
    "flock": [],
    "lseek": [],
    "close": [],
}
"""How each call that the engine makes on its files may fail; at any of them it may die."""


class Traced:
    """Runs of one workload, the same each time but for the fault."""

    def __init__(
        self, campaign: Campaign, chance: random.Random, sync: SyncPolicy, *, steps: int
    ) -> None:
        self._campaign = campaign
        self._chance = chance
        self._seed = chance.getrandbits(32)
        self._sync = sync
        self._steps = steps

    def faults(self) -> list[Fault]:
        """Every fault that this workload can meet; the first of them are one of each kind."""
        with folder_in_memory() as folder:
            pid, trace = self._run(folder, set(), None)
            self._names = trace.names(folder / "live")
            counts = trace.counts(pid)
        kinds = [
            [Fault(call, kind, number) for number in range(1, counts.get(call, 0) + 1)]
            for call, errors in ERRORS.items()
            for kind in (*(f"error={error}" for error in errors), "signal=KILL")
        ]
        for faults in kinds:
            self._chance.shuffle(faults)
        return [fault for each in zip_longest(*kinds) for fault in each if fault is not None]

    def run(self, fault: Fault) -> None:
        with folder_in_memory() as folder:
            _, trace = self._run(folder, self._names, fault)
            self._campaign.count("errors", trace.injected)

    def _run(self, folder: Path, names: set[str], fault: Fault | None) -> tuple[int, Trace]:
        live, log = folder / "live", folder / "strace"
        live.mkdir()
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(
            target=work, args=(live, self._seed, self._sync, self._steps, theirs)
        )
        process.start()
        theirs.close()
        try:
            assert ours.recv() == "ready"
            assert process.pid is not None
            # The folder itself is opened to be synced and listed.
            paths = [live, *(live / name for name in names)] if names else []
            with attached(process.pid, log, list(ERRORS), paths=paths, fault=fault):
                ours.send("go")
                told, ended = drained(ours)
        finally:
            process.kill()
            process.join()
        trace = Trace(log.read_text())
        if ended is None:
            assert fault is not None
            assert fault.is_deadly, fault
            self._campaign.count("kills")
        else:
            assert ended.error is None, f"{fault}: {ended.error}"
            assert ended.refusals <= trace.injected, fault
        self._check(folder, told, str(fault))
        return process.pid, trace

    def _check(self, folder: Path, told: Told | None, context: str) -> None:
        """Whether what is left is what may be there."""
        clock = Clock(told.now_us) if told else Clock()
        expected = Expectation(clock, self._sync)
        if told is not None:
            expected.running = told.possible
        aftermath = Aftermath(self._campaign, random.Random(self._seed), folder, clock)
        aftermath.look(folder / "live", expected, context)


def drained(connection: Connection) -> tuple[Told | None, Ended | None]:
    """The last thing that a process told, and its end if it came to that."""
    told = None
    while True:
        assert connection.poll(ANSWER_MAX_S), "the process hangs"
        try:
            message = connection.recv()
        except (EOFError, ConnectionResetError):
            return told, None
        if isinstance(message, Ended):
            return told, message
        told = message


# --- campaigns ------------------------------------------------------------------------------


def inject(
    campaign: Campaign,
    rounds: Iterator[random.Random],
    sync: SyncPolicy,
    *,
    steps: int,
    count: int | None = None,
) -> None:
    """So many faults of each round, or all while there is time."""
    for chance in rounds:
        traced = Traced(campaign, chance, sync, steps=steps)
        try:
            faults = traced.faults()
        except CannotTrace as ex:
            pytest.skip(str(ex))
        for fault in faults[:count]:
            if count is None and campaign.is_over:
                break
            traced.run(fault)


@pytest.mark.slow
def test_any_system_call_may_fail_or_be_the_last(campaign: Campaign):
    inject(campaign, campaign.rounds(1), "always", steps=20, count=60)

    assert campaign.faults["errors"] > 10
    assert campaign.faults["kills"] > 5


@pytest.mark.soak
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_any_system_call_may_fail_or_be_the_last_for_long(campaign: Campaign, sync: SyncPolicy):
    inject(campaign, campaign.rounds(), sync, steps=40)
