"""Test by raw sockets that no request breaks a real server, and that keys never collide.

Planted bugs, in the answers that the tests read and in a server that mixes keys up as other servers
are known to do, show that the checks find what they are for.
"""

from __future__ import annotations

import contextlib
import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

import pytest

from rundlet_server.functions.app import create_app
from tests.support.campaign import Campaign
from tests.support.models.model import ModelStore
from tests.support.processes.killed_servers import GRANIAN, SERVER_NAMES, WAITRESS, port_of, start
from tests.support.wire.awkward_keys import canonical, spellings
from tests.support.wire.raw_http import (
    Answer,
    MalformedAnswer,
    RawConnection,
    check_answer,
    read_answers,
    talk,
)
from tests.support.wire.raw_requests import KINDS, RawRequest, any_of
from tests.support.wire.served_model import served_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

REQUESTS_A_ROUND = 100
HEADER_BYTES_MAX = 65_536
KEYS_A_ROUND = 1_500
WATCHED = b"watched \x00\xff"


class Served(NamedTuple):
    """A server that is not to break.

    Attributes:
        port: where it answers.
        refuses_barely: malformed requests are refused by the server below ours, without a body.
        complaints: what it wrote to stderr beside what it always writes.
    """

    port: int
    refuses_barely: bool
    complaints: Callable[[], list[str]]


@pytest.fixture(scope="module", params=[WAITRESS, GRANIAN], ids=SERVER_NAMES)
def served(request, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("raw")
    # A busy machine may make a request slow, which the server would note on stderr.
    quiet = ("--sync", "never", "--slow-ms", "60000")
    with start(folder, *request.param, *quiet) as server:

        def complaints() -> list[str]:
            usual = ("Rundlet ", "rundlet.maintenance: compacted ")
            return [line for line in server.stderr.splitlines() if not line.startswith(usual)]

        yield Served(port_of(server), request.param is GRANIAN, complaints)


# --- requests that misbehave ---------------------------------------------------------------


def test_nothing_breaks_by_a_request(served: Served, campaign: Campaign):
    misbehave(served, campaign, campaign.rounds(8))


@pytest.mark.soak
def test_nothing_breaks_by_a_request_for_long(served: Served, campaign: Campaign):
    misbehave(served, campaign, campaign.rounds())


def misbehave(served: Served, campaign: Campaign, rounds: Iterator[random.Random]) -> None:
    with RawConnection(served.port) as connection:
        put = b"PUT /v1/kv/watched HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(WATCHED)
        assert connection.ask(put + WATCHED).status in (201, 204)
    for chance in rounds:
        for _ in range(REQUESTS_A_ROUND):
            name, request = any_of(chance, list(KINDS))
            campaign.count(name)
            try:
                send(served, request)
            except AssertionError as ex:
                raise AssertionError(f"{name}: {request.data[:2_000]!r}") from ex
        assert_unharmed(served)


def send(served: Served, request: RawRequest) -> None:
    received = talk(served.port, request.data, is_whole=request.is_whole)
    answers = read_answers(received, request.methods)
    for answer in answers:
        check_answer(answer, may_be_bare=served.refuses_barely)
    assert answers or not request.is_whole, "no answer"


def assert_unharmed(served: Served) -> None:
    with RawConnection(served.port) as connection:
        answer = connection.ask(b"GET /v1/kv/watched HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (answer.status, answer.body) == (200, WATCHED)
    assert served.complaints() == []


@pytest.mark.parametrize(
    "begin", [b"HEAD /v1/kv/\xff HTTP/1.1", b"HEAD http://[ HTTP/1.1", b"HEAD / HTTP/1.1\r\nA : b"]
)
def test_refused_head_has_no_body(served: Served, begin: bytes):
    data = begin + b"\r\nHost: x\r\nConnection: close\r\n\r\n"

    (answer,) = read_answers(talk(served.port, data, is_whole=True), ["HEAD"])

    assert answer.status == 400


def test_head_with_too_many_headers_has_no_body(served: Served):
    begin, end = b"HEAD /livez HTTP/1.1\r\nHost: x\r\nA: ", b"\r\nConnection: close\r\n\r\n"
    data = begin.ljust(HEADER_BYTES_MAX + 1 - len(end), b"a") + end

    (answer,) = read_answers(talk(served.port, data, is_whole=True), ["HEAD"])

    assert answer.status == 431


PROBLEM = b'{"type":"/problems/x","title":"T","status":400,"detail":"d","request_id":"1"}'


def answer_of(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "data",
    [
        answer_of(b"abc") + b"d",
        answer_of(b"abc")[:-1],
        answer_of(b"abc", b"Content-Length: 3"),
        answer_of(b"abc", b"ETag: a\nX: b"),
        answer_of(b"abc", b"ETag: a\rb"),
        answer_of(b"abc", b"ETag: a\0b"),
        answer_of(b"abc", b"ETag : a"),
        answer_of(b"abc", b"no header"),
        answer_of(b"abc", b" folded: a"),
        answer_of(b"abc", b'ETag: "a"', b'ETag: "b"'),
        answer_of(b"abc", status=b"20 OK"),
        answer_of(b"", status=b"204 No Content") + b"abc",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"abc",
    ],
)
def test_reader_refuses_an_answer_that_is_malformed(data: bytes):
    with pytest.raises(MalformedAnswer):
        read_answers(data, ["GET"])


def test_reader_refuses_a_body_where_none_may_be():
    assert len(read_answers(answer_of(b"abc")[:-3], ["HEAD"])) == 1

    with pytest.raises(MalformedAnswer):
        read_answers(answer_of(b"abc"), ["HEAD"])


@pytest.mark.parametrize(
    ("data", "may_be_bare"),
    [
        (answer_of(b"", status=b"500 Internal Server Error"), True),
        (answer_of(PROBLEM, status=b"503 Service Unavailable"), True),
        (answer_of(b"Traceback (most recent call last):"), True),
        (answer_of(b"", status=b"400 Bad Request"), False),
        (answer_of(b"", b"Request-Id: 1", status=b"400 Bad Request"), True),
        (answer_of(b"", status=b"404 Not Found"), True),
        (answer_of(b"no", b"Content-Type: text/plain", status=b"400 Bad Request"), True),
        (
            answer_of(
                PROBLEM, b"Content-Type: application/problem+json", b"Request-Id: 1",
                status=b"404 Not Found",
            ),
            True,
        ),
        (
            answer_of(
                PROBLEM, b"Content-Type: application/problem+json", b"Request-Id: 2",
                status=b"400 Bad Request",
            ),
            True,
        ),
    ],
)  # fmt: skip
def test_check_refuses_an_answer_that_means_a_bug(data: bytes, may_be_bare: bool):
    (answer,) = read_answers(data)

    with pytest.raises(MalformedAnswer):
        check_answer(answer, may_be_bare=may_be_bare)


def test_check_takes_answers_that_are_right():
    problem = answer_of(
        PROBLEM,
        b"Content-Type: application/problem+json",
        b"Request-Id: 1",
        status=b"400 Bad Request",
    )
    for answer in read_answers(problem + answer_of(b"abc")):
        check_answer(answer, may_be_bare=False)
    check_answer(Answer(400, {}, b""), may_be_bare=True)


# --- keys that are not each other ----------------------------------------------------------


def test_no_two_keys_are_one(served: Served, campaign: Campaign):
    tell_apart(served.port, campaign, campaign.rounds(3))


@pytest.mark.soak
def test_no_two_keys_are_one_for_long(served: Served, campaign: Campaign):
    tell_apart(served.port, campaign, campaign.rounds())


def tell_apart(port: int, campaign: Campaign, rounds: Iterator[random.Random]) -> None:
    """Put under every spelling; each key holds what was put last, and there are no others."""
    for chance in rounds:
        with RawConnection(port) as connection:
            remove_all(connection)
            held = put_all(connection, campaign, chance)
            for key, (target, value) in held.items():
                for spelled in (target, canonical(key)):
                    answer = ask(connection, "GET", spelled)
                    assert (answer.status, answer.body) == (200, value), (key, spelled)
            assert listed(connection) == sorted(held, key=str.encode)


def put_all(
    connection: RawConnection, campaign: Campaign, chance: random.Random
) -> dict[str, tuple[str, bytes]]:
    """What each key must hold now, and the target it was put to."""
    held: dict[str, tuple[str, bytes]] = {}
    for number, spelling in enumerate(spellings(chance, KEYS_A_ROUND)):
        value = b"%d of %s" % (number, spelling.target.encode())
        answer = ask(connection, "PUT", spelling.target, value)
        check_answer(answer, may_be_bare=False)
        if spelling.key is None:
            assert answer.status in (400, 414), spelling
            campaign.count("keys refused")
        else:
            assert answer.status == (204 if spelling.key in held else 201), (spelling, answer)
            held[spelling.key] = (spelling.target, value)
            campaign.count("keys put")
    return held


def ask(connection: RawConnection, method: str, target: str, body: bytes | None = None) -> Answer:
    framing = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
    line = f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode()
    return connection.ask(line + framing + b"\r\n" + (body or b""))


def listed(connection: RawConnection) -> list[str]:
    page = json.loads(ask(connection, "GET", "/v1/keys?limit=10000").body)
    return [info["key"] for info in page["keys"]]


def remove_all(connection: RawConnection) -> None:
    for key in listed(connection):
        ask(connection, "DELETE", canonical(key))


MIX_UPS: dict[str, Callable[[str], str]] = {
    "decodes twice": lambda path: unquote(path).replace(" ", "%20"),
    "takes broken UTF-8": lambda path: quote(unquote(path)),
    "normalises to NFC": lambda path: decoded(path, lambda k: unicodedata.normalize("NFC", k)),
    "normalises to NFKC": lambda path: decoded(path, lambda k: unicodedata.normalize("NFKC", k)),
    "folds case": lambda path: decoded(path, str.lower),
    "takes a plus for a space": lambda path: path.replace("+", "%20"),
    "joins slashes": lambda path: decoded(path, lambda k: k.replace("//", "/")),
    "ends at NUL": lambda path: decoded(path, lambda k: k.partition("\0")[0] or "a"),
    "ends at an escaped question mark": lambda path: path.partition("%3F")[0] or "a",
    "strips white space": lambda path: decoded(path, lambda k: k.strip() or "a"),
    "drops the last slash": lambda path: path.removesuffix("/") or "a",
    "drops the byte order mark": lambda path: decoded(path, lambda k: k.replace("\ufeff", "a")),
    "takes backslashes for slashes": lambda path: path.replace("%5C", "/").replace("%5c", "/"),
}


def decoded(path: str, change: Callable[[str], str]) -> str:
    """A path with its key changed, once it was decoded; as it is where that cannot be done."""
    try:
        return quote(change(unquote(path, errors="strict")), safe="/.")
    except UnicodeDecodeError:
        return path


@contextlib.contextmanager
def confused_server(mix_up: Callable[[str], str]) -> Iterator[int]:
    """The port of a server that changes keys in paths before it looks at them."""
    app = create_app(ModelStore())

    def confused(environ: WSGIEnvironment, start_response: StartResponse):
        path, question, query = environ["REQUEST_URI"].partition("?")
        if path.startswith("/v1/kv/"):
            path = "/v1/kv/" + mix_up(path.removeprefix("/v1/kv/"))
        environ["REQUEST_URI"] = path + question + query
        return app(environ, start_response)

    with served_app(confused) as port:
        yield port


def test_keys_of_a_server_that_changes_nothing_are_told_apart():
    with confused_server(lambda path: path) as port:
        tell_apart_once(port)


@pytest.mark.parametrize("mix_up", MIX_UPS.values(), ids=MIX_UPS)
def test_server_that_mixes_keys_up_is_found_out(mix_up: Callable[[str], str]):
    with confused_server(mix_up) as port, pytest.raises(AssertionError) as caught:
        tell_apart_once(port)

    assert not isinstance(caught.value, MalformedAnswer)


def tell_apart_once(port: int) -> None:
    planted = Campaign("planted")
    tell_apart(port, planted, planted.rounds(1))
