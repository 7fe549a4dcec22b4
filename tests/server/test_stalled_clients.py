"""Test that servers close connections of stalled clients, and free their memory (T18, T19)."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import processes_of
from tests.support.processes.servers import (
    RundletServer,
    ask_once,
    is_held_by_server,
    silent_clients,
    wait_for,
    wait_for_processes,
)

LAYOUTS = [
    pytest.param(("--server", "waitress", "--threads", "8"), id="waitress"),
    pytest.param(("--server", "granian", "--workers", "2"), id="granian"),
]
TIMEOUTS = ("--header-timeout", "1s", "--body-timeout", "2s", "--idle-timeout", "3s")
MIB = 1024 * 1024

HALF_HEADERS = b"GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nAcc"
HALF_BODY = b"PUT /v1/kv/half HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"
WHOLE = b"GET /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\n"
LARGE = b"GET /v1/kv/large HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(params=LAYOUTS, scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RundletServer]:
    with filled(tmp_path_factory.mktemp("server"), *request.param, *TIMEOUTS) as server:
        yield server


@contextlib.contextmanager
def filled(folder: Path, *options: str) -> Iterator[RundletServer]:
    """A server with a small and a large value."""
    told = ["--data", folder / "data", *options, "--max-connections", "200"]
    with RundletServer(*told, stderr_path=folder / "log") as server:
        wait_for_processes(server, int(options[3]) if "--workers" in options else 1)
        # An idle one ends after three seconds, perhaps when it is about to be used again.
        server.client.headers["Connection"] = "close"
        server.client.put("/v1/kv/a", content=b"1")
        server.client.put("/v1/kv/large", content=bytes(32 * MIB))
        yield server


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server closes it in time; discard what it still sends."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def is_refused(connection: socket.socket, sent: bytes) -> bool:
    time.sleep(0.2)
    try:
        connection.sendall(sent)
    except ConnectionError:
        return True
    return False


def others_are_answered(server: RundletServer, within_s: float = PATIENCE_S) -> None:
    """Each on a connection of its own, so that every worker is asked."""
    for _ in range(10):
        assert ask_once("GET", f"{server.url}/v1/kv/a", timeout=within_s).content == b"1"


def writes_are_taken(server: RundletServer) -> bool:
    return ask_once("PUT", f"{server.url}/v1/kv/b", content=b"2").is_success


@pytest.mark.parametrize(
    "sent", [b"", HALF_HEADERS, HALF_BODY, WHOLE], ids=["nothing", "headers", "body", "idle"]
)
def test_connection_of_a_client_that_stops_is_closed(server: RundletServer, sent: bytes):
    with silent_clients(server, 3, sent) as opened:
        assert all(is_closed(connection) for connection in opened)


def test_connection_that_sends_headers_byte_by_byte_is_closed(server: RundletServer):
    with silent_clients(server, 1, HALF_HEADERS) as [connection]:
        wait_for(lambda: is_refused(connection, b"e"))


def test_body_that_is_slow_but_moves_is_taken(server: RundletServer):
    paused_s = 2.0
    while paused_s > 1.0:  # a busy machine has made the client too slow
        paused_s, answer = sent_slowly(server)

    assert answer.split()[1] in (b"201", b"204")


def sent_slowly(server: RundletServer) -> tuple[float, bytes]:
    """Send a body byte by byte; return the longest pause, and the answer."""
    head = b"PUT /v1/kv/slow HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n"
    moments_s = [time.monotonic()]
    answer = b"none yet"
    with silent_clients(server, 1, head) as [connection], contextlib.suppress(ConnectionError):
        for _ in range(12):
            time.sleep(0.3)
            connection.sendall(b"s")
            moments_s.append(time.monotonic())
        answer = connection.recv(1_000)
    return max(later - earlier for earlier, later in pairwise(moments_s)), answer


def test_half_bodies_give_their_threads_back(server: RundletServer):
    with silent_clients(server, 100, HALF_BODY):
        others_are_answered(server)
        wait_for(lambda: writes_are_taken(server))

    assert server.client.get("/v1/kv/half").status_code == 404


def test_connection_of_a_client_that_does_not_read_is_closed_and_its_memory_freed(
    server: RundletServer,
):
    with silent_clients(server, 4, LARGE) as opened:
        others_are_answered(server)
        for connection in opened:
            wait_for(lambda connection=connection: not is_held_by_server(connection))
        for connection in opened:
            read = 0
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(MIB):
                    read += len(piece)
            assert read < 32 * MIB


def test_client_that_reads_slowly_gets_it_all(server: RundletServer):
    with silent_clients(server, 1, LARGE) as [connection]:
        read = 0
        while read < 32 * MIB:
            piece = connection.recv(MIB)
            assert piece
            read += len(piece)
            time.sleep(0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_requests_sent_ahead_keep_no_thread_from_others(tmp_path: Path, layout):
    """A thread that waits for such a client waits for two minutes; large answers take seconds."""
    with (
        filled(tmp_path, *layout, "--body-timeout", "120s") as server,
        silent_clients(server, 20, LARGE * 3),
    ):
        others_are_answered(server, within_s=PATIENCE_S)


def test_flood_of_connections_makes_room_again(server: RundletServer):
    with silent_clients(server, 500, b""):
        # Each worker makes room for itself, once the time for headers is over.
        wait_for(lambda: all(is_answered(server) for _ in range(10)))


def is_answered(server: RundletServer) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return ask_once("GET", f"{server.url}/v1/kv/a").is_success
    return False


# --- bodies of a gigabyte ------------------------------------------------------------------


def gigabyte(connection: socket.socket, piece: bytes) -> int:
    """Send until the server has enough; the bytes that went out."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 1024 * MIB:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def problem_in(connection: socket.socket) -> dict[str, object]:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.search(rb"(?i)content-type: application/problem\+json", head), answer[:500]
    return json.loads(body)


def peak_mib(server: RundletServer) -> float:
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in processes_of(server.process.pid)]
    return sum(int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) for text in texts) / 1024


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_gigabyte_is_refused_with_a_reason_and_takes_no_memory(
    server: RundletServer, is_chunked: bool
):
    before_mib = peak_mib(server)
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 1073741824"
    piece = b"100000\r\n" + bytes(MIB) + b"\r\n" if is_chunked else bytes(MIB)
    head = b"PUT /v1/kv/giant HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n"
    with silent_clients(server, 1, head) as [connection]:
        sent = gigabyte(connection, piece)
        problem = problem_in(connection)

    assert sent < 1024 * MIB
    assert peak_mib(server) - before_mib < 100
    assert problem["status"] == 413, problem
    assert problem["got"] > problem["limit"]
    others_are_answered(server)


def test_length_that_lies_stores_nothing(server: RundletServer):
    head = b"PUT /v1/kv/lie HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\n\r\n"
    with silent_clients(server, 5, head + bytes(1_000)):
        pass

    wait_for(lambda: writes_are_taken(server))
    assert server.client.get("/v1/kv/lie").status_code == 404


def test_ten_thousand_keys_at_once_keep_nobody_waiting(server: RundletServer):
    keys = [f"many/{number}" for number in range(10_000)]
    for batch in range(10):
        part = keys[batch * 1_000 : (batch + 1) * 1_000]
        then = [{"op": "put", "key": key, "text": "v"} for key in part]
        assert server.client.post("/v1/txn", json={"then": then}).is_success

    items = server.client.post("/v1/mget", json={"keys": keys}).json()["items"]

    assert sum(item["found"] for item in items) == 10_000
    refused = server.client.post("/v1/mget", json={"keys": [*keys, "one more"]})
    assert (refused.status_code, refused.json()["limit"]) == (413, 10_000)
    others_are_answered(server)


# --- what may be known, and the end --------------------------------------------------------


def test_every_limit_is_shown(server: RundletServer):
    limits = server.client.get("/v1").json()["limits"]

    assert limits["header_timeout_s"] == 1
    assert limits["body_timeout_s"] == 2
    assert limits["idle_timeout_s"] == 3
    assert limits["connections_max"] == 200
    assert limits["header_bytes_max"] == 65_536
    assert {"key_bytes_max", "value_bytes_max", "txn_ops_max", "txn_bytes_max"} <= set(limits)
    assert limits["list_keys_max"] == 10_000


def test_headers_over_the_limit_are_431(server: RundletServer):
    answer = server.client.get("/v1/kv/a", headers={"X-Large": "x" * 1_000_000})

    assert answer.status_code == 431


@pytest.mark.parametrize(
    ("layout", "number"),
    [
        (("--server", "waitress"), signal.SIGTERM),
        (("--server", "granian", "--workers", "2"), signal.SIGINT),
    ],
)
def test_stalled_clients_hold_up_the_end_for_seconds_only(
    tmp_path: Path, layout: tuple[str, ...], number: int
):
    options = ["--data", tmp_path / "data", *layout]
    with RundletServer(*options, stderr_path=tmp_path / "log") as server:
        server.client.put("/v1/kv/large", content=bytes(32 * MIB))
        with (
            silent_clients(server, 3, HALF_BODY),
            silent_clients(server, 3, LARGE),
        ):
            time.sleep(0.3)
            began_s = time.monotonic()
            server.process.send_signal(number)

            assert server.wait(25) == 0
            assert time.monotonic() - began_s < 20


@pytest.mark.parametrize(
    "sent",
    [
        b"not http\r\n\r\n",
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
    ],
    ids=["malformed", "too large"],
)
def test_connection_is_freed_though_the_client_keeps_it_after_an_early_answer(
    server: RundletServer, sent: bytes
):
    with silent_clients(server, 1, sent) as [connection]:
        assert connection.recv(65_536).split()[1] in (b"400", b"413")

        wait_for(lambda: not is_held_by_server(connection))
