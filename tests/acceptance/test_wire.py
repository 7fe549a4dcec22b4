"""Test both servers with raw requests that no client library would send."""

from __future__ import annotations

import json
import socket

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import (
    GRANIAN,
    SERVER_NAMES,
    WAITRESS,
    connect,
    port_of,
    start,
)

HEAD = b"Host: x\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def waitress(tmp_path_factory):
    with start(tmp_path_factory.mktemp("waitress"), *WAITRESS) as server:
        yield server


@pytest.fixture(scope="module")
def granian(tmp_path_factory):
    with start(tmp_path_factory.mktemp("granian"), *GRANIAN) as server:
        yield server


@pytest.fixture(params=SERVER_NAMES)
def server(request):
    return request.getfixturevalue(request.param)


def talk(server, data: bytes, *, shut: bool = False) -> bytes:
    """Everything that comes back until the server closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        try:
            while piece := connection.recv(65_536):
                received += piece
        except ConnectionResetError:
            pass  # refused before all of it was read
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


def assert_is_problem(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == status, answer[:300]
    assert b"content-type: application/problem+json" in head.lower()
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert {"title", "detail", "request_id"} <= problem.keys()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /nope", 404),
        (b"GET /v1/kv", 404),
        (b"GET //v1/kv/a", 404),
        (b"GET /v1/kv/", 400),
        (b"GET /v1/kv/%FF", 400),
        (b"GET /v1/kv/a/../b", 400),
        (b"GET /v1/keys?limit=0", 400),
        (b"GET /v1/keys?limit=1&limit=2", 400),
        (b"GET /v1/keys?nonsense=1", 400),
        (b"DELETE /v1/keys", 400),
        (b"POST /v1/keys", 405),
        (b"PATCH /v1/kv/a", 405),
        (b"TRACE /v1/kv/a", 405),
        (b"BREW /v1/kv/a", 405),
        (b"OPTIONS *", 404),
        (b"PUT /v1/kv/a", 411),
        (b"POST /v1/txn", 415),
        (b"GET /v1/kv/" + b"k" * 3_000, 414),
    ],
)
def test_every_error_is_a_problem(server, request_line, status):
    answer = talk(server, request_line + b" HTTP/1.1\r\n" + HEAD + b"\r\n")

    assert_is_problem(answer, status)
    if status == 405:
        assert b"\r\nallow: " in answer.lower()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (b"GET /v1/kv/a b HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (b"GET /v1/kv/\xff HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\n" + HEAD + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"x" * 300_000 + b"\r\n\r\n", 431),
        (b"PUT /v1/kv/a HTTP/1.1\r\n" + HEAD + b"Content-Length: +3\r\n\r\nabc", 400),
        (b"PUT /v1/kv/a HTTP/1.1\r\n" + HEAD + b"Content-Length: 999999999999\r\n\r\nabc", 413),
        (b"PUT /v1/kv/a HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc", 501),
    ],
)
def test_what_waitress_refuses_itself_is_a_problem_too(waitress, data, status):
    assert_is_problem(talk(waitress, data), status)


SMUGGLED = b"PUT /v1/kv/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 70\r\n\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n",
    ],
)
def test_request_hidden_behind_another_is_not_done(server, framing):
    talk(server, b"PUT /v1/kv/front HTTP/1.1\r\nHost: x\r\n" + framing + SMUGGLED, shut=True)

    with connect(server) as connection:
        assert connection.ask("GET", "/v1/kv/smuggled").status == 404


def test_pipelined_requests_are_answered_in_order(server):
    put = b"PUT /v1/kv/pipe HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
    get = b"GET /v1/kv/pipe HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = b"".join(put % number + get for number in range(5))

    answer = talk(server, requests + b"GET /nope HTTP/1.1\r\n" + HEAD + b"\r\n")

    assert answer.count(b"HTTP/1.1 200") == 5
    assert answer.count(b"HTTP/1.1 404") == 1
    bodies = [part.partition(b"\r\n\r\n")[2][:1] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert bodies == [b"0", b"1", b"2", b"3", b"4"]


def test_client_that_waits_for_permission_gets_it_once(server):
    data = (
        b"PUT /v1/kv/expected HTTP/1.1\r\n"
        + HEAD
        + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert status_of(connection.recv(1_000)) in (201, 204)


def test_client_that_waits_for_permission_is_refused_before_it_sends(granian):
    data = (
        b"PUT /v1/kv/a HTTP/1.1\r\n"
        + HEAD
        + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    )

    assert_is_problem(talk(granian, data), 413)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_old_clients_are_served(server, version):
    host = b"Host: x\r\n" if version == b"1.1" else b""
    line = b" HTTP/" + version + b"\r\n" + host + b"Connection: close\r\n"

    put = talk(server, b"PUT /v1/kv/old" + line + b"Content-Length: 3\r\n\r\nabc")

    assert status_of(put) in (201, 204)
    assert talk(server, b"GET /v1/kv/old" + line + b"\r\n").endswith(b"\r\n\r\nabc")


BODIES = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"then": 1}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}, {"op": "jump", "key": "b"}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}, {"op": "delete", "key": "bad"}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}, {"op": "put", "key": ""}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}, {"op": "add", "key": "text"}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}, {"op": "touch", "key": "missing"}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "\\ud800"}]}',
    b'{"then": [{"op": "put", "key": "bad", "base64": "!"}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x", "ttl": -1}]}',
    b'{"then": [{"op": "add", "key": "bad", "by": 9223372036854775808}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}], "if": [{"key": "bad"}]}',
    b'{"then": [{"op": "put", "key": "bad", "text": "x"}], "than": []}',
    b"[" * 100_000,
    b'{"then": [{"op": "put", "key": "bad", "text": "\xff"}]}',
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bad_transaction_changes_nothing(server, body):
    with connect(server) as connection:
        connection.ask("PUT", "/v1/kv/text", b"not a number")
        before = connection.ask("GET", "/v1/stats").json

        answer = connection.ask("POST", "/v1/txn", body, Content_Type="application/json")

        assert answer.status in (400, 422), answer
        assert answer.headers["content-type"] == "application/problem+json"
        after = connection.ask("GET", "/v1/stats").json
        assert connection.ask("GET", "/v1/kv/bad").status == 404
        assert (after["revision"], after["keys"]) == (before["revision"], before["keys"])
