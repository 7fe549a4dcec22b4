"""Test that slow clients and feeds leave threads to others if the store is behind a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.engines import store_address
from tests.support.processes.servers import (
    RundletServer,
    ask_once,
    is_held_by_server,
    silent_clients,
    wait_for,
)

pytest.importorskip("granian")

THREADS, FEEDS = 2, 3
LONG_S, OTHERS_S_MAX = 120, 30.0
"""A client that does not read is disconnected after the first; others never wait for that."""
LARGE = b"GET /v1/kv/large HTTP/1.1\r\nHost: h\r\n\r\n"
FEED = b"GET /v1/changes HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"
LONG_POLL = b"GET /v1/changes?wait=60 HTTP/1.1\r\nHost: h\r\n\r\n"
SIZE = 16_000_000
"""More than the buffers of a connection hold."""


@contextlib.contextmanager
def serving(folder: Path, timeout_s: int) -> Iterator[RundletServer]:
    """A worker with few threads on a store in PostgreSQL; slow clients may take so long."""
    address = store_address("postgresql", folder)
    layout = ["--server", "granian", "--threads", str(THREADS), "--max-feeds", str(FEEDS)]
    limits = ["--body-timeout", f"{timeout_s}s"]
    log = folder / "stderr"
    with RundletServer("--store", address, *layout, *limits, stderr_path=log) as server:
        server.client.put("/v1/kv/a", content=b"1").raise_for_status()
        server.client.put("/v1/kv/large", content=bytes(SIZE)).raise_for_status()
        yield server


def others_are_answered(server: RundletServer) -> None:
    for _ in range(3):
        for target in ("/v1/kv/a", "/v1/keys", "/v1"):
            assert ask_once("GET", server.url + target, timeout=OTHERS_S_MAX).is_success
        put = ask_once("PUT", f"{server.url}/v1/kv/b", content=b"2", timeout=OTHERS_S_MAX)
        assert put.is_success


def test_slow_readers_and_feeds_leave_threads_to_others(tmp_path: Path):
    with (
        serving(tmp_path, LONG_S) as server,
        silent_clients(server, FEEDS - 1, FEED),
        silent_clients(server, 1, LONG_POLL),
    ):
        wait_for(lambda: f"rundlet_feeds_open {FEEDS}\n" in server.client.get("/metrics").text)
        refused = [server.client.get(f"/v1/changes?wait={wait}") for wait in (0, 1)]
        stream = server.client.get("/v1/changes", headers={"Accept": "text/event-stream"})
        with silent_clients(server, 3 * THREADS, LARGE) as readers:
            for reader in readers:
                assert reader.recv(12) == b"HTTP/1.1 200"
            others_are_answered(server)

    assert [answer.status_code for answer in (*refused, stream)] == [200, 503, 503]
    assert int(stream.headers["Retry-After"]) > 0
    assert stream.json()["type"] == "/problems/too-many-feeds"


def test_slow_reader_is_disconnected_after_the_timeout(tmp_path: Path):
    with serving(tmp_path, 2) as server, silent_clients(server, 3, LARGE) as readers:
        for reader in readers:
            assert reader.recv(12) == b"HTTP/1.1 200"
        for reader in readers:
            wait_for(lambda reader=reader: not is_held_by_server(reader))
            received = 12
            with contextlib.suppress(ConnectionError):
                while piece := reader.recv(1_000_000):
                    received += len(piece)
            assert received < SIZE

        assert server.client.get("/v1/kv/large", timeout=PATIENCE_S).content == bytes(SIZE)
