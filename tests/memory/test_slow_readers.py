"""What slow readers of large answers take in memory, on both servers."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.memory.trimming import TRIM_BYTES
from tests.support.processes.memory import PeakMemory, resident_bytes
from tests.support.processes.servers import (
    RundletServer,
    ask_once,
    is_held_by_server,
    silent_clients,
    wait_for,
    wait_for_processes,
)
from tests.support.wire.raw_http import RawConnection

MIB = 1024 * 1024
SIZE = 48 * MIB
GROWTH_MAX = 96 * MIB
"""The memory that all the slow readers of a test may take together: less than two values."""
TIMEOUTS = ("--header-timeout", "90s", "--body-timeout", "90s", "--idle-timeout", "90s")
GET = b"GET /v1/kv/large HTTP/1.1\r\nHost: h\r\n%s\r\n"
MGET_BODY = b'{"keys": ["large"]}'
MGET = (
    b"POST /v1/mget HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b"Accept: application/cbor\r\nContent-Length: %d\r\n\r\n%s" % (len(MGET_BODY), MGET_BODY)
)

STALLED_S = 4
SMALL_REQUESTS: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "get": lambda client: client.get("/v1/kv/small/0"),
    "get of old": lambda client: client.get("/v1/kv/small/0?rev=2"),
    "head of large": lambda client: client.head("/v1/kv/large"),
    "put": lambda client: client.put("/v1/kv/new", content=b"1"),
    "put of large": lambda client: client.put("/v1/kv/new", content=bytes(2 * MIB)),
    "delete": lambda client: client.delete("/v1/kv/new"),
    "mget": lambda client: client.post("/v1/mget", json={"keys": ["small/0", "small/1"]}),
    "list": lambda client: client.get("/v1/keys"),
    "list of values": lambda client: client.get("/v1/keys?include=value&prefix=small/0"),
    "changes": lambda client: client.get("/v1/changes?since=0&limit=1"),
    "metrics": lambda client: client.get("/metrics"),
}
"""What has little to do with large values, and never waits for those who read them."""


@pytest.fixture(scope="module")
def value() -> bytes:
    return b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(SIZE // 32))


@pytest.fixture(params=["waitress", "granian"], scope="module")
def server(
    request: pytest.FixtureRequest, value: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("server")
    options = ["--data", folder / "data", "--server", request.param, *TIMEOUTS]
    sizes = ["--sync", "never", "--max-sending-bytes", "64MiB"]
    with RundletServer(*options, *sizes, stderr_path=folder / "log") as server:
        wait_for_processes(server)
        server.client.put("/v1/kv/large", content=value).raise_for_status()
        server.client.put("/v1/kv/a", content=b"1").raise_for_status()
        server.client.get("/v1/kv/large").raise_for_status()
        yield server


def others_are_answered(server: RundletServer) -> None:
    for _ in range(10):
        assert ask_once("GET", f"{server.url}/v1/kv/a").content == b"1"


def statuses_of(opened: list[socket.socket]) -> list[int]:
    """Read the status line of every answer, and nothing more."""
    return [int(connection.recv(12)[9:]) for connection in opened]


def in_parallel(count: int, server: RundletServer, request: bytes, method: str) -> list[int]:
    """Send a request on so many connections at once, and return the statuses."""
    statuses: list[int] = []

    def ask() -> None:
        with RawConnection(httpx.URL(server.url).port) as connection:
            statuses.append(connection.ask(method.encode() + request.removeprefix(b"GET")).status)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_a_large_value_comes_whole(server: RundletServer, value: bytes):
    assert server.client.get("/v1/kv/large").content == value


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("131071-131072", 131_071, 131_072),
        ("1000000-9999999", 1_000_000, 9_999_999),
        ("-5", SIZE - 5, SIZE - 1),
        (f"{SIZE - 1}-", SIZE - 1, SIZE - 1),
    ],
)
def test_ranges_of_a_large_value_are_exact(server, value: bytes, asked, first, last):
    answer = server.client.get("/v1/kv/large", headers={"Range": f"bytes={asked}"})

    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.content == value[first : last + 1]


def test_head_of_a_large_value_has_the_headers_of_get(server: RundletServer):
    head = server.client.head("/v1/kv/large")
    got = server.client.get("/v1/kv/large")

    ignored = {"date", "via"}
    assert {k: v for k, v in head.headers.items() if k not in ignored} == {
        k: v for k, v in got.headers.items() if k not in ignored
    }
    assert head.content == b""


def test_readers_who_stop_hold_no_values_in_memory(server: RundletServer):
    with PeakMemory(server.process.pid) as memory:
        with silent_clients(server, 60, GET % b"") as opened:
            statuses = statuses_of(opened)
            others_are_answered(server)
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 8

    assert memory.growth < GROWTH_MAX
    # Their places are free again.
    wait_for(lambda: server.client.get("/v1/kv/large").status_code == 200)


def test_granian_returns_the_memory_of_readers_who_have_left(tmp_path: Path):
    """Granian allocates by itself what it sends."""
    options = ["--data", tmp_path / "data", "--server", "granian", "--sync", "never", *TIMEOUTS]
    with RundletServer(*options, stderr_path=tmp_path / "log") as server:
        wait_for_processes(server)
        server.client.put("/v1/kv/large", content=bytes(8 * MIB)).raise_for_status()
        pid = server.process.pid
        before = resident_bytes(pid)
        with silent_clients(server, 80, GET % b""):
            wait_for(lambda: resident_bytes(pid) > before + 40 * MIB)
        # What is not yet worth a trim may stay, and what Granian keeps for itself: 22 MiB were
        # seen now and then, and no more after the next readers.
        wait_for(lambda: resident_bytes(pid) < before + TRIM_BYTES + 12 * MIB)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_heads_and_ranges_of_a_large_value_do_not_take_its_size(server, method: str):
    request = GET % (b"" if method == "HEAD" else b"Range: bytes=7-7\r\n")
    with PeakMemory(server.process.pid) as memory:
        statuses = in_parallel(24, server, request, method)

    assert set(statuses) <= {200, 206, 503}
    assert method == "GET" or set(statuses) == {200}
    assert memory.growth < GROWTH_MAX // 2


def test_answers_in_memory_are_bounded_over_all_connections(server: RundletServer):
    with PeakMemory(server.process.pid) as memory, silent_clients(server, 30, MGET) as opened:
        statuses = statuses_of(opened)
        others_are_answered(server)
    refused = statuses.count(503)

    assert statuses.count(200) == 1
    assert refused == 29
    assert memory.growth < 4 * SIZE  # one answer: the value, and copies while it is encoded
    wait_for(lambda: server.client.post("/v1/mget", json={"keys": ["large"]}).status_code == 200)


# --- who pays for slow readers ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["waitress", "granian"])
def test_slow_readers_of_large_values_cost_only_other_readers_of_large_ones(
    tmp_path: Path, kind: str
):
    """And those only until the readers have not moved for the time limit."""
    options = ["--data", tmp_path / "data", "--server", kind, "--sync", "never"]
    bounds = ["--max-sending-bytes", "3MiB", "--body-timeout", f"{STALLED_S}s"]
    with RundletServer(*options, *bounds, stderr_path=tmp_path / "log") as server:
        server.client.put("/v1/kv/large", content=bytes(48 * MIB)).raise_for_status()
        for number in range(3):
            small = bytes(LARGE_VALUE_BYTES)
            server.client.put(f"/v1/kv/small/{number}", content=small).raise_for_status()
        with silent_clients(server, 8, GET % b"") as opened:
            statuses = statuses_of(opened)
            answers = {request: ask(server.client) for request, ask in SMALL_REQUESTS.items()}

            assert sorted(statuses) == [200] * 4 + [503] * 4
            readers = [opened[n] for n, status in enumerate(statuses) if status == 200]
            for connection in set(opened) - set(readers):
                refusal = b""
                while not refusal.endswith(b"}"):
                    refusal += connection.recv(4096).lower()
                assert b"\r\nretry-after: 1\r\n" in refusal
                assert b'"/problems/too-many-answers"' in refusal
                assert b"etag" not in refusal  # it is not the value
            assert {answer.status_code for answer in answers.values()} <= {200, 201, 204}, answers
            wait_for(lambda: server.client.get("/v1/kv/large").status_code == 200)
            wait_for(lambda: not any(map(is_held_by_server, readers)))
