"""Test that memory goes back to the system after a burst of requests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rundlet_server.storage.memory.trimming import TRIM_BYTES, Memory, Trimmer
from tests.support.processes.memory import resident_bytes
from tests.support.processes.servers import RundletServer, silent_clients, wait_for

MIB = 1024 * 1024

_SCATTER_AND_TRIM = """
import ctypes
from rundlet_server.storage.memory import trimming
from rundlet_server.storage.memory.allocator import keep_little_free

def private_mib():
    return trimming._private_bytes() // 2**20

assert keep_little_free()
trimmer = trimming.make_trimmer()
assert trimmer is not None
blocks = [bytes(8_000) for _ in range(12_000)]
kept = blocks[::20]
del blocks
full = private_mib()
trimmer.look()
print(full, private_mib())
"""


class Heap:
    """A heap of which much is unused, until it is trimmed."""

    def __init__(self, unused_bytes: int, *, freed_meanwhile: int = 0) -> None:
        self.unused_bytes = unused_bytes
        self.used_bytes = self._freed_meanwhile = freed_meanwhile
        self.trims = 0

    def memory(self) -> Memory:
        return Memory(self.used_bytes + self.unused_bytes, self.used_bytes)

    def trim(self) -> None:
        self.trims += 1
        self.unused_bytes //= 2
        self.used_bytes -= self._freed_meanwhile
        self.unused_bytes += self._freed_meanwhile
        self._freed_meanwhile = 0


def test_it_is_trimmed_once_when_much_has_become_unused():
    heap = Heap(5 * TRIM_BYTES)
    trimmer = Trimmer(heap.memory, heap.trim)
    trimmer.look()
    assert heap.trims == 0  # it was there before, and is not ours

    heap.unused_bytes += TRIM_BYTES
    for _ in range(5):
        trimmer.look()

    assert heap.trims == 1


def test_it_is_trimmed_after_each_burst():
    heap = Heap(0)
    trimmer = Trimmer(heap.memory, heap.trim)
    for _ in range(5):
        heap.unused_bytes = 2 * TRIM_BYTES
        trimmer.look()
        heap.unused_bytes = 0
        trimmer.look()

    assert heap.trims == 5


def test_what_others_free_during_a_trim_is_not_kept():
    heap = Heap(0, freed_meanwhile=4 * TRIM_BYTES)
    trimmer = Trimmer(heap.memory, heap.trim)
    heap.unused_bytes = 2 * TRIM_BYTES

    for _ in range(5):
        trimmer.look()

    assert heap.trims == 2


def test_little_is_left_alone():
    heap = Heap(0)
    trimmer = Trimmer(heap.memory, heap.trim)
    for _ in range(5):
        heap.unused_bytes = TRIM_BYTES - 1
        trimmer.look()
        heap.unused_bytes = 0
        trimmer.look()

    assert heap.trims == 0


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_pages_between_memory_in_use_are_returned():
    command = [sys.executable, "-c", _SCATTER_AND_TRIM]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    full, trimmed = map(int, done.stdout.split())
    assert trimmed < full - 40


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of processes")
@pytest.mark.parametrize("name", ["waitress", "granian"])
def test_uploads_that_break_off_leave_little_behind(tmp_path, name):
    options = ["--data", tmp_path / "data", "--server", name]
    upload = b"PUT /v1/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with RundletServer(*options, stderr_path=tmp_path / "log") as server:
        with silent_clients(server, 50, upload):
            server.client.get("/v1/kv/a")
        before = resident_bytes(server.process.pid)
        with silent_clients(server, 900, upload + bytes(60_000)):
            wait_for(lambda: resident_bytes(server.process.pid) > before + 50 * MIB)

        wait_for(lambda: resident_bytes(server.process.pid) < before + 30 * MIB)
