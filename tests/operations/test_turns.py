"""Test that background work asks for long turns at a processor, so that requests do not wait."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from rundlet_server.storage.processor.turns import take_long_turns
from tests.support.processes.servers import RundletServer, children_of, wait_for

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_TURN_MS = 20.0

_TAKE = """
import os, threading
from rundlet_server.storage.processor.turns import take_long_turns

os.nice(3)
assert take_long_turns()
thread = threading.Thread(target=os.read, args=(0, 1))
thread.start()
print(os.getpid(), thread.native_id, os.getpriority(os.PRIO_PROCESS, 0), flush=True)
"""


def turn_ms(thread: int) -> float:
    """Return how long a thread may run before others."""
    buffer = ctypes.create_string_buffer(_ATTRIBUTES.size)
    number = _SCHED_GETATTR[os.uname().machine]
    assert ctypes.CDLL(None).syscall(number, thread, buffer, _ATTRIBUTES.size, 0) == 0
    return float(_ATTRIBUTES.unpack(buffer.raw)[5] / 1e6)


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or os.uname().machine not in _SCHED_GETATTR
    or not turn_ms(0),
    reason="only Linux 6.12 and later have turns of different length",
)


@pytest.fixture(autouse=True)
def usual_turns() -> None:
    """Undo what a backup that ran in this process has done; processes would inherit it."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    usual = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, 0, niceness, 0, 0, 0, 0)
    assert ctypes.CDLL(None).syscall(_SCHED_SETATTR[os.uname().machine], 0, usual, 0) == 0


def test_a_thread_and_those_it_starts_take_long_turns() -> None:
    command = [sys.executable, "-c", _TAKE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first, second, niceness = map(int, process.stdout.readline().split())
        turns_ms = turn_ms(first), turn_ms(second)
        process.communicate(b"x")

    assert turns_ms == (_TURN_MS, _TURN_MS)
    assert niceness == os.getpriority(os.PRIO_PROCESS, 0) + 3


def test_other_machines_and_systems_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    before_ms = turn_ms(0)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "darwin")
        assert not take_long_turns()
    system = os.uname()
    with monkeypatch.context() as patched:
        patched.setattr(os, "uname", lambda: os.uname_result((*system[:4], "vax")))
        assert not take_long_turns()

    assert turn_ms(0) == before_ms


def test_background_processes_take_long_turns_and_requests_do_not(tmp_path: Path) -> None:
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "log") as server:
        usual_ms = turn_ms(server.process.pid)
        [maintenance] = children_of(server.process.pid)
        wait_for(lambda: turn_ms(maintenance) == _TURN_MS)
        follow = ["backup", str(tmp_path / "backups"), "--follow", "--url", server.url]
        command = [sys.executable, "-m", "rundlet_server", *follow]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as backup:
            try:
                wait_for(lambda: turn_ms(backup.pid) == _TURN_MS)
            finally:
                backup.kill()

    assert usual_ms == turn_ms(0)
    assert usual_ms < _TURN_MS
