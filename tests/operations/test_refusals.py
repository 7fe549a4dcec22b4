"""Test that requests which a server refuses itself are counted as all others are."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import GRANIAN, SERVER_NAMES, WAITRESS, start
from tests.support.processes.servers import RundletServer
from tests.support.wire.prometheus_text import parse
from tests.support.wire.raw_http import read_answers

LONG_HEAD = b"GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX-Long: %s\r\n\r\n" % (b"x" * 70_000)
BAD_CHUNK = b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"
OTHER_VERSION = b"GET /v1/kv/a HTTP/3.1\r\nHost: h\r\n\r\n"


def status_of(server: RundletServer, request: bytes) -> int:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65_536):
            received += part
    (answer,) = read_answers(received)
    return answer.status


def counted(server: RundletServer) -> dict[str, float]:
    """Return how many requests without a route were counted, by status."""
    samples = parse(server.client.get("/metrics").text)["rundlet_http_requests_total"].samples
    rows = [(dict(labels), number) for (_, labels), number in samples.items()]
    return {row["status"]: number for row, number in rows if row["route"] == "none"}


@pytest.mark.parametrize("options", [WAITRESS, GRANIAN[:2]], ids=SERVER_NAMES)
def test_malformed_and_too_large_requests_are_counted_without_a_route(tmp_path, options):
    with start(tmp_path, *options) as server:
        statuses = [status_of(server, request) for request in (LONG_HEAD, LONG_HEAD, BAD_CHUNK)]

        assert statuses == [431, 431, 400]
        assert counted(server) == {"4xx": 3}


def test_a_malformed_request_is_no_failure_of_the_server(tmp_path):
    with start(tmp_path, *WAITRESS) as server:
        assert status_of(server, OTHER_VERSION) == 505

        assert counted(server) == {"5xx": 1}
        assert "version-not-supported" not in server.client.get("/metrics").text
        assert "version-not-supported" not in server.stderr


def test_what_granian_refuses_itself_is_not_counted(tmp_path):
    """If this fails, Granian has learnt to pass them on: then docs/operations.md is out of date."""
    pytest.importorskip("granian")
    with start(tmp_path, *GRANIAN[:2]) as server:
        assert status_of(server, OTHER_VERSION) == 400

        assert counted(server) == {}
