"""Test that slow clients do not block other clients or make memory grow."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes.servers import (
    RundletServer,
    ask_once,
    children_of,
    silent_clients,
    wait_for,
)

LAYOUTS = [
    pytest.param(("--server", "waitress"), id="waitress"),
    pytest.param(("--server", "granian"), id="granian"),
    pytest.param(("--server", "granian", "--workers", "2"), id="granian"),
]
TIMEOUTS = ("--header-timeout", "90s", "--body-timeout", "90s", "--idle-timeout", "90s")
OTHERS_S_MAX = 30.0
"""Whatever waits for a client that stopped waits for 90 s; a busy machine takes far less."""
HALF_BODY = b"PUT /v1/kv/slow HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"
HALF_HEADERS = b"PUT /v1/kv/slow HTTP/1.1\r\nHost: h\r\nContent-"
HALF_BODY_OF_AN_ERROR = HALF_BODY.replace(b"/v1/kv/slow", b"/v1/none")
HALF_CHUNK = (
    b"PUT /v1/kv/slow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhalf"
)

LONG_POLL = b"GET /v1/changes?since=%d&wait=50 HTTP/1.1\r\nHost: h\r\n\r\n"
EXPORT = b"GET /v1/export HTTP/1.1\r\nHost: h\r\n\r\n"
LIST = b"GET /v1/keys HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(params=LAYOUTS, scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("server")
    options = ["--data", folder / "data", *request.param, *TIMEOUTS]
    with RundletServer(*options, stderr_path=folder / "log") as server:
        server.client.put("/v1/kv/a", content=b"1")
        yield server


def others_are_answered(server: RundletServer) -> None:
    """Each on a connection of its own, so that every worker is asked."""
    for _ in range(10):
        assert ask_once("GET", f"{server.url}/v1/kv/a", timeout=OTHERS_S_MAX).content == b"1"
        assert ask_once("GET", f"{server.url}/v1/kv/none", timeout=OTHERS_S_MAX).status_code == 404


@pytest.mark.parametrize(
    "sent",
    [HALF_BODY, HALF_HEADERS, HALF_BODY_OF_AN_ERROR, HALF_CHUNK, b""],
    ids=["body", "headers", "body of an error", "chunk", "nothing"],
)
def test_half_a_request_keeps_nobody_else_waiting(server: RundletServer, sent: bytes):
    with silent_clients(server, 100, sent):
        others_are_answered(server)

    wait_for(lambda: server.client.put("/v1/kv/b", content=b"2").status_code in (201, 204))


def test_idle_connections_keep_nobody_else_waiting(server: RundletServer):
    request = b"GET /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\n"
    with silent_clients(server, 200, request) as opened:
        for connection in opened:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        others_are_answered(server)


def test_clients_that_go_in_the_middle_leave_nothing_behind(server: RundletServer):
    for _ in range(5):
        with silent_clients(server, 50, HALF_BODY):
            pass

    others_are_answered(server)
    wait_for(lambda: server.client.put("/v1/kv/c", content=b"3").status_code in (201, 204))
    assert server.client.get("/v1/kv/slow").status_code == 404


def test_clients_that_do_not_read_their_answers_keep_nobody_waiting(server: RundletServer):
    large = b"x" * 8_000_000
    server.client.put("/v1/kv/large", content=large)
    request = b"GET /v1/kv/large HTTP/1.1\r\nHost: h\r\n\r\n"
    with silent_clients(server, 20, request):
        others_are_answered(server)


@pytest.mark.parametrize("framing", ["Content-Length: 1073741824", "Transfer-Encoding: chunked"])
def test_giant_body_is_refused_before_it_is_read(server: RundletServer, framing: str):
    before = memory_bytes(server)
    sent = f"PUT /v1/kv/giant HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode()
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with silent_clients(server, 1, sent, timeout_s=20) as (
        connection,
    ):  # the limit lies below 1 GB
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(0 if "Length" in framing else 1_000):
                connection.sendall(piece)
        with contextlib.suppress(ConnectionError, TimeoutError):
            answer = connection.recv(65_536)

    others_are_answered(server)
    assert answer == b"" or answer.split()[1] == b"413"
    if "Length" in framing:
        assert b"application/problem+json" in answer
    assert memory_bytes(server) - before < 200_000_000


def memory_bytes(server: RundletServer) -> int:
    """Private memory of the server and its workers."""
    total = 0
    for pid in (server.process.pid, *children_of(server.process.pid)):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_Dirty:"):
                    total += int(line.split()[1]) * 1024
    return total


def test_plain_get_is_answered_by_waitress_while_every_thread_is_busy(tmp_path: Path):
    """A slow reader of an export has one thread, and a long poll the other."""
    options = ["--data", tmp_path / "data", "--server", "waitress", "--sync", "never", *TIMEOUTS]
    layout = ["--threads", "1", "--max-feeds", "1", "--max-exports", "1"]
    with RundletServer(*options, *layout, stderr_path=tmp_path / "log") as server:
        server.client.put("/v1/kv/a", content=b"1")
        for number in range(5):
            server.client.put(f"/v1/kv/large{number}", content=bytes(8_000_000))
        poll = LONG_POLL % server.client.get("/v1/keys").json()["revision"]
        with silent_clients(server, 1, poll), silent_clients(server, 1, EXPORT) as [reader]:
            assert reader.recv(12) == b"HTTP/1.1 200"
            with silent_clients(server, 1, LIST) as [waiting]:
                got = ask_once("GET", f"{server.url}/v1/kv/a", timeout=OTHERS_S_MAX)
                is_list_answered = bool(select.select([waiting], [], [], 0)[0])

    assert got.content == b"1"
    assert not is_list_answered
