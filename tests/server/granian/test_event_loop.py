"""Test what Granian's event loop adds: bodies and waits without threads, and answers that break."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes.servers import RundletServer, silent_clients, wait_for, worker_pids
from tests.support.wire.raw_http import read_answers, talk

pytest.importorskip("granian")

HALF_BODY = b"PUT /v1/kv/half HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + bytes(
    100_000
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("loop")
    options = ["--data", folder / "data", "--server", "granian", "--sync", "never"]
    sizes = ["--max-receiving-bytes", "1MiB"]
    with RundletServer(*options, *sizes, stderr_path=folder / "log") as server:
        yield server


def port_of(server: RundletServer) -> int:
    return httpx.URL(server.url).port or 0


def put(server: RundletServer, *lines: str) -> tuple[int, bytes]:
    """Put a value with these headers; return the status and body of the answer."""
    head = ["PUT /v1/kv/asked HTTP/1.1", "Host: x", "Content-Length: 1", *lines]
    data = "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + b"x"
    (answer,) = read_answers(talk(port_of(server), data, is_whole=True), ["PUT"])
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("line", "status"),
    [("Content-Type: text/\xe9", 400), ("Content-Encoding: gzip, \xe9", 415)],
)
def test_header_bytes_above_127_are_seen(server: RundletServer, line: str, status: int):
    assert put(server, line)[0] == status


def test_header_with_an_underscore_is_not_the_one_with_a_hyphen(server: RundletServer):
    assert put(server)[0] in (201, 204)

    assert put(server, "If_None_Match: *")[0] == 204
    assert put(server, "If-None-Match: *")[0] == 412


def test_one_header_over_the_limit_is_431_with_a_reason(server: RundletServer):
    status, body = put(server, "X-Large: " + "x" * 70_000)

    assert status == 431
    assert json.loads(body)["type"] == "/problems/headers-too-large"
    assert json.loads(body)["limit"] == 65_536


def test_small_method_is_refused_in_the_words_of_the_other_server(server: RundletServer):
    data = b"get /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    (answer,) = read_answers(talk(port_of(server), data, is_whole=True))

    assert answer.status == 400
    assert "must be in upper case" in json.loads(answer.body)["detail"]


def test_requests_of_all_kinds_are_answered_beside_half_bodies(server: RundletServer):
    server.client.put("/v1/kv/a", content=b"1")
    with silent_clients(server, 100, HALF_BODY):
        for _ in range(3):
            answers = [
                server.client.get("/v1/kv/a"),
                server.client.put("/v1/kv/b", content=b"2"),
                server.client.get("/v1/keys"),
                server.client.post("/v1/mget", json={"keys": ["a"]}),
                server.client.get("/metrics"),
            ]
            assert all(answer.is_success for answer in answers)


def test_bodies_that_do_not_fit_into_memory_are_taken_one_after_the_other(server: RundletServer):
    value = bytes(range(256)) * 3_000  # 750 KB, and half of the memory is 512 KiB
    with silent_clients(server, 20, HALF_BODY):
        for number in range(3):
            assert server.client.put(f"/v1/kv/large{number}", content=value).is_success
    assert server.client.get("/v1/kv/large2").content == value


def test_chunks_over_the_limit_of_memory_go_to_a_file(server: RundletServer):
    value = bytes(range(256)) * 20_000  # 5 MB
    pieces = (value[start : start + 100_000] for start in range(0, len(value), 100_000))

    assert server.client.put("/v1/kv/chunked", content=pieces).is_success

    assert server.client.get("/v1/kv/chunked").content == value


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2) is needed")
@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_for_which_there_is_no_disk_space_is_refused(server: RundletServer, is_chunked: bool):
    (worker,) = worker_pids(server.process.pid)
    body = bytes(3_000_000)
    before = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        answer = server.client.put("/v1/kv/spooled", content=iter([body]) if is_chunked else body)
    finally:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)

    assert answer.status_code == 503
    assert "temporary directory" in answer.json()["detail"]
    assert f'"request_id": "{answer.json()["request_id"]}"' in server.stderr
    assert (
        'rundlet_http_failures_total{problem="unavailable"}' in server.client.get("/metrics").text
    )
    assert server.client.get("/v1/kv/spooled").status_code == 404
    assert server.client.put("/v1/kv/after", content=body).is_success
    assert "Traceback" not in server.stderr


def test_feeds_and_long_polls_take_no_threads(server: RundletServer):
    (worker,) = worker_pids(server.process.pid)
    server.client.put("/v1/kv/a", content=b"1")
    feed = b"GET /v1/changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
    poll = b"GET /v1/changes?wait=50 HTTP/1.1\r\nHost: x\r\n\r\n"
    with silent_clients(server, 150, feed) as feeds, silent_clients(server, 150, poll) as polls:
        for opened in feeds:
            assert opened.recv(12).startswith(b"HTTP/1.1 200")
        wait_for(lambda: "rundlet_feeds_open 300" in server.client.get("/metrics").text)
        threads = len(list(Path(f"/proc/{worker}/task").iterdir()))
        server.client.put("/v1/kv/a", content=b"2")
        assert all(opened.recv(12) == b"HTTP/1.1 200" for opened in polls)

    assert threads < 40
    wait_for(lambda: "rundlet_feeds_open 0" in server.client.get("/metrics").text)


def test_client_that_leaves_a_long_poll_gives_its_place_back(server: RundletServer):
    poll = b"GET /v1/changes?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n"
    with silent_clients(server, 5, poll):
        wait_for(lambda: "rundlet_feeds_open 5" in server.client.get("/metrics").text)

    wait_for(lambda: "rundlet_feeds_open 0" in server.client.get("/metrics").text)
