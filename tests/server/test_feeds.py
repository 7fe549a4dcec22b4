"""Test feeds on both servers: ends, places, clients that leave or do not read, wake-up."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.tokens.opening import open_tokens
from tests.support import PATIENCE_S
from tests.support.processes.memory import resident_bytes
from tests.support.processes.servers import (
    RundletServer,
    ask_once,
    wait_for,
    wait_for_processes,
    worker_pids,
)

HEAD = "GET /v1/changes{} HTTP/1.1\r\nHost: {}\r\nAccept: application/x-ndjson\r\n\r\n"
PLACES = 3
SERVERS = {
    "waitress": ("--server", "waitress"),
    "granian": ("--server", "granian", "--workers", "2"),
}


class RefusedError(Exception):
    """There was no place for a feed."""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RundletServer]:
    arguments = (*SERVERS[request.param], "--data", tmp_path / "data", "--max-feeds", str(PLACES))
    with RundletServer(*arguments, "--threads", "2", stderr_path=tmp_path / "stderr") as served:
        wait_for_processes(served, 2 if request.param == "granian" else 1)
        yield served


@contextlib.contextmanager
def feed(
    server: RundletServer, query: str = "", *, timeout_s: float = PATIENCE_S
) -> Iterator[socket.socket]:
    """A connection on which a feed has begun."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout_s) as connection:
        connection.sendall(HEAD.format(query, url.host).encode())
        received = b""
        while b"next_since" not in received and b"too-many-feeds" not in received:
            piece = connection.recv(4_096)
            assert piece, received
            received += piece
        if b"too-many-feeds" in received:
            raise RefusedError
        yield connection


def open_feeds(server: RundletServer) -> int:
    text = server.client.get("/metrics").text
    (line,) = [x for x in text.splitlines() if x.startswith("rundlet_feeds_open ")]
    return int(line.split()[1])


def received_until(connection: socket.socket, text: bytes) -> bytes:
    received = b""
    while text not in received:
        piece = connection.recv(65_536)
        assert piece, received
        received += piece
    return received


def test_waiting_requests_never_keep_others_from_being_served(server: RundletServer):
    with contextlib.ExitStack() as stack:
        refused = 0
        for _ in range(50):  # of two workers, one may get more than its places
            try:
                stack.enter_context(feed(server))
            except RefusedError:
                refused += 1
        answers = [server.client.get("/readyz").status_code for _ in range(20)]
        written = server.client.put("/v1/kv/a", content=b"1")
        number = open_feeds(server)

    assert answers == [200] * 20
    assert written.status_code == 201
    assert PLACES <= number <= 2 * PLACES
    assert refused >= 50 - 2 * PLACES


def test_client_that_left_gives_its_place_back_soon(server: RundletServer):
    with feed(server), feed(server):
        wait_for(lambda: open_feeds(server) == 2)

    began_s = time.monotonic()
    wait_for(lambda: open_feeds(server) == 0)

    assert time.monotonic() - began_s < 10


@pytest.mark.parametrize("server", ["granian"], indirect=True)
def test_feeds_of_killed_workers_are_not_counted(server: RundletServer):
    def is_none_counted() -> bool:
        try:
            return open_feeds(server) == 0
        except httpx.HTTPError:
            return False  # the next worker is not there yet

    with feed(server):
        wait_for(lambda: open_feeds(server) == 1)
        for pid in worker_pids(server.process.pid):
            os.kill(pid, signal.SIGKILL)

        wait_for(is_none_counted)


def test_server_that_stops_ends_feeds_promptly(server: RundletServer):
    with feed(server) as connection:
        began_s = time.monotonic()
        code = server.stop()
        took_s = time.monotonic() - began_s
        rest = connection.recv(4_096)

    assert code == 0
    assert took_s < 15
    assert rest in (b"", b"0\r\n\r\n")  # the end of the answer, and not a word


def test_commits_of_every_worker_wake_feeds_of_every_worker(server: RundletServer):
    with feed(server) as first, feed(server) as second:

        def delay_s(number: int) -> float:
            key = f"key-{number}-"
            began_s = time.monotonic()
            # On a new connection: any worker.
            ask_once("PUT", f"{server.url}/v1/kv/{key}", content=b"1")
            for connection in (first, second):
                received_until(connection, key.encode())
            return time.monotonic() - began_s

        # If it polled once a second, each commit would wait for the next poll, as each follows the
        # events of the one before; only the first could be quick by chance.
        delay_s(0)
        delays_s = [delay_s(number) for number in range(1, 20)]
        more = itertools.count(20)
        wait_for(lambda: min(delays_s) < 0.5 or delays_s.append(delay_s(next(more))))


def test_feed_ends_with_the_token(server: RundletServer, tmp_path: Path):
    with feed(server) as connection:
        tokens = open_tokens(StoreAddress.of_folder(tmp_path / "data"), None)
        assert tokens is not None
        tokens.add("first", "read")

        last = received_until(connection, b"/problems/unauthorized")

    assert b'"problem":' in last


def test_reader_that_stops_reading_slows_no_writer_and_takes_no_memory(server: RundletServer):
    value = os.urandom(100_000)
    with contextlib.ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(feed(server, "?include=value&prefix=k"))
        for number in range(20):
            server.client.put(f"/v1/kv/k{number}", content=value)
        before = resident_bytes(server.process.pid)
        for number in range(400):  # the client waits for none of the answers for ever
            server.client.put(f"/v1/kv/k{number % 20}", content=value).raise_for_status()
        grown = resident_bytes(server.process.pid) - before

    assert grown < 60_000_000  # the three feeds would hold 160 MB
