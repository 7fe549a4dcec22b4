"""Test that a server that hangs as a whole falls silent, so that systemd restarts it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.server.helpers.watchdog import Watchdog
from tests.support import PATIENCE_S
from tests.support.processes.servers import RundletServer, ServerProcess, wait_for

SIGN = b"WATCHDOG=1"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a supervisor that asks for a sign of life every 0.2 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield listening


def is_silent(listening: socket.socket) -> bool:
    """Drop what has come, and return whether nothing more comes for five intervals."""
    listening.settimeout(1.0)
    try:
        for _ in range(20):  # more than the socket keeps
            listening.recv(100)
    except TimeoutError:
        return True
    finally:
        listening.settimeout(PATIENCE_S)
    return False


@pytest.mark.parametrize("kind", ["waitress", "granian"])
def test_stopped_server_falls_silent_until_it_goes_on(systemd, tmp_path, kind):
    if kind == "granian":
        pytest.importorskip("granian")
    arguments = ("--data", tmp_path / "data", "--server", kind)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        assert [systemd.recv(100) for _ in range(5)] == [SIGN] * 5
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: is_silent(systemd))
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        assert systemd.recv(100) == SIGN
        assert server.stop() == 0


def test_server_whose_loop_is_blocked_falls_silent(systemd, tmp_path):
    command = [sys.executable, "-m", "tests.support.blocked_loop", "serve", "--port", "0"]
    options = ["--data", str(tmp_path / "data"), "--server", "waitress"]
    with ServerProcess([*command, *options], stderr_path=tmp_path / "stderr") as server:
        port = int(server.wait_for_line("Rundlet ").split(" on ")[1].split()[0].rpartition(":")[2])
        assert [systemd.recv(100) for _ in range(5)] == [SIGN] * 5
        with socket.create_connection(("127.0.0.1", port)) as blocking:
            blocking.sendall(b"GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX-Block: 1\r\n\r\n")
            wait_for(lambda: "the loop is blocked in MainThread" in server.stderr)

            wait_for(lambda: is_silent(systemd))
            assert server.process.poll() is None


@pytest.mark.parametrize("changed", ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"])
def test_server_sends_nothing_that_it_is_not_asked_for(systemd, changed):
    environ = {name: os.environ[name] for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    environ[changed] = "1" if changed == "WATCHDOG_PID" else ""

    with Watchdog(environ):
        assert is_silent(systemd)


def test_name_of_a_socket_that_is_in_no_folder_is_understood():
    name = f"rundlet-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(PATIENCE_S)
        with Watchdog({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "200000"}):
            assert listening.recv(100) == SIGN
