"""Test that connections leave descriptors to the store if a worker may have few."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.servers import (
    RundletServer,
    ServerProcess,
    silent_clients,
    wait_for,
    worker_pids,
)

pytest.importorskip("granian")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

DESCRIPTORS = 120
READ = b"GET /v1/kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n"


class LimitedServer(RundletServer):
    """``rundlet serve`` with one Granian worker that may have few descriptors."""

    def __init__(self, folder: Path) -> None:
        limit = ["sh", "-c", f'ulimit -S -n {DESCRIPTORS}; ulimit -H -n {DESCRIPTORS}; exec "$@"']
        command = [sys.executable, "-m", "rundlet_server", "serve", "--port", "0"]
        options = ["--server", "granian", "--workers", "1", "--data", str(folder / "data")]
        ServerProcess.__init__(self, [*limit, "sh", *command, *options], stderr_path=folder / "log")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LimitedServer]:
    with LimitedServer(tmp_path) as server:
        yield server


def test_connections_beyond_half_of_the_descriptors_wait(server: LimitedServer):
    server.client.put("/v1/kv/a", content=b"1").raise_for_status()
    server.client.close()
    (worker,) = worker_pids(server.process.pid)
    with silent_clients(server, 2 * DESCRIPTORS, READ) as clients:
        early, late = clients[: DESCRIPTORS // 2], clients[DESCRIPTORS // 2 :]
        answered = [is_answered(client) for client in early]
        late[0].settimeout(0.5)
        is_late_answered = is_answered(late[0])
        taken = len(os.listdir(f"/proc/{worker}/fd"))
        for client in early:
            client.close()
        late[0].settimeout(PATIENCE_S)
        wait_for(lambda: is_answered(late[0]))

    assert all(answered)
    assert not is_late_answered
    assert taken < DESCRIPTORS


def is_answered(client: socket.socket) -> bool:
    """Return whether the answer comes before the timeout of the connection."""
    try:
        return client.recv(1_000).startswith(b"HTTP/1.1 200")
    except TimeoutError:
        return False
