"""Test that a process does not keep the memory that its threads have freed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rundlet_server.storage.memory.allocator import ONE_ARENA, keep_little_free
from tests.support.processes.servers import RundletServer, worker_pids

_ALLOCATE_AND_FREE = """
import ctypes, random, sys, threading
from rundlet_server.storage.memory.allocator import keep_little_free

if sys.argv[1] == "keep little":
    assert keep_little_free()
kept = []

def work(chance):
    bytes(36 << 20)  # after such a block glibc takes smaller ones from its arenas
    for _ in range(30):
        large = [bytes(chance.randrange(1 << 18, 1 << 20)) for _ in range(10)]
        kept.append(bytes(2_000))  # small blocks that live on between the large ones

threads = [threading.Thread(target=work, args=(random.Random(n),)) for n in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open("/proc/self/status") as lines:
    print(next(line.split()[1] for line in lines if line.startswith("RssAnon")))
"""


def resident_kib(how: str) -> int:
    """Return what a process holds after its threads have allocated large blocks and freed them."""
    command = [sys.executable, "-c", _ALLOCATE_AND_FREE, how]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_freed_memory_is_returned_to_the_system():
    little, usual = resident_kib("keep little"), resident_kib("as usual")

    print(f"{little} KiB, {usual} KiB without it")  # noqa: T201 - pytest shows it
    assert little < usual / 2


def test_options_that_the_user_has_set_are_kept():
    assert not keep_little_free({"MALLOC_ARENA_MAX": "4"})
    assert not keep_little_free({"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"})


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_the_arena_that_a_server_allows_its_workers_is_no_option_of_the_user():
    assert keep_little_free({**ONE_ARENA, "HOME": "/"})


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the environment of a process")
@pytest.mark.parametrize("own", [{}, {"MALLOC_ARENA_MAX": "3"}], ids=["none", "own"])
def test_threads_of_libraries_begin_no_arena_in_a_worker(tmp_path, monkeypatch, own):
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    options = ["--data", tmp_path / "data", "--server", "granian"]
    with RundletServer(*options, stderr_path=tmp_path / "log") as server:
        (worker,) = worker_pids(server.process.pid)
        variables = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")

    assert (b"GLIBC_TUNABLES=glibc.malloc.arena_max=1" in variables) is not bool(own)
