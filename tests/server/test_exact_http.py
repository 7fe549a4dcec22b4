"""Test over raw sockets what RFC 9110 and 9112 ask of a server, on both servers."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import GRANIAN, SERVER_NAMES, WAITRESS, port_of, start
from tests.support.wire.raw_http import Answer, RawConnection, read_answers, talk

AT_ONCE_S = 10  # less than the time that a server waits for the rest of a head
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def waitress_port(tmp_path_factory) -> Iterator[int]:
    with start(tmp_path_factory.mktemp("waitress"), *WAITRESS, "--sync", "never") as server:
        yield port_of(server)


@pytest.fixture(scope="module")
def granian_port(tmp_path_factory) -> Iterator[int]:
    with start(tmp_path_factory.mktemp("granian"), *GRANIAN, "--sync", "never") as server:
        yield port_of(server)


@pytest.fixture(params=SERVER_NAMES)
def port(request) -> int:
    return request.getfixturevalue(f"{request.param}_port")


def get(*lines: str, target: str = "/livez", version: str = "1.1") -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/{version}", "Host: x", *lines))
    return (head + "\r\n").encode()


def answer_to(port: int, data: bytes) -> Answer:
    """Send a request after which the server closes the connection."""
    (answer,) = read_answers(talk(port, data, is_whole=True))
    return answer


def detail_of(answer: Answer) -> str:
    return json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    "options",
    [
        "close",
        "Close",
        "TE, close",
        "close, TE",
        "Close , keep-alive",
        "keep-alive,close",
        " ,close",
    ],
)
def test_connection_is_closed_if_one_of_its_options_is_close(port: int, options: str):
    answer = answer_to(port, get(f"Connection: {options}"))

    assert answer.status == 200


@pytest.mark.parametrize("lines", [("Connection: TE", "Connection: close"), ("connection: CLOSE",)])
def test_close_counts_in_every_connection_header(port: int, lines: tuple[str, ...]):
    assert answer_to(port, get(*lines)).status == 200


@pytest.mark.parametrize("options", ["TE", "keep-alive", "closed", "x-close, TE", '"close"'])
def test_connection_stays_open_without_the_option_close(port: int, options: str):
    with RawConnection(port) as connection:
        for _ in range(3):
            assert connection.ask(get(f"Connection: {options}")).status == 200


def test_http_1_0_stays_open_if_keep_alive_is_among_the_options(port: int):
    with RawConnection(port) as connection:
        for _ in range(2):
            line = "Connection: TE, Keep-Alive"
            assert connection.ask(get(line, version="1.0")).status == 200


@pytest.mark.parametrize("version", ["2.0", "3.0", "0.9"])
def test_other_major_version_is_505(waitress_port: int, version: str):
    answer = answer_to(waitress_port, get(version=version))

    assert answer.status == 505
    assert "use HTTP/1.1" in detail_of(answer)


def test_higher_minor_version_is_answered_as_1_1(waitress_port: int):
    received = talk(waitress_port, get("Connection: close", version="1.2"), is_whole=True)

    assert received.startswith(b"HTTP/1.1 200")


def at_once(port: int, data: bytes) -> Answer:
    """Send what is not a request, and do not end it; the answer must come all the same."""
    began_s = time.monotonic()
    answer = answer_to(port, data)
    assert time.monotonic() - began_s < AT_ONCE_S
    return answer


@pytest.mark.parametrize("piece_bytes", [1, 10_000])
def test_tls_on_the_http_port_is_400_at_once(waitress_port: int, piece_bytes: int):
    hello = client_hello()
    with socket.create_connection(("127.0.0.1", waitress_port), timeout=AT_ONCE_S) as client:
        with contextlib.suppress(ConnectionError):  # the server may close before all is sent
            for position in range(0, len(hello), piece_bytes):
                client.sendall(hello[position : position + piece_bytes])
        received = b"".join(iter(lambda: client.recv(65_536), b""))

    (answer,) = read_answers(received)
    assert answer.status == 400
    assert "TLS" in detail_of(answer)


def client_hello() -> bytes:
    """The first bytes of a TLS client."""
    context = ssl.create_default_context()
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def test_client_that_speaks_tls_fails_at_once(waitress_port: int):
    began_s = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", waitress_port), timeout=PATIENCE_S) as plain,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")

    assert time.monotonic() - began_s < AT_ONCE_S


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"\x16x",
        b"SSH-2.0-x\r\n\n",
        b" GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\nHost: x\n",
        b"GET / HTTP/1.1\rHost: x",
        b"\n",
    ],
)
def test_what_can_never_become_a_request_is_400_at_once(waitress_port: int, data: bytes):
    assert at_once(waitress_port, data).status == 400


@pytest.mark.parametrize("version", ["2.0", "1.x"])
def test_what_waitress_refuses_is_kept_by_no_cache(waitress_port: int, version: str):
    answer = answer_to(waitress_port, get(version=version))

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("query", ["", "?include=value"])
def test_count_of_keys_is_answered_without_a_body_and_a_length(port: int, query: str):
    with RawConnection(port) as connection:
        put = get("Content-Length: 1", target="/v1/kv/counted").replace(b"GET", b"PUT", 1)
        connection.ask(put + b"x")
        counted = talk(port, head(f"/v1/keys{query}", "Connection: close"), is_whole=True)
        counts = [connection.ask(head(f"/v1/keys{query}")) for _ in range(2)]
        page = connection.ask(get(target="/v1/keys"))  # on the same connection

    lines = counted.lower()
    assert counted.endswith(b"\r\n\r\n")
    assert counted.count(b"\r\n\r\n") == 1
    assert b"content-length" not in lines
    assert b"transfer-encoding" not in lines
    assert all(int(count.headers["kv-count"]) >= 1 for count in counts)
    assert (page.status, json.loads(page.body)["prefixes"]) == (200, [])


def head(target: str, *lines: str) -> bytes:
    return get(*lines, target=target).replace(b"GET", b"HEAD", 1)


def test_empty_line_before_a_request_is_ignored(port: int):
    assert answer_to(port, b"\r\n" + get("Connection: close")).status == 200


@pytest.mark.parametrize("target", ["/v1/keys?prefix=café", "/v1/kv/café", "//é"])
def test_target_that_is_not_ascii_is_told_how_to_encode_it(port: int, target: str):
    answer = answer_to(port, get("Connection: close", target=target))

    assert answer.status == 400
    assert "percent-encode every byte" in detail_of(answer)
    assert target.replace("é", "%C3%A9") in detail_of(answer)


@pytest.mark.parametrize(
    "line", ["A: b\r\n c", "A: b\r\n\tc", "A : b", "A\x01: b", "A: \x01", ": b"]
)
def test_malformed_header_is_400(port: int, line: str):
    assert answer_to(port, get("Connection: close", line)).status == 400


def test_blanks_around_a_value_do_not_belong_to_it(port: int):
    with RawConnection(port) as connection:
        line = "Content-Type: \t  text/x-blanks \t "
        put = get(line, "Content-Length:\t1  ", target="/v1/kv/blanks").replace(b"GET", b"PUT")
        assert connection.ask(put + b"x").status in (201, 204)

        answer = connection.ask(get(target="/v1/kv/blanks"))

    assert answer.headers["content-type"] == "text/x-blanks"


@pytest.mark.parametrize(
    ("coding", "status"),
    [("chunked, chunked", 400), ("", 400), (",", 400), ("gzip, chunked", 501)],
)
def test_transfer_coding_that_is_not_chunked_is_refused(port: int, coding: str, status: int):
    data = get(f"Transfer-Encoding: {coding}", "Connection: close").replace(b"GET", b"PUT")

    assert answer_to(port, data + b"0\r\n\r\n").status == status


def test_transfer_coding_without_chunks_is_refused(port: int):
    data = get("Transfer-Encoding: identity", "Connection: close").replace(b"GET", b"PUT")

    assert answer_to(port, data).status in (501, 400)  # on Granian its own answer


BAD_CHUNKS = [
    b"3\nabc\r\n0\r\n\r\n",
    b"3;\n\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"+3\r\nabc\r\n0\r\n\r\n",
    b"\r\n3\r\nabc\r\n0\r\n\r\n",
    b"1;aaaaaaaa=bbbbbbbb\r\nx\r\n" * 20_000,
]
STRANGE_CHUNKS = [  # hyper, below Granian, takes them, or waits for more
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nA : b\r\n\r\n",
    b"3\r\nabc\r\n0\r\nA: b\n\r\n",
    b"3;" + b"x" * 5_000,
    b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 20_000,
]


@pytest.mark.parametrize("chunks", BAD_CHUNKS, ids=lambda chunks: repr(chunks[:20]))
def test_malformed_chunks_are_400_and_store_nothing(port: int, chunks: bytes):
    head = get("Transfer-Encoding: chunked", target="/v1/kv/chunked").replace(b"GET", b"PUT")

    assert at_once(port, head + chunks).status == 400
    absent = get("Connection: close", target="/v1/kv/chunked")
    assert answer_to(port, absent).status == 404


@pytest.mark.parametrize("chunks", STRANGE_CHUNKS, ids=lambda chunks: repr(chunks[:20]))
def test_chunks_that_two_servers_could_read_differently_are_400(waitress_port: int, chunks: bytes):
    test_malformed_chunks_are_400_and_store_nothing(waitress_port, chunks)


@pytest.mark.parametrize(
    "chunks",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"1\r\na\r\n1\r\nb\r\n01\r\nc\r\n0\r\n\r\n",
        b'3;name=value;quoted="a;b"\r\nabc\r\n000;x\r\nTrailer: x\r\nOther:\r\n\r\n',
    ],
)
def test_chunks_are_put_together(port: int, chunks: bytes):
    head = get("Transfer-Encoding: chunked", target="/v1/kv/whole").replace(b"GET", b"PUT")
    data = head + chunks + get("Connection: close", target="/v1/kv/whole")
    for piece_bytes in (1, 7, len(data)):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
            for position in range(0, len(data), piece_bytes):
                client.sendall(data[position : position + piece_bytes])
            received = b"".join(iter(lambda: client.recv(65_536), b""))

        put, read = read_answers(received, ["PUT", "GET"])
        assert (put.status in (201, 204), read.body) == (True, b"abc")


def test_what_follows_the_last_request_of_a_connection_is_not_a_request(port: int):
    hidden = get(target="/v1/kv/hidden").replace(b"GET", b"PUT").replace(b"\r\n\r\n", b"\r\n")
    data = get("Connection: close") + hidden + b"Content-Length: 1\r\n\r\nx"

    assert answer_to(port, data).status == 200
    assert answer_to(port, get("Connection: close", target="/v1/kv/hidden")).status == 404


@pytest.mark.parametrize("framing", ["Content-Length: 67108865", "Transfer-Encoding: chunked"])
def test_body_over_the_limit_ends_the_connection_and_hides_no_request(port: int, framing: str):
    """A client that sends the whole body before it reads gets the answer all the same."""
    head = get(framing, target="/v1/kv/large").replace(b"GET", b"PUT")
    hidden = get(target="/v1/kv/hidden").replace(b"GET", b"DELETE")
    body = hidden * (64 * MIB // len(hidden) + 1)
    if "chunked" in framing:
        body = (
            b"".join(b"%x\r\n%b\r\n" % (MIB, body[i * MIB :][:MIB]) for i in range(64)) + b"40\r\n"
        )
        body += b"x" * 64
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(head + body)
        received = b"".join(iter(lambda: client.recv(65_536), b""))

    (answer,) = read_answers(received)
    assert answer.status == 413
    assert "value_bytes_max is 67108864" in detail_of(answer)


def test_connection_whose_client_goes_on_sending_ends(port: int):
    head = get("Content-Length: 99999999999", target="/v1/kv/endless").replace(b"GET", b"PUT")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(head)
        with pytest.raises(ConnectionError):
            send_for_ever(client)


def send_for_ever(client: socket.socket) -> NoReturn:
    while True:
        client.sendall(b"x" * 65_536)


@pytest.mark.parametrize("data", [b"\x00", get(version="2.0"), b"GET\r\n\r\n"])
def test_refusal_is_an_answer_of_the_highest_version(waitress_port: int, data: bytes):
    received = talk(waitress_port, data, is_whole=True)

    assert received.startswith(b"HTTP/1.1 ")
    assert b"\r\nConnection: close\r\n" in received


@pytest.mark.parametrize("digits", ["9" * 30, "9" * 5_000, "0" * 5_000 + "99999999999"])
def test_length_of_many_digits_is_413(waitress_port: int, digits: str):
    put = get(f"Content-Length: {digits}", target="/v1/kv/a").replace(b"GET", b"PUT")

    assert answer_to(waitress_port, put).status == 413


@pytest.mark.parametrize(
    "lines",
    [
        (
            *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"),
    ],
)
def test_request_to_change_the_protocol_is_answered_as_any_other(port: int, lines: tuple[str, ...]):
    with RawConnection(port) as connection:
        answers = [connection.ask(get(*lines)) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.body for answer in answers] == [b'{"status":"live"}'] * 2
