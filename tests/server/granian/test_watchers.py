"""Test a thousand watchers on one event loop: who is woken, what it costs, how they end."""

from __future__ import annotations

import contextlib
import json
import re
import selectors
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
    wait_for,
    wait_for_processes,
    worker_pids,
)

pytest.importorskip("granian")

WATCHERS = 1_000
FEED = "GET /v1/changes?prefix={} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{}\r\n"
WAIT = "GET /v1/kv/{} HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nIf-None-Match: {}\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RundletServer]:
    options = ("--server", "granian", "--workers", "1", "--data", tmp_path / "data")
    limits = ("--max-feeds", str(WATCHERS), "--body-timeout", "2")
    with RundletServer(*options, *limits, stderr_path=tmp_path / "stderr") as served:
        wait_for_processes(served)
        yield served


class Watchers:
    """Connections on which requests wait, in this thread."""

    def __init__(self, server: RundletServer) -> None:
        self._url = httpx.URL(server.url)
        self._stack = contextlib.ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self.received: dict[socket.socket, bytes] = {}

    def open(self, request: str) -> socket.socket:
        connection = self._stack.enter_context(
            socket.create_connection((self._url.host, self._url.port), PATIENCE_S)
        )
        connection.sendall(request.encode())
        self._selector.register(connection, selectors.EVENT_READ)
        self.received[connection] = b""
        return connection

    def receive_until(self, text: bytes, *, by: int = -1) -> None:
        """Receive until so many connections, by default all, have received a text."""
        wanted = len(self.received) if by < 0 else by
        ends_s = time.monotonic() + PATIENCE_S
        while sum(text in received for received in self.received.values()) < wanted:
            assert time.monotonic() < ends_s
            self.receive(PATIENCE_S)

    def receive(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            piece = connection.recv(65_536)
            self.received[connection] += piece
            if not piece:
                self._selector.unregister(connection)

    def forget_received(self) -> None:
        self.received = dict.fromkeys(self.received, b"")

    def __enter__(self) -> Watchers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def put(server: RundletServer, key: str, value: bytes = b"1") -> str:
    answer = server.client.put(f"/v1/kv/{key}", content=value)
    assert answer.status_code in (201, 204)
    return answer.headers["ETag"]


def open_feeds(server: RundletServer) -> int:
    found = re.search(r"^rundlet_feeds_open (\d+)", server.client.get("/metrics").text, re.M)
    assert found
    return int(found[1])


def worker_cpu_s(server: RundletServer) -> float:
    (pid,) = worker_pids(server.process.pid)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_commit_reaches_a_thousand_watchers_and_wakes_no_other(server: RundletServer):
    memory_bytes = resident_bytes(server.process.pid)
    with Watchers(server) as watchers:
        for number in range(WATCHERS):
            watchers.open(FEED.format(f"group-{number % 2}/", ""))
        watchers.receive_until(b"\nid: ")
        grown_bytes = resident_bytes(server.process.pid) - memory_bytes
        refused = server.client.get("/v1/changes?wait=1")
        watchers.forget_received()

        put(server, "group-1/key")
        watchers.receive_until(b"event: put", by=WATCHERS // 2)
        before_s = worker_cpu_s(server)
        for number in range(50):
            put(server, f"unwatched-{number}")
        took_s = worker_cpu_s(server) - before_s
        put(server, "group-0/key")
        put(server, "group-1/last")
        watchers.receive_until(b"/last", by=WATCHERS // 2)
        watchers.receive_until(b"event: put")

        events = [received.count(b"event: ") for received in watchers.received.values()]

    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-feeds")
    assert events == [1, 2] * (WATCHERS // 2)
    assert grown_bytes < WATCHERS * 60 * 1024
    assert took_s < 1.5  # to wake all of them at each commit took 3 s
    wait_for(lambda: open_feeds(server) == 0)  # all places are free again


def test_thousand_requests_wait_for_one_key(server: RundletServer):
    tag = put(server, "flag")
    with Watchers(server) as watchers:
        for _ in range(WATCHERS):
            watchers.open(WAIT.format("flag", tag))
        wait_for(lambda: open_feeds(server) == WATCHERS)
        put(server, "flag/below", b"no")
        watchers.receive(0.1)
        early = [received for received in watchers.received.values() if received]

        put(server, "flag", b"new")
        watchers.receive_until(b"\r\n\r\nnew")

    assert early == []
    wait_for(lambda: open_feeds(server) == 0)


def test_position_of_a_watcher_goes_on_without_changes_for_it(server: RundletServer):
    with Watchers(server) as watchers:
        watchers.open("GET /v1/changes?prefix=a/&wait=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        watchers.open(FEED.format("b/", ""))
        wait_for(lambda: open_feeds(server) == 2)
        for _ in range(5):
            put(server, "b/key")
        watchers.receive_until(b"id: 5\n", by=1)  # so the worker knows all five

        server.process.send_signal(signal.SIGTERM)  # ends the wait
        watchers.receive_until(b'{"events":[],"next_since":5,"oldest_revision":0}', by=1)


def test_revoked_token_ends_feeds_and_waits(server: RundletServer, tmp_path: Path):
    tokens = open_tokens(StoreAddress.of_folder(tmp_path / "data"), None)
    assert tokens is not None
    _, secret = tokens.add("admin", "admin")
    _, short = tokens.add("watcher", "read")
    server.client.headers["Authorization"] = f"Bearer {secret}"
    tag = put(server, "key")
    bearer = f"Authorization: Bearer {short}\r\n"
    with Watchers(server) as watchers:
        for _ in range(20):
            watchers.open(FEED.format("", bearer))
        for _ in range(20):
            watchers.open(WAIT.format("key", tag + "\r\n" + bearer.rstrip()))
        wait_for(lambda: open_feeds(server) == 40)

        assert server.client.delete("/v1/tokens/watcher").status_code == 204
        watchers.receive_until(b"/problems/unauthorized")

    wait_for(lambda: open_feeds(server) == 0)


def test_slow_reader_is_disconnected_and_resumes_without_loss_or_repeat(server: RundletServer):
    values, size = 400, 100_000
    with Watchers(server) as watchers:
        connection = watchers.open(FEED.format("k&include=value", ""))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        wait_for(lambda: open_feeds(server) == 1)
        for number in range(values):
            put(server, f"k{number}", f"{number:06}".encode() * (size // 6))
        wait_for(lambda: open_feeds(server) == 0)  # it reads nothing: the server closes it

        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                watchers.received[connection] += piece
        first = watchers.received[connection]
        events = first[: first.rindex(b"\n\n")].split(b"\n\n")  # the last one may be cut off
        last_id = [line for line in b"\n".join(events).split(b"\n") if line[:4] == b"id: "][-1]
        again = watchers.open(FEED.format("k", f"Last-Event-ID: {last_id[4:].decode()}\r\n"))
        last = re.compile(rb'"key":"k%d"[^\n]*\n' % (values - 1))  # to the end of its line
        while not last.search(watchers.received[again]):
            watchers.receive(PATIENCE_S)
        rest = watchers.received[again].split(b"\n\n")

    def keys(parts: list[bytes]) -> list[str]:
        lines = [line for part in parts for line in part.split(b"\n")]
        return [json.loads(line[6:])["key"] for line in lines if line.startswith(b"data: ")]

    assert 0 < len(keys(events)) < values
    assert keys(events) + keys(rest) == [f"k{number}" for number in range(values)]


def test_erased_value_is_not_in_the_feed_any_more(server: RundletServer):
    with Watchers(server) as watchers:
        watchers.open(FEED.format("", ""))  # has the newest changes kept in memory
        wait_for(lambda: open_feeds(server) == 1)
        put(server, "secret-key")
        put(server, "other")
        watchers.receive_until(b'"other"')

        assert server.client.delete("/v1/history/secret-key").status_code == 200
        again = watchers.open(FEED.format("", "Last-Event-ID: 0\r\n"))
        while b'"op":"erase"' not in watchers.received[again]:
            watchers.receive(PATIENCE_S)

    shown = watchers.received[again]
    assert shown.count(b'"key":"secret-key"') == 1
    assert shown.count(b'"key":"other"') == 1


def test_server_that_stops_ends_a_thousand_feeds_cleanly(server: RundletServer):
    with Watchers(server) as watchers:
        for _ in range(WATCHERS):
            watchers.open(FEED.format("", ""))
        watchers.receive_until(b"\nid: ")
        began_s = time.monotonic()
        code = server.stop()
        took_s = time.monotonic() - began_s
        watchers.receive_until(b"\r\n0\r\n\r\n")  # the end of a chunked answer

    assert code == 0
    assert took_s < PATIENCE_S
    assert server.stderr.count("\n") <= 2  # no complaint
