"""Test that ``deploy/nginx.conf`` before a real server changes no request and no answer."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet import BadRequest, Client
from rundlet_server.functions.limits import body_bytes_max
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.storage.interface import Limits
from tests.support import PATIENCE_S
from tests.support.processes.fronts import NGINX, Front, nginx
from tests.support.processes.servers import RundletServer

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["waitress", "granian"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RundletServer]:
    if request.param == "granian":
        pytest.importorskip("granian")
    folder = tmp_path_factory.mktemp("server")
    options = ["--data", folder / "data", "--server", request.param]
    with RundletServer(*options, stderr_path=folder / "log") as server:
        yield server


@pytest.fixture(scope="module")
def front(server: RundletServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with nginx([server.url], tmp_path_factory.mktemp("nginx")) as front:
        yield front


@pytest.fixture
def compressing(server: RundletServer, tmp_path: Path) -> Iterator[Front]:
    """A front without the line that keeps nginx from compressing."""
    with nginx([server.url], tmp_path, {"gzip off;": ""}) as front:
        yield front


def key64(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a%2Fb", "a/b"), ("a//b", "a//b"), ("a/b/", "a/b/"), ("a%25b", "a%b"),
        ("a%2525", "a%25"), ("%C3%A9%E2%82%AC", "é€"), ("%F0%9F%98%80", "😀"), ("a%20b", "a b"),
        ("a+b", "a+b"), ("a%3Fb%23c", "a?b#c"), ("%01%0A", "\x01\n"), ("a;b=c,d", "a;b=c,d"),
        ("x%2F%2Fy", "x//y"), ("http://h/p", "http://h/p"),
    ],
)  # fmt: skip
def test_key_arrives_as_it_was_sent(server: RundletServer, front: Front, encoded: str, key: str):
    value = f"{encoded} for {key!r}".encode()

    assert front.ask("PUT", f"/v1/kv/{encoded}", value).status in (201, 204)

    assert server.client.get(f"/v1/kv64/{key64(key)}").content == value
    assert front.ask("GET", f"/v1/kv/{encoded}").body == value


def test_mangled_targets_reach_no_key(front: Front):
    assert front.ask("GET", "//v1/kv/a").status == 404
    assert front.ask("GET", "/v1/kv/%FF").status == 400


def test_zero_byte_needs_the_other_spelling(front: Front):
    assert front.ask("PUT", "/v1/kv/%00", b"1").status == 400  # of nginx itself
    assert front.ask("PUT", f"/v1/kv64/{key64(chr(0))}", b"1").status in (201, 204)


def test_ranges_and_conditions_go_through(front: Front):
    tag = front.ask("PUT", "/v1/kv/range", b"0123456789").headers["etag"]

    part = front.ask("GET", "/v1/kv/range", Range="bytes=2-4")
    same = front.ask("GET", "/v1/kv/range", If_None_Match=tag)
    beyond = front.ask("GET", "/v1/kv/range", Range="bytes=20-")

    assert (part.status, part.body) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert (same.status, same.body) == (304, b"")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */10")
    assert front.ask("PUT", "/v1/kv/range", b"x", If_None_Match="*").status == 412
    assert front.ask("PUT", "/v1/kv/range", b"x", If_Match=tag).status == 204


def test_answers_keep_their_headers(front: Front):
    front.ask("PUT", "/v1/kv/page", b"<p>", Content_Type="text/html; charset=latin-1")

    answer = front.ask("GET", "/v1/kv/page", Accept_Encoding="gzip")

    assert answer.headers["content-type"] == "text/html; charset=latin-1"
    assert not answer.headers["etag"].startswith("W/")
    assert {"kv-revision", "kv-version", "last-modified"} <= set(answer.headers)
    assert answer.headers["content-security-policy"] == "sandbox"
    assert "content-encoding" not in answer.headers


def test_compression_around_it_leaves_entity_tags_alone(front: Front):
    front.ask("PUT", "/v1/kv/long", b"long " * 1000, Content_Type="text/html")

    read = front.ask("GET", "/v1/kv/long", Accept_Encoding="gzip")
    written = front.ask("PUT", "/v1/kv/long", b"x", If_Match=read.headers["etag"])

    assert read.body == b"long " * 1000
    assert written.status == 204


def test_compression_weakens_entity_tags_as_the_documents_say(compressing: Front):
    tag = compressing.ask("PUT", "/v1/kv/long", b"a" * 100, Content_Type="text/html").headers[
        "etag"
    ]

    weak = compressing.ask("GET", "/v1/kv/long", Accept_Encoding="gzip").headers["etag"]
    same = compressing.ask("GET", "/v1/kv/long", Accept_Encoding="gzip", If_None_Match=weak)
    refused = compressing.ask("PUT", "/v1/kv/long", b"x", If_Match=weak)
    plain = compressing.ask("GET", "/v1/kv/long", Accept_Encoding="identity").headers["etag"]

    assert weak == f"W/{tag}"
    assert same.status == 304
    assert refused.status == 412
    assert "a proxy that compresses" in json.loads(refused.body)["detail"]
    assert plain == tag


def test_problem_and_its_request_id_come_from_the_server(front: Front):
    answer = front.ask("GET", "/v1/kv/nothing")

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("method", ["get", "delete"])
def test_plain_http_to_its_port_is_explained(front: Front, method: str):
    url = f"http://localhost:{front.port}"

    with Client(url, retries=0) as client, pytest.raises(BadRequest) as caught:
        getattr(client, method)("a")

    assert str(caught.value) == f"{url} answers HTTPS only: use https://localhost:{front.port}"


def test_large_values_go_through(front: Front):
    value = bytes(range(256)) * (20 * MIB // 256)

    assert front.ask("PUT", "/v1/kv/large", value).status in (201, 204)

    assert front.ask("GET", "/v1/kv/large").body == value


def test_value_over_the_limit_is_refused_with_a_reason(front: Front):
    answer = front.ask("PUT", "/v1/kv/giant", bytes(65 * MIB))

    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["limit"] == 64 * MIB


def test_chunked_value_arrives_whole(front: Front):
    # nginx gathers it and tells its length, which Granian needs.
    connection = http.client.HTTPSConnection(
        "localhost", front.port, timeout=PATIENCE_S, context=front.context
    )
    connection.request("PUT", "/v1/kv/chunked", body=iter([b"abc", b"defg"]), encode_chunked=True)

    assert connection.getresponse().status in (201, 204)
    connection.close()
    assert front.ask("GET", "/v1/kv/chunked").body == b"abcdefg"


def test_page_of_keys_links_to_one_that_works(front: Front):
    for key in ("list/a", "list/b"):
        front.ask("PUT", f"/v1/kv/{key}", b"1")

    first = front.ask("GET", "/v1/keys?prefix=list%2F&limit=1")
    link = re.fullmatch(r'<(/[^>]*)>; rel="next"', first.headers["link"])
    second = front.ask("GET", link[1])

    assert [item["key"] for item in json.loads(second.body)["keys"]] == ["list/b"]


def test_client_that_stops_in_a_body_reaches_nobody(server: RundletServer, front: Front):
    opened = []
    for _ in range(50):
        plain = socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE_S)
        connection = front.context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(b"PUT /v1/kv/half HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nha")
        opened.append(connection)

    began_s = time.monotonic()
    for number in range(20):
        assert front.ask("PUT", f"/v1/kv/{number}", b"1").status in (201, 204)
    # A request that waited for one of these would wait for the body timeout, 30 s.
    assert time.monotonic() - began_s < 25
    for connection in opened:
        connection.close()


def test_no_body_is_gathered_without_end():
    found = re.search(r"client_max_body_size\s+(\d+)m;", NGINX.read_text())

    assert found is not None
    assert 2 * body_bytes_max(Limits()) < int(found[1]) * MIB < 1024 * MIB


def test_connections_to_the_server_are_kept_shorter_than_it_keeps_them():
    kept = re.search(r"keepalive_timeout\s+(\d+)s", NGINX.read_text())
    limits = ConnectionLimits()

    assert int(kept[1]) < min(limits.header_timeout_s, limits.idle_timeout_s)
