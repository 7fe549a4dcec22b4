"""Test that a worker whose event loop is blocked is replaced, although its threads run on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes.servers import (
    RundletServer,
    ServerProcess,
    ask_once,
    is_running,
    silent_clients,
    wait_for,
    worker_pids,
)

pytest.importorskip("granian")
from tests.support.blocked_loop import BLOCKED

BLOCK = b"GET /v1 HTTP/1.1\r\nHost: h\r\nX-Block: 1\r\n\r\n"


class FaultyServer(RundletServer):
    """``rundlet serve`` with one Granian worker whose loop a request can block."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.support.blocked_loop", "serve", "--port", "0"]
        options = ["--server", "granian", "--workers", "1", "--data", str(folder / "data")]
        ServerProcess.__init__(self, [*command, *options], stderr_path=folder / "stderr")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    with FaultyServer(tmp_path) as server:
        yield server


def is_answered(server: RundletServer) -> bool:
    """Return whether the loop answers a request on a new connection."""
    try:
        return ask_once("GET", f"{server.url}/v1").is_success
    except httpx.TransportError:  # the worker has just been ended
        return False


def test_worker_whose_loop_is_blocked_is_replaced(server: FaultyServer):
    server.client.put("/v1/kv/a", content=b"1").raise_for_status()
    (blocked,) = worker_pids(server.process.pid)
    with silent_clients(server, 1, BLOCK):
        wait_for(lambda: BLOCKED in server.stderr)
        # A plain GET never reaches the loop.
        beside = ask_once("GET", f"{server.url}/v1/kv/a")
        is_blocked_then = is_running(blocked)
        wait_for(lambda: not is_running(blocked))

    wait_for(lambda: is_answered(server))
    assert (beside.content, is_blocked_then) == (b"1", True)
    assert BLOCKED + "MainThread" in server.stderr
    assert f"the worker process {blocked} has not moved for 15 s" in server.stderr
    assert server.client.get("/v1/kv/a").content == b"1"
    assert server.client.put("/v1/kv/b", content=b"2").is_success
    assert server.stop() == 0
