"""Test which process may write when many open one folder at once, and some die (T16)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.interface import Put, Txn
from tests.support.campaign import Campaign
from tests.support.processes.servers import is_running
from tests.support.processes.stores import ACKNOWLEDGED, PROCESSES, hold, open_tiny, race

RACERS = 50
KILLS_MAX = 10
LOCKS = ("LOCK", "MAINTENANCE")
LOCKED_MAX_S = 10


class Race:
    """Fifty processes that open a folder at the same moment; all are gone when it is run."""

    def __init__(self, folder: Path, boot_id: int, chance: random.Random) -> None:
        self._folder = folder
        self._boot_id = boot_id
        self._chance = chance
        self._racers: list[tuple[ForkServerProcess, Connection]] = []
        self.killed = 0
        self.revisions: list[int] = []

    def run(self) -> None:
        waiting, go = PROCESSES.Pipe(duplex=False)
        try:
            for _ in range(RACERS):
                self._start(waiting)
            waiting.close()
            go.close()
            for process, _ in self._chance.sample(self._racers, self._chance.randint(0, KILLS_MAX)):
                time.sleep(self._chance.uniform(0, 0.03))
                process.kill()
            for process, told in self._racers:
                self._finish(process, told)
        finally:
            for process, _ in self._racers:
                process.kill()
                process.join()

    def _start(self, waiting: Connection) -> None:
        told, tell = PROCESSES.Pipe(duplex=False)
        arguments = (self._folder, self._boot_id, waiting, tell)
        process = PROCESSES.Process(target=race, args=arguments)
        process.start()
        tell.close()
        self._racers.append((process, told))

    def _finish(self, process: ForkServerProcess, told: Connection) -> None:
        while True:
            assert told.poll(60), "a process hangs"
            try:
                self.revisions += ACKNOWLEDGED.unpack(told.recv_bytes())
            except EOFError:
                break
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        self.killed += process.exitcode != 0


def run_races(campaign: Campaign, rounds: Iterator[random.Random], folder: Path) -> None:
    """Race, on what the race before has left; some after a restart, some with broken locks."""
    least = most = boot_id = 0
    folder.mkdir()
    for chance in rounds:
        boot_id += chance.random() < 0.5
        for name in chance.choice([(), LOCKS]):
            (folder / name).write_bytes(chance.randbytes(100))
            campaign.count("broken lock files")
        racing = Race(folder, boot_id, chance)
        racing.run()
        campaign.count("openings", RACERS)
        campaign.count("kills", racing.killed)
        with closing(open_tiny(folder, boot_id=boot_id)) as store:
            entry = store.get("sum")
            found = int(entry.value) if entry else 0
        least += len(racing.revisions)
        most += len(racing.revisions) + racing.killed

        assert len(set(racing.revisions)) == len(racing.revisions)
        assert least <= found <= most
        assert verify(folder).problems == []
        least = most = found


def test_fifty_processes_that_race_write_one_at_a_time(campaign: Campaign, tmp_path: Path):
    run_races(campaign, campaign.rounds(2), tmp_path / "data")


@pytest.mark.soak
def test_fifty_processes_that_race_write_one_at_a_time_for_long(campaign: Campaign, tmp_path: Path):
    run_races(campaign, campaign.rounds(), tmp_path / "data")


def test_a_killed_writer_holds_nobody_up_although_its_child_lives_on(tmp_path: Path):
    told, tell = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=hold, args=(tmp_path, tell))
    process.start()
    child = told.recv()
    try:
        process.kill()
        process.join()
        started_s = time.monotonic()
        with closing(open_tiny(tmp_path)) as store:
            store.commit(Txn([Put("a", b"1")]))

        assert is_running(child)
        assert time.monotonic() - started_s < LOCKED_MAX_S
    finally:
        os.kill(child, signal.SIGKILL)


# The child does nothing that a lock of another thread could hold up.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_turn_of_a_writer_does_not_keep_the_lock(tmp_path: Path):
    with closing(open_tiny(tmp_path)) as store, closing(open_tiny(tmp_path)) as other:
        waiting, go = os.pipe()
        with store._writer.exclusive():
            child = os.fork()
            if child == 0:  # it has every descriptor, that of the lock too
                os.close(go)
                os.read(waiting, 1)
                os._exit(0)
        try:
            other.commit(Txn([Put("a", b"1")]))

            assert store.get("a") is not None
            assert is_running(child)
        finally:
            os.close(go)
            os.close(waiting)
            os.waitpid(child, 0)
