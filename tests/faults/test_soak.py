"""Test a server for long under mixed load, kills, compactions, slow clients, full disks (T24).

A follower of the change feed must come to hold the same values as the clients that write them.

Clocks that jump are not part of it: ``test_model`` has a clock that can be moved.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from rundlet_server.storage.care import verify
from tests.support.campaign import Campaign
from tests.support.disks.small_disk import free_bytes, mounted, used_bytes
from tests.support.processes.killed_servers import (
    SERVER_NAMES,
    SERVERS,
    connect,
    kill_whole,
    port_of,
    processes_of,
    start,
)
from tests.support.processes.servers import (
    RundletServer,
    is_running,
    silent_clients,
    wait_for,
    worker_pids,
)
from tests.support.processes.soak_client import SoakClient
from tests.support.processes.soak_follower import SoakFollower

MIB: Final = 1024 * 1024
DISK_BYTES: Final = 64 * MIB
CLIENTS: Final = 4
ROUNDS: Final = 8
"""Of the short form; of fewer nothing can be said about growth."""
DISTURBANCES: Final = ["compactions", "kills", "slow clients", "full disks", "quiet rounds"]
WAIT_S: Final = 60
"""A killed maintenance process is started again later and later."""
OVERHEAD_BYTES_MAX: Final = 6 * MIB
"""Of a folder beside twice what it holds, on a disk that a tmpfs rounds up to pages."""
PROCESS_BYTES_MAX: Final = 256 * MIB
GROWTH_BYTES_MAX: Final = 24 * MIB
"""Of a process's own memory, from the first half of a run to the second.

It rises by 18 MiB and falls again with every 7,000 answers: about as many as a fast machine gives
in the short form.
"""
GROWTH_DESCRIPTORS_MAX: Final = 8

SLOW_EACH: Final = 8
HALF_A_BODY: Final = b"PUT /v1/kv/never HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf"
UNREAD_LIST: Final = b"GET /v1/keys?include=value HTTP/1.1\r\nHost: h\r\n\r\n"

both_servers = pytest.mark.parametrize("options", SERVERS, ids=SERVER_NAMES)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder; on a small file system of its own, to be filled, where one can be made."""
    with mounted(tmp_path / "disk", DISK_BYTES) as folder:
        yield folder


@pytest.mark.parametrize(
    ("readings", "growth"),
    [
        ([5] * ROUNDS, 0),
        ([1] + [9] * ROUNDS, 0),
        ([*range(ROUNDS)], ROUNDS // 2),
        ([3] + [2] * ROUNDS, -1),
        ([1, 9], 0),
    ],
)
def test_growth_is_told_from_warming_up(readings, growth):
    assert growth_of(readings) == growth


@pytest.mark.slow
@both_servers
def test_a_disturbed_server_does_not_grow(campaign, disk, tmp_path, options):
    soak(campaign, campaign.rounds(ROUNDS), disk, tmp_path, options)


@pytest.mark.soak
@both_servers
def test_a_disturbed_server_does_not_grow_for_long(campaign, disk, tmp_path, options):
    soak(campaign, campaign.rounds(), disk, tmp_path, options)


def soak(campaign, rounds, disk, folder, options) -> None:
    """Disturb one server round after round; look at everything in between, and after its death."""
    clients = [SoakClient(number, campaign.seed) for number in range(CLIENTS)]
    settings = (*options, "--keep-for", "0s", "--keep-versions", "1", "--data", disk / "store")
    # A thread opens a file of counters when it is first used: few threads, so that all are soon.
    settings += ("--max-feeds", "2")
    with start(folder, *settings) as server, SoakFollower(port_of(server), "soak ") as follower:
        gauge = Gauge(server, disk)
        for chance in rounds:
            kind = DISTURBANCES[campaign.seed % len(DISTURBANCES)]
            unanswered = count_of(clients, "requests without an answer")
            with working(server, clients):
                time.sleep(chance.uniform(0, 0.3))
                disturb(kind, server, gauge, chance)
                time.sleep(chance.uniform(0, 0.3))
            campaign.count(kind)
            if kind != "kills":
                assert count_of(clients, "requests without an answer") == unanswered
            check_all(server, clients)
            check_follower(follower, clients)
            gauge.read(sum(client.held_bytes for client in clients))
        kill_whole(server)
    gauge.check(campaign)
    with start(folder, *settings) as server:
        check_all(server, clients)
        assert server.stop() == 0
    assert verify(disk / "store").problems == []
    for kind in clients[0].counts:
        campaign.count(kind, count_of(clients, kind))
    for kind, count in follower.counts.items():
        campaign.count(kind, count)


def count_of(clients, kind) -> int:
    return sum(client.counts[kind] for client in clients)


def check_all(server, clients) -> None:
    for client in clients:
        client.check(port_of(server))


def check_follower(follower, clients) -> None:
    """The feed comes to tell the follower what the writers know."""
    held = {key: value for client in clients for key, value in client.held.items()}

    def is_there() -> bool:
        follower.raise_error()
        return follower.held == held

    wait_for(is_there)


@contextlib.contextmanager
def working(server, clients) -> Iterator[None]:
    """Each client does its things in a thread of its own meanwhile; an error is raised here."""
    over = threading.Event()
    port = port_of(server)
    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(client.work, port, over) for client in clients]
        try:
            yield
        finally:
            over.set()
        for client in running:
            client.result()


def disturb(kind, server, gauge, chance) -> None:
    match kind:
        case "compactions":
            compact(server)
        case "kills":
            victim = chance.choice(wait_for(gauge.mortal_pids, WAIT_S))
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            wait_for(lambda: not is_running(victim))
        case "slow clients":
            with (
                silent_clients(server, SLOW_EACH, HALF_A_BODY),
                silent_clients(server, SLOW_EACH, UNREAD_LIST),
            ):
                time.sleep(chance.uniform(0.3, 0.6))
        case "full disks" if gauge.disk.is_mount():
            with connect(server) as connection:
                with filled(gauge.disk, until=lambda: put_more(connection) == 507):
                    time.sleep(chance.uniform(0, 0.3))
                assert put_more(connection) in (201, 204)


def put_more(connection) -> int:
    return connection.ask("PUT", "/v1/kv/more", bytes(10_000)).status


@contextlib.contextmanager
def filled(disk: Path, *, until: Callable[[], bool]) -> Iterator[None]:
    """Something else takes up nearly all of the disk, although others write and remove there."""
    filler = disk / "filler"

    def is_full() -> bool:
        with contextlib.suppress(OSError), filler.open("ab") as file:  # others may be quicker
            file.write(bytes(max(0, free_bytes(disk) - MIB // 2)))
        return until()

    try:
        wait_for(is_full, WAIT_S)
        yield
    finally:
        filler.unlink(missing_ok=True)


def compact(server) -> None:
    with connect(server) as connection:
        assert connection.ask("POST", "/v1/admin/compact").status == 202


class Gauge:
    """What a server takes up, measured after each round.

    Attributes:
        disk: with the folder of the store, and nothing else.
        steady_pids: processes that are never killed.
    """

    def __init__(self, server: RundletServer, disk: Path) -> None:
        self.disk = disk
        self._server = server
        self.steady_pids = [server.process.pid, *sorted(worker_pids(server.process.pid))[:1]]
        self._memory: dict[int, list[int]] = {pid: [] for pid in self.steady_pids}
        self._descriptors: dict[int, list[int]] = {pid: [] for pid in self.steady_pids}

    def mortal_pids(self) -> list[int]:
        """The other processes, as many as there are now."""
        return sorted(set(processes_of(self._server.process.pid)) - set(self.steady_pids))

    def read(self, held_bytes: int) -> None:
        """Have it compacted, so that there is nothing but what must be, and measure."""
        with contextlib.suppress(OSError):  # the worker that is asked may be dying
            compact(self._server)
        allowed = 2 * held_bytes + OVERHEAD_BYTES_MAX
        wait_for(lambda: self._disk_bytes() < allowed, WAIT_S)
        for pid in processes_of(self._server.process.pid):
            assert memory_of(pid) < PROCESS_BYTES_MAX
        for pid in self.steady_pids:
            self._memory[pid].append(memory_of(pid))
            self._descriptors[pid].append(len(os.listdir(f"/proc/{pid}/fd")))

    def check(self, campaign: Campaign) -> None:
        """No process has grown since the first half of the rounds."""
        growth = max(map(growth_of, self._memory.values()))
        assert growth < GROWTH_BYTES_MAX, self._memory
        campaign.count("KiB of memory more", growth // 1024)
        growth = max(map(growth_of, self._descriptors.values()))
        assert growth < GROWTH_DESCRIPTORS_MAX, self._descriptors
        campaign.count("descriptors more", growth)

    def _disk_bytes(self) -> int:
        """What is used of the disk, also by files that are removed and still open."""
        if self.disk.is_mount():
            return DISK_BYTES - free_bytes(self.disk)
        return used_bytes(self.disk / "store")


def growth_of(readings: list[int]) -> int:
    """By how much the most of the second half is above that of the first."""
    if len(readings) < ROUNDS:
        return 0
    half = len(readings) // 2
    return max(readings[half:]) - max(readings[:half])


def memory_of(pid: int) -> int:
    """Bytes of memory that are a process's own; pages of files that it has mapped are not."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0  # it has just ended
    return int(found[1]) * 1024 if found else 0
