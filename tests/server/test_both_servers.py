"""Test over real sockets what depends on how a server passes a request on."""

from __future__ import annotations

import http.client
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import falcon
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.limits import body_bytes_max
from rundlet_server.functions.metadata import JOINT
from tests.support import PATIENCE_S, ROOT
from tests.support.models.model import ModelStore
from tests.support.models.on_granian import LIMITS
from tests.support.processes.servers import free_port, wait_for

HAS_GRANIAN = importlib.util.find_spec("granian") is not None


def model_app() -> falcon.App:
    """What waitress serves."""
    return create_app(ModelStore(limits=LIMITS))


@pytest.fixture(scope="module")
def waitress_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    cap = f"--max-request-body-size={body_bytes_max(LIMITS) + 1_000_000}"
    app = "tests.server.test_both_servers:model_app"
    command = ["waitress", "--host=127.0.0.1", cap, "--call", "--port={port}", app]
    yield from serve(command, tmp_path_factory.mktemp("waitress"))


@pytest.fixture(scope="module")
def granian_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    command = ["tests.support.models.on_granian", "{port}"]
    yield from serve(command, tmp_path_factory.mktemp("granian"))


def serve(command: list[str], folder: Path) -> Iterator[int]:
    """The port of a server module in a process of its own, ended afterwards."""
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port=port) for word in command)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(
    params=[
        "waitress",
        pytest.param("granian", marks=pytest.mark.skipif(not HAS_GRANIAN, reason="not installed")),
    ]
)
def port(request: pytest.FixtureRequest) -> int:
    return request.getfixturevalue(f"{request.param}_port")


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class Answer:
    """An answer as it came over the wire."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        self.headers = {
            name.strip().lower(): text.strip()
            for name, _, text in (line.partition(":") for line in lines[1:])
        }


def exchange(
    port: int, method: str, target: str, *headers: str, body: bytes = b"", shut: bool = False
) -> Answer:
    """One request, byte for byte as given, and its answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        pieces = []
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return Answer(b"".join(pieces))


def put(port: int, target: str, value: bytes) -> Answer:
    return exchange(port, "PUT", target, f"Content-Length: {len(value)}", body=value)


def put_chunked(port: int, target: str, body: bytes, *, shut: bool = False) -> Answer:
    return exchange(port, "PUT", target, "Transfer-Encoding: chunked", body=body, shut=shut)


@pytest.mark.parametrize(
    ("encoded", "key64"),
    [
        ("a%2Fb", "YS9i"),
        ("a//", "YS8v"),
        ("%00%0A%7F", "AAp_"),
        ("%F0%9F%98%80", "8J-YgA"),
        ("a+b%20c", "YStiIGM"),
        ("%2525", "JTI1"),
        ("%3F%23", "PyM"),
        ("x;y=1,z", "eDt5PTEseg"),
    ],
)
def test_key_arrives_exactly(port: int, encoded: str, key64: str):
    value = encoded.encode()

    assert put(port, f"/v1/kv/{encoded}", value).status in (201, 204)

    assert exchange(port, "GET", f"/v1/kv64/{key64}").body == value


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/kv/", 400),
        ("/v1/kv/a/../b", 400),
        ("/v1/kv/%2e%2E", 400),
        ("/v1/kv/%FF", 400),
        ("/v1/kv/%C3", 400),
        ("//v1/kv/a", 404),
        ("/v1/kv", 404),
        ("/v1/kv/" + "x" * 2_049, 414),
        ("/v1/kv64/YQ==", 400),
        ("/v1/kv/nothing?rev=%zz", 400),
    ],
)
def test_target_that_names_no_key_is_refused(port: int, target: str, status: int):
    answer = exchange(port, "GET", target)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("target", "status"), [("/v1/kv/%zz", 400), ("/v1/kv/%", 400), ("/v1%2Fkv/a", 404)]
)
def test_mangled_target_is_refused(port: int, target: str, status: int):
    assert exchange(port, "GET", target).status == status


@pytest.mark.parametrize("target", ["http://x/v1/kv/abs?rev=0", "/v1/kv/abs#fragment"])
def test_other_forms_of_the_target_are_understood(port: int, target: str):
    assert exchange(port, "GET", target).status == 404
    assert b"no value for the key 'abs'" in exchange(port, "GET", target).body


def test_metadata_that_comes_twice_is_joined(port: int):
    lines = ["KV-Meta-a: one", "KV-Meta-b: x", "kv-meta-A:  two ", "KV-Meta-A: three,4"]

    exchange(port, "PUT", "/v1/kv/meta", "Content-Length: 0", *lines)

    answer = exchange(port, "HEAD", "/v1/kv/meta")
    assert answer.headers["kv-meta-a"] == JOINT.join(["one", "two", "three,4"])
    assert answer.headers["kv-meta-b"] == "x"


def test_chunked_value_is_stored(port: int):
    body = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"

    assert put_chunked(port, "/v1/kv/chunked", body).status in (201, 204)

    assert exchange(port, "GET", "/v1/kv/chunked").body == b"abcdefg"


def test_chunked_value_over_the_limit_is_413(port: int):
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"

    answer = put_chunked(port, "/v1/kv/large", chunk * 9 + b"0\r\n\r\n")

    assert answer.status == 413
    assert exchange(port, "GET", "/v1/kv/large").status == 404


@pytest.mark.parametrize(
    "body", [b"3\r\nabc\r\n", b"3\r\nabc\r\nzz\r\n", b"-3\r\nabc\r\n0\r\n\r\n"]
)
def test_broken_chunks_are_not_stored(port: int, body: bytes):
    put_chunked(port, "/v1/kv/broken", body, shut=True)

    assert exchange(port, "GET", "/v1/kv/broken").status == 404


def test_large_value_survives(port: int):
    value = bytes(range(256)) * 35_000

    assert put(port, "/v1/kv/big", value).status in (201, 204)

    answer = exchange(port, "GET", "/v1/kv/big")
    assert answer.headers["content-length"] == str(len(value))
    assert answer.body == value


def test_value_over_the_limit_is_refused_by_its_length(port: int):
    answer = exchange(port, "PUT", "/v1/kv/huge", "Content-Length: 9000001", body=b"x" * 9_000_001)

    assert answer.status == 413
    assert b'"limit":9000000,"got":9000001' in answer.body


def test_short_body_is_not_stored(port: int):
    exchange(port, "PUT", "/v1/kv/short", "Content-Length: 10", body=b"abc", shut=True)

    assert exchange(port, "GET", "/v1/kv/short").status == 404


def test_put_without_a_length_is_411(port: int):
    assert exchange(port, "PUT", "/v1/kv/lengthless").status == 411
    assert put(port, "/v1/kv/empty", b"").status in (201, 204)


@pytest.mark.parametrize("length", ["-1", "one", "1, 2"])
def test_length_that_is_none_is_refused(port: int, length: str):
    answer = exchange(port, "PUT", "/v1/kv/wrong", f"Content-Length: {length}", body=b"1")

    assert answer.status == 400


def test_head_tells_the_length_and_sends_nothing(port: int):
    put(port, "/v1/kv/head", b"12345")

    answer = exchange(port, "HEAD", "/v1/kv/head")

    assert answer.status == 200
    assert answer.headers["content-length"] == "5"
    assert answer.body == b""


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n"])
def test_host_is_told_exactly_once(port: int, hosts: bytes):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /v1/keys HTTP/1.1\r\nConnection: close\r\n" + hosts + b"\r\n")
        answer = Answer(connection.recv(65_536))

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_http_1_0_needs_no_host(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")

        assert Answer(connection.recv(65_536)).status == 200


def test_304_and_204_have_no_body(port: int):
    tag = put(port, "/v1/kv/tagged", b"1").headers["etag"]

    not_modified = exchange(port, "GET", "/v1/kv/tagged", f"If-None-Match: {tag}")
    deleted = exchange(port, "DELETE", "/v1/kv/tagged")

    assert (not_modified.status, not_modified.body) == (304, b"")
    assert (deleted.status, deleted.body) == (204, b"")


def test_repeated_condition_headers_are_one_list(port: int):
    tag = put(port, "/v1/kv/twice", b"1").headers["etag"]

    answer = exchange(port, "GET", "/v1/kv/twice", 'If-Match: "x"', f"If-Match: {tag}")

    assert answer.status == 200


def test_connection_goes_on_after_an_error(port: int):
    requests = [("a", b"1"), ("", b"2"), ("a", b"3"), ("a?no=1", b"4" * 1_000_000), ("a", b"5")]
    statuses = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        for key, body in requests:
            connection.request("PUT", f"/v1/kv/{key}", body=body)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status // 100)

    assert statuses == [2, 4, 2, 4, 2]


def test_keys_with_a_prefix_are_deleted_if_there_are_as_many_as_expected(port: int):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:

        def ask(method: str, target: str) -> tuple[int, bytes]:
            connection.request(method, target)
            answer = connection.getresponse()
            return answer.status, answer.read()

        for number in range(3):
            assert ask("PUT", f"/v1/kv/gone/{number}")[0] == 201

        refused, _ = ask("DELETE", "/v1/keys?prefix=gone/&match=*&expect=4")
        status, body = ask("DELETE", "/v1/keys?prefix=gone/&match=*&expect=3")

    assert (refused, status) == (412, 200)
    assert b'"deleted":3' in body
