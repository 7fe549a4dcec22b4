"""Test that every operation counts once, whichever thread or process counts it."""

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

from rundlet_server.storage.counting.counters import (
    LATEST,
    SUM_WORD,
    Histogram,
    OperationCounters,
    SharedCounters,
)
from rundlet_server.storage.counting.rows import ROWS_PER_FILE, WORDS


def operations(counters: SharedCounters) -> dict[str, int]:
    return {name: words[0] for name, words in counters.rows().items()}


def count_in_threads(counters: SharedCounters, *, threads: int, adds: int) -> None:
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
    count_in_threads(SharedCounters(directory), threads=threads, adds=adds)


def test_nothing_is_counted_at_first(tmp_path):
    assert SharedCounters(tmp_path).rows() == {}


def test_threads_lose_no_count(tmp_path):
    counters = SharedCounters(tmp_path)

    count_in_threads(counters, threads=8, adds=5_000)

    assert operations(counters) == {"get": 40_000, "set": 80_000, "delete": 120_000}


def test_processes_lose_no_count(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=count_in_process, args=(tmp_path, 4, 2_000)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    totals = operations(SharedCounters(tmp_path))

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert totals == {"get": 24_000, "set": 48_000, "delete": 72_000}


def test_more_threads_at_once_than_one_file_has_rows(tmp_path):
    counters = SharedCounters(tmp_path)
    all_have_counted = threading.Barrier(100)

    def work() -> None:
        counters.add("get")
        all_have_counted.wait()

    workers = [threading.Thread(target=work) for _ in range(100)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert operations(counters)["get"] == 100
    assert len(list(tmp_path.iterdir())) == 2


def test_rows_of_ended_threads_are_used_again(tmp_path):
    counters = SharedCounters(tmp_path)

    for _ in range(300):
        count_in_threads(counters, threads=1, adds=1)

    assert operations(counters)["get"] == 300
    assert len(list(tmp_path.iterdir())) == 1


def test_counts_of_a_killed_process_stay(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from rundlet_server.storage.counting.counters import SharedCounters\n"
        "SharedCounters(pathlib.Path(sys.argv[1])).add('set', 7)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert operations(SharedCounters(tmp_path)) == {"set": 7}


def test_forked_child_counts_for_itself(tmp_path):
    program = (
        "import os, pathlib, sys\n"
        "from rundlet_server.storage.counting.counters import SharedCounters\n"
        "counters = SharedCounters(pathlib.Path(sys.argv[1]))\n"
        "counters.add('get')\n"
        "child = os.fork()\n"
        "for _ in range(20_000): counters.add('get')\n"
        "if child: os.waitpid(child, 0)\n"
    )

    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)

    assert operations(SharedCounters(tmp_path)) == {"get": 40_001}


def test_file_that_is_being_created_counts_as_nothing(tmp_path):
    counters = SharedCounters(tmp_path)
    counters.add("get")
    (tmp_path / "worker-1-1-new.counts").touch()

    assert operations(counters)["get"] == 1


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


def test_full_disk_loses_no_count(tmp_path):
    counters = SharedCounters(tmp_path)
    for number in range(ROWS_PER_FILE):
        counters.add(f"name {number}")

    with full_disk():
        count_in_threads(counters, threads=4, adds=1_000)
    counters.add("get")

    assert operations(counters)["get"] == 4_001
    assert operations(counters)["name 0"] == 1


def test_full_disk_at_the_start_is_an_error(tmp_path):
    with full_disk(), pytest.raises(OSError, match=os.strerror(27)):
        SharedCounters(tmp_path)


def test_without_a_folder_a_process_counts_for_itself():
    counters = SharedCounters()

    count_in_threads(counters, threads=4, adds=1_000)

    assert operations(counters) == {"get": 4_000, "set": 8_000, "delete": 12_000}
    assert operations(SharedCounters()) == {}


def test_histograms_of_all_processes_are_summed_by_bucket(tmp_path):
    histogram = Histogram((10, 20))
    first, second = SharedCounters(tmp_path), SharedCounters(tmp_path)

    for amount in (1, 10, 11):
        first.note("size", histogram, amount)
    second.note("size", histogram, 21)

    words = SharedCounters(tmp_path).rows()["size"]
    assert words[:4] == [2, 1, 1, 0]
    assert words[SUM_WORD] == 43
    assert len(words) == WORDS


def test_latest_of_all_processes_is_the_largest(tmp_path):
    first, second = SharedCounters(tmp_path), SharedCounters(tmp_path)

    first.note_latest(LATEST + "error", 7)
    second.note_latest(LATEST + "error", 9)
    first.note_latest(LATEST + "error", 3)

    assert first.rows()[LATEST + "error"][0] == 9


def test_living_processes_are_told_and_dead_ones_are_not(tmp_path):
    program = (
        "import pathlib, sys\n"
        "from rundlet_server.storage.counting.counters import SharedCounters\n"
        "counters = SharedCounters(pathlib.Path(sys.argv[1]), 'maintenance')\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    counters = SharedCounters(tmp_path)
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        alive = counters.processes()
        other.kill()

    assert [process[:2] for process in alive] == [
        ("worker", os.getpid()),
        ("maintenance", other.pid),
    ]
    assert counters.processes() == alive[:1]
    assert counters.started_us() == alive[0].started_us


def test_operations_leave_out_what_did_not_happen():
    counters = OperationCounters()
    counters.shared.add("something else")

    counters.add("get", 2)

    assert counters.totals() == {"get": 2}
