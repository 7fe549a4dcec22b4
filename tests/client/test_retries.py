"""Test the bytes that the client sends, and what it retries, against faulty servers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from rundlet import (
    BadRequest,
    Client,
    ConnectionFailed,
    OutcomeUnknown,
    RundletError,
    ServerError,
    Unavailable,
    errors,
)
from tests.support import PATIENCE_S
from tests.support.processes.servers import free_port

NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"
    b'Content-Length: 30\r\n\r\n{"type":"/problems/not-found"}'
)
PLAIN_404 = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
FOUND = (
    b'HTTP/1.1 200 OK\r\nKV-Revision: 7\r\nKV-Version: 2\r\nETag: "e"\r\n'
    b"Content-Length: 2\r\n\r\nhi"
)
STORED = b'HTTP/1.1 204 No Content\r\nKV-Revision: 7\r\nKV-Version: 2\r\nETag: "e"\r\n\r\n'
REFUSED_FOR_NOW = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
WAITED_BODY = (
    b'{"events":[],"next_since":1,"oldest_revision":0,"revision":1,"erased":2,"pending":false}'
)
WAITED_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
WAITED = WAITED_HEAD + b"%d\r\n\r\n" % len(WAITED_BODY) + WAITED_BODY
BREAK_OFF = b""
HALF_AN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nhal"
TIMEOUT_S = 0.2


class ScriptedServer:
    """Answers the n-th request with the n-th answer and then closes the connection."""

    def __init__(self, answers: list[bytes], delay_s: float = 0) -> None:
        self._answers = answers
        self._delay_s = delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the client sent less than the script allows for
                return
            with closing(connection):
                self.requests.append(_read_request(connection))
                time.sleep(self._delay_s)
                # Told of the end, the client sends nothing more on this connection meanwhile.
                connection.sendall(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    size = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    while len(body) < size:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def scripted(*answers: bytes, delay_s: float = 0) -> Iterator[ScriptedServer]:
    server = ScriptedServer(list(answers), delay_s)
    try:
        yield server
    finally:
        server.close()


def target_sent_for(key: str) -> bytes:
    with scripted(NOT_FOUND) as server, Client(server.url) as client:
        assert client.get(key) is None
    return server.requests[0].split(b" ")[1]


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("users/42", b"/v1/kv/users/42"),
        ("a b", b"/v1/kv/a%20b"),
        ("a+b", b"/v1/kv/a%2Bb"),
        ("%41", b"/v1/kv/%2541"),
        ("?q#f", b"/v1/kv/%3Fq%23f"),
        ("-x", b"/v1/kv/-x"),
        ("🗝", b"/v1/kv/%F0%9F%97%9D"),
        ("...", b"/v1/kv/..."),
        ("a;b=c&d", b"/v1/kv/a%3Bb%3Dc%26d"),
    ],
)
def test_ordinary_keys_reach_the_wire_percent_encoded_once(key, target):
    assert target_sent_for(key) == target


@pytest.mark.parametrize(
    ("key", "target"),
    [
        (".", b"/v1/kv64/Lg"),
        ("..", b"/v1/kv64/Li4"),
        ("a/../b", b"/v1/kv64/YS8uLi9i"),
        ("//x", b"/v1/kv64/Ly94"),
        ("/", b"/v1/kv64/Lw"),
        ("a/", b"/v1/kv64/YS8"),
        ("a\x00b", b"/v1/kv64/YQBi"),
        ("a\nb", b"/v1/kv64/YQpi"),
        ("a\\b", b"/v1/kv64/YVxi"),
        ("..?>", b"/v1/kv/..%3F%3E"),
    ],
)
def test_keys_that_proxies_rewrite_travel_as_base64url(key, target):
    assert target_sent_for(key) == target


def test_a_path_before_the_api_is_kept():
    with scripted(NOT_FOUND) as server, Client(server.url + "/store/") as client:
        client.get("..")

    assert server.requests[0].startswith(b"GET /store/v1/kv64/Li4 HTTP/1.1\r\n")


def test_the_token_is_sent():
    with scripted(NOT_FOUND) as server, Client(server.url, token="secret") as client:
        client.get("k")

    assert b"\r\nauthorization: bearer secret\r\n" in server.requests[0].lower()


def test_bytes_are_asked_for_as_stored():
    with scripted(NOT_FOUND) as server, Client(server.url) as client:
        client.get("k")

    assert b"\r\naccept-encoding: identity\r\n" in server.requests[0].lower()


WAITING: list[Callable[[Client], object]] = [
    lambda client: client.changes(1, wait_s=PATIENCE_S),
    lambda client: client.erase("k", wait_s=PATIENCE_S),
]
WRITES: list[Callable[[Client], object]] = [
    lambda client: client.set("k", b"v"),
    lambda client: client.delete("k"),
    lambda client: client.incr("k"),
    lambda client: client.txn([]),
    lambda client: client.compact(),
]


@pytest.mark.parametrize("failure", [BREAK_OFF, HALF_AN_ANSWER, BAD_GATEWAY, REFUSED_FOR_NOW])
def test_a_failed_read_is_sent_again(failure):
    with scripted(failure, failure, FOUND) as server, Client(server.url) as client:
        value = client.get("k")

    assert value is not None
    assert value.data == b"hi"
    assert len(server.requests) == 3


@pytest.mark.parametrize("waiting", WAITING)
def test_a_request_that_waits_may_take_longer_than_the_timeout(waiting):
    answers = (WAITED, BREAK_OFF)  # a request that is sent again breaks off
    with (
        scripted(*answers, delay_s=4 * TIMEOUT_S) as server,
        Client(server.url, timeout_s=TIMEOUT_S, retries=1) as client,
    ):
        waiting(client)

    assert len(server.requests) == 1


@pytest.mark.parametrize("failure", [BREAK_OFF, HALF_AN_ANSWER, BAD_GATEWAY])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_of_unknown_fate_is_not_sent_again(write, failure):
    with (
        scripted(failure, STORED) as server,
        Client(server.url) as client,
        pytest.raises(OutcomeUnknown),
    ):
        write(client)

    assert len(server.requests) == 1


def test_a_write_that_was_refused_for_now_is_sent_again():
    with scripted(REFUSED_FOR_NOW, STORED) as server, Client(server.url) as client:
        written = client.set("k", b"v")

    assert written.revision == 7
    assert len(server.requests) == 2


def test_retries_end():
    with (
        scripted(*[REFUSED_FOR_NOW] * 5) as server,
        Client(server.url, retries=2) as client,
        pytest.raises(Unavailable) as caught,
    ):
        client.set("k", b"v")

    assert len(server.requests) == 3
    assert caught.value.retry_after_s == 0
    assert caught.value.status == 503


def test_a_read_that_takes_too_long_fails_as_such():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, timeout_s=0.05, retries=1) as client,
            pytest.raises(ConnectionFailed, match="timed out"),
        ):
            client.get("k")
        # Long enough to connect on a busy machine: without a connection the outcome is known.
        with Client(url, timeout_s=1) as client, pytest.raises(OutcomeUnknown):
            client.set("k", b"v")


def test_a_server_that_is_not_there_is_named():
    url = f"http://127.0.0.1:{free_port()}"

    with Client(url, retries=1) as client, pytest.raises(ConnectionFailed, match=url):
        client.set("k", b"v")


def test_a_server_that_comes_up_late_is_found():
    address = ("127.0.0.1", free_port())
    answer = threading.Timer(0.05, _answer_once, args=(address,))
    answer.start()

    with Client(f"http://127.0.0.1:{address[1]}", retries=6) as client:
        written = client.set("k", b"v")

    answer.join()
    assert written.revision == 7


def _answer_once(address: tuple[str, int]) -> None:
    with socket.create_server(address) as listener:
        connection, _ = listener.accept()
        with closing(connection):
            _read_request(connection)
            connection.sendall(STORED)


def test_a_404_of_something_else_is_not_an_absent_key():
    with (
        scripted(PLAIN_404) as server,
        Client(server.url) as client,
        pytest.raises(ServerError, match="Rundlet server"),
    ):
        client.get("k")


def test_an_answer_of_something_else_is_an_error_not_a_value():
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
    calls: list[Callable[[Client], object]] = [
        lambda client: client.get("k"),
        lambda client: client.mget(["k"]),
        lambda client: list(client.scan()),
        lambda client: client.stats(),
    ]
    for call in calls:
        with (
            scripted(answer) as server,
            Client(server.url) as client,
            pytest.raises(ServerError, match="Rundlet server"),
        ):
            call(client)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://h", "http://", "", "http://h:x", "http://h?q", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(BadRequest):
        Client(url)


@pytest.mark.parametrize("token", ["", "a b\n", "ä", "a\r\nX: y"])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(BadRequest):
        Client(token=token)


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_an_illegal_key_is_refused_before_anything_is_sent(key):
    calls: list[Callable[[Client], object]] = [
        lambda client: client.get(key),
        lambda client: client.set(key, b""),
        lambda client: client.delete(key),
        lambda client: client.mget([key]),
        lambda client: client.incr(key),
    ]
    with Client("http://127.0.0.1:9") as client:
        for call in calls:
            with pytest.raises(BadRequest):
                call(client)


def test_every_error_is_one_tree():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = [kind for kind in kinds if issubclass(kind, Exception)]

    assert all(issubclass(kind, RundletError) for kind in raised)
    assert all(f"─ {kind.__name__} " in (errors.__doc__ or "") for kind in raised[1:])
