"""``storage.counters``: every operation is counted once, whoever counts it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.counters import OperationCounters


def operations(counters: OperationCounters) -> dict[str, int]:
    totals = counters.totals()
    return {kind: totals[kind] for kind in ("get", "set", "delete")}


def count_in_threads(counters: OperationCounters, *, threads: int, adds: int) -> None:
    def work() -> None:
        for _ in range(adds):
            counters.add("get")
            counters.add("set", 2)
            counters.add("delete", 3)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def count_in_process(directory: Path, threads: int, adds: int) -> None:
    count_in_threads(OperationCounters(directory), threads=threads, adds=adds)


def test_nothing_is_counted_at_first(tmp_path):
    assert set(OperationCounters(tmp_path).totals().values()) == {0}


def test_threads_lose_no_count(tmp_path):
    counters = OperationCounters(tmp_path)

    count_in_threads(counters, threads=8, adds=5_000)

    assert operations(counters) == {"get": 40_000, "set": 80_000, "delete": 120_000}


def test_processes_lose_no_count(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=count_in_process, args=(tmp_path, 4, 2_000)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    totals = operations(OperationCounters(tmp_path))

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert totals == {"get": 24_000, "set": 48_000, "delete": 72_000}


def test_more_threads_at_once_than_one_file_has_slots(tmp_path):
    counters = OperationCounters(tmp_path)
    all_have_counted = threading.Barrier(100)

    def work() -> None:
        counters.add("get")
        all_have_counted.wait()

    workers = [threading.Thread(target=work) for _ in range(100)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert counters.totals()["get"] == 100
    assert len(list(tmp_path.iterdir())) == 2


def test_slots_of_ended_threads_are_used_again(tmp_path):
    counters = OperationCounters(tmp_path)

    for _ in range(300):
        count_in_threads(counters, threads=1, adds=1)

    assert counters.totals()["get"] == 300
    assert len(list(tmp_path.iterdir())) == 1


def test_counts_of_a_killed_process_stay(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from storage.counters import OperationCounters\n"
        "OperationCounters(pathlib.Path(sys.argv[1])).add('set', 7)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert OperationCounters(tmp_path).totals()["set"] == 7


def test_forked_child_counts_for_itself(tmp_path):
    program = (
        "import os, pathlib, sys\n"
        "from storage.counters import OperationCounters\n"
        "counters = OperationCounters(pathlib.Path(sys.argv[1]))\n"
        "counters.add('get')\n"
        "child = os.fork()\n"
        "for _ in range(20_000): counters.add('get')\n"
        "if child: os.waitpid(child, 0)\n"
    )

    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)

    assert OperationCounters(tmp_path).totals()["get"] == 40_001


def test_file_that_is_being_created_counts_as_nothing(tmp_path):
    counters = OperationCounters(tmp_path)
    counters.add("get")
    (tmp_path / "1-new.counts").touch()

    assert counters.totals()["get"] == 1


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """This process can write no byte to a file.

    No fixture: pytest reports before those are undone, perhaps to a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)


def test_full_disk_shares_a_slot_and_loses_no_count(tmp_path):
    counters = OperationCounters(tmp_path)
    may_end = threading.Event()
    ready = threading.Barrier(64)

    def hold_a_slot() -> None:
        counters.add("get")
        ready.wait()
        may_end.wait()

    holders = [threading.Thread(target=hold_a_slot) for _ in range(63)]
    for holder in holders:
        holder.start()
    ready.wait()

    with full_disk():
        count_in_threads(counters, threads=4, adds=1_000)
    may_end.set()
    for holder in holders:
        holder.join()

    assert counters.totals()["get"] == 4_063


def test_full_disk_at_the_start_is_an_error(tmp_path):
    with full_disk(), pytest.raises(OSError, match=os.strerror(27)):
        OperationCounters(tmp_path)
