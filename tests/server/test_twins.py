"""Test that both servers give the same answer to the same bytes, over real sockets.

Two servers have copies of one store and get the same random requests of every kind, writes among
them, alone and several in one segment. Status, headers and bodies are compared, and so are the
first events of streams. ``tests/support/wire/twins.py`` lists what may
differ, each with its reason.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.processes.killed_servers import connect, port_of, start
from tests.support.processes.servers import wait_for
from tests.support.wire.get_requests import KEYS as READ_KEYS
from tests.support.wire.get_requests import Request, Requests
from tests.support.wire.raw_http import Answer, talk
from tests.support.wire.twin_requests import KEYS, TwinRequests
from tests.support.wire.twins import (
    comparable,
    differ,
    encoded,
    is_refused_by_hyper,
    read_all,
    read_answer,
    reason_to_differ,
)

pytest.importorskip("granian")

OPTIONS = ("--sync", "never", "--cors-origin", "https://app.example")
WRITES_A_ROUND = 600
READS_A_ROUND = 200
SEGMENTS_A_ROUND = 60
SUCCEEDED_SHARE_MIN = 0.6
TOKENS = (
    {"name": "all", "scope": "admin"},
    {"name": "part", "scope": "write", "prefix": "a"},
    {"name": "reader", "scope": "read"},
)


class Twins(NamedTuple):
    """Two servers of copies of one store: their ports, and the secrets of the tokens of both."""

    waitress: int
    granian: int
    secrets: list[str]


@pytest.fixture(scope="module", params=[(), TOKENS], ids=["open", "tokens"])
def twins(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twins]:
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    secrets = fill(first, request.param)
    shutil.copytree(first / "data", second / "data")
    with (
        start(first, "--server", "waitress", *OPTIONS) as waitress,
        start(second, "--server", "granian", *OPTIONS) as granian,
    ):
        yield Twins(port_of(waitress), port_of(granian), secrets)


def fill(folder: Path, tokens: tuple[dict[str, str], ...]) -> list[str]:
    """Make a store; return the secrets of its tokens."""
    with start(folder, "--sync", "never") as server, connect(server) as connection:
        for key in dict.fromkeys((*KEYS, *READ_KEYS)):
            connection.ask("PUT", "/v1/kv/" + quote(key, safe=""), key.encode() * 2)
        secrets: list[str] = []
        for token in tokens:
            headers = {"Authorization": f"Bearer {secrets[0]}"} if secrets else {}
            headers["Content_Type"] = "application/json"
            made = connection.ask("POST", "/v1/tokens", json.dumps(token).encode(), **headers)
            secrets.append(made.json["token"])
    return secrets


def test_both_servers_give_the_same_answers(twins: Twins, campaign: Campaign):
    compare(twins, campaign, campaign.rounds(2))


@pytest.mark.soak
def test_both_servers_give_the_same_answers_for_long(twins: Twins, campaign: Campaign):
    compare(twins, campaign, campaign.rounds())


def compare(twins: Twins, campaign: Campaign, rounds: Iterator[random.Random]) -> None:
    for chance in rounds:
        requests = TwinRequests(chance, twins.secrets)
        for _ in range(WRITES_A_ROUND):
            request = requests.any()
            answer = compare_once(twins, campaign, request, encoded(request))
            requests.remember(answer.headers, answer.body)
        for _ in range(SEGMENTS_A_ROUND):
            several = [requests.right() for _ in range(chance.choice((2, 3)))]
            # waitress ends the connection, and says so, after an answer whose length it learns late
            one_last = [each for each in several[:-1] if not each.target.startswith("/v1/export")]
            compare_segment(twins, campaign, [*one_last, several[-1]])
        secrets = [*twins.secrets[:1] * 6, *twins.secrets] or ["unknown"]
        reads = Requests(chance.random(), tags=(), secrets=secrets)
        for _ in range(READS_A_ROUND):
            request = reads.any()
            data = request.encoded().replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            compare_once(twins, campaign, request, data)
    check_share(campaign)


def check_share(campaign: Campaign) -> None:
    """Check that most requests succeeded: errors are a small part of what a server does."""
    counts = {kind: count for kind, count in campaign.faults.items() if kind.startswith("answers")}
    succeeded = counts["answers 2xx"] + counts["answers 3xx"]
    campaign.count(f"of them 2xx or 3xx: {succeeded / sum(counts.values()):.0%}")
    assert succeeded >= SUCCEEDED_SHARE_MIN * sum(counts.values()), counts


def compare_once(twins: Twins, campaign: Campaign, request: Request, data: bytes) -> Answer:
    """Send a request to both servers; return the answer of the first."""
    waitress, granian = (
        read_answer(talk(port, data, is_whole=True), request.method)
        for port in (twins.waitress, twins.granian)
    )
    told = f"{data!r}\nwaitress: {waitress}\ngranian: {granian}"
    assert not differ(request, waitress, granian), told
    reason = reason_to_differ(request)
    campaign.count(f"answers {waitress.status // 100}xx" if reason is None else reason)
    return waitress


def compare_segment(twins: Twins, campaign: Campaign, requests: list[Request]) -> None:
    """Send several requests at once, before any is answered; the last ends the connection."""
    *before, last = (encoded(request) for request in requests)
    data = b"".join(each.replace(b"Connection: close\r\n", b"", 1) for each in before) + last
    methods = [request.method for request in requests]
    waitress, granian = (
        read_all(talk(port, data, is_whole=True), methods)
        for port in (twins.waitress, twins.granian)
    )
    told = f"{data!r}\nwaitress: {waitress}\ngranian: {granian}"
    assert len(waitress) == len(granian) == len(requests), told
    for request, one, other in zip(requests, waitress, granian, strict=True):
        assert not differ(request, one, other), told
        campaign.count(f"answers {one.status // 100}xx")
    campaign.count("segments of several requests")


HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n"
EVENTS = 12


@pytest.mark.parametrize("form", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.parametrize("query", ["since=0", "since=3&include=value", "since=0&prefix=tr"])
def test_both_servers_stream_the_same_events(twins: Twins, form: str, query: str):
    count = 3 if "prefix" in query else EVENTS
    authorization = f"Authorization: Bearer {twins.secrets[0]}\r\n" if twins.secrets else ""
    data = f"GET /v1/changes?{query} HTTP/1.1\r\nHost: x\r\nAccept: {form}\r\n{authorization}\r\n"

    waitress, granian = (
        first_events(port, data.encode(), b"\n\n" if "event" in form else b"\n", count)
        for port in (twins.waitress, twins.granian)
    )

    assert comparable(waitress) == comparable(granian)
    assert waitress.status == 200
    assert waitress.headers["content-type"].startswith(form)


def first_events(port: int, data: bytes, end: bytes, count: int) -> Answer:
    """Return a stream as far as its first events, which end so."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        while True:
            piece = connection.recv(65_536)
            assert piece, received
            received += piece
            head, found, chunks = received.partition(b"\r\n\r\n")
            *events, _ = so_far(chunks).split(end) if found else [b""]
            if len(events) >= count:
                body = end.join(events[:count]) + end
                coding = b"\r\nTransfer-Encoding: chunked"
                assert coding.lower() in head.lower(), head
                head = re.sub(coding, b"\r\nContent-Length: %d" % len(body), head, flags=re.I)
                return read_answer(head + found + body, "GET")


def so_far(chunks: bytes) -> bytes:
    """Return what the chunks hold that came whole."""
    body = b""
    while True:
        size, found, rest = chunks.partition(b"\r\n")
        if not found or len(rest) < int(size, 16) + 2:
            return body
        body += rest[: int(size, 16)]
        chunks = rest[int(size, 16) + 2 :]


def ask_json(twins: Twins, method: str, target: str, body: bytes = b"") -> tuple[Answer, Answer]:
    data = f"{method} {target}".encode() + HEAD + b"Content-Type: application/json\r\n"
    return ask_each(twins, data + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def test_both_servers_make_and_end_tokens_alike(twins: Twins):
    if not twins.secrets:
        pytest.skip("the first token would turn authentication on for the other tests")
    made = b'{"name":"new","scope":"write","prefix":"n","expires":"2100-01-01T00:00:00Z"}'
    statuses = []
    for method, target, body in (
        ("POST", "/v1/tokens", made),
        ("POST", "/v1/tokens", made),
        ("POST", "/v1/tokens", b'{"name":"new 2","scope":"all"}'),
        ("GET", "/v1/tokens", b""),
        ("DELETE", "/v1/tokens/new", b""),
        ("DELETE", "/v1/tokens/new", b""),
    ):
        waitress, granian = ask_json(twins, method, target, body)
        assert comparable(waitress) == comparable(granian)
        statuses.append(waitress.status)

    assert statuses == [201, 400, 422, 200, 204, 404]


def test_both_servers_hold_and_end_backups_alike(twins: Twins):
    taken = ask_json(twins, "POST", "/v1/backup?lease=60")
    assert comparable(taken[0]) == comparable(taken[1])
    assert taken[0].status == 201
    held = [json.loads(answer.body) for answer in taken]

    for name in (file["name"] for file in held[0]["files"]):
        for method in ("GET", "HEAD"):
            waitress, granian = (
                answer
                for port, backup in zip((twins.waitress, twins.granian), held, strict=True)
                for answer in [ask(twins, port, f"{method} /v1/backup/{backup['id']}/{name}")]
            )
            assert waitress.status == granian.status == 200
            assert waitress.headers["content-length"] == granian.headers["content-length"]
    for status in (204, 410):
        for port, backup in zip((twins.waitress, twins.granian), held, strict=True):
            assert ask(twins, port, f"DELETE /v1/backup/{backup['id']}").status == status


def ask(twins: Twins, port: int, start: str) -> Answer:
    """Send a request without a body to one of them, as an administrator."""
    line = f"Authorization: Bearer {twins.secrets[0]}\r\n" if twins.secrets else ""
    data = start.encode() + HEAD + line.encode() + b"\r\n"
    return read_answer(talk(port, data, is_whole=True), start.partition(" ")[0])


PUT = b"PUT /v1/kv/asked" + HEAD + b"Content-Length: 1\r\n"


def ask_each(twins: Twins, data: bytes) -> tuple[Answer, Answer]:
    """Send bytes to both servers, with the token of an administrator if there is one."""
    if twins.secrets:
        line = f"\r\nAuthorization: Bearer {twins.secrets[0]}\r\n".encode()
        data = data.replace(b"\r\n", line, 1)
    waitress, granian = (
        read_answer(talk(port, data, is_whole=True), data.partition(b" ")[0].decode())
        for port in (twins.waitress, twins.granian)
    )
    return waitress, granian


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (PUT + b"Content-Type: text/\xe9\r\n\r\nx", 400),
        (PUT + b"Content-Encoding: gzip, \xe9\r\n\r\nx", 415),
        (PUT + b"If_Match: *\r\nIf-None-Match: *\r\nIf_None_Match: *\r\n\r\nx", 412),
        (b"GET /v1/kv/a" + HEAD + b"If_None_Match: *\r\n\r\n", 200),
        (b"PUT /v1/kv/none" + HEAD + b"If-Match: *\r\nContent-Length: 0\r\n\r\n", 412),
        (b"DELETE /v1/kv/none" + HEAD + b"If_Match: *\r\n\r\n", 404),
        (b"GET /livez" + HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /livez" + HEAD + b"X: " + b"x" * 60_000 + b"\r\n\r\n", 200),
    ],
)
def test_headers_count_the_same_on_both_servers(twins: Twins, data: bytes, status: int):
    ask_each(twins, PUT + b"\r\nx")

    waitress, granian = ask_each(twins, data)

    assert (waitress.status, granian.status) == (status, status)
    if status != 431:  # it tells how much of the head came, and waitress reads no further
        assert comparable(waitress) == comparable(granian)


@pytest.mark.parametrize(
    ("data", "on_waitress", "on_granian"),
    [
        (b"GET /livez" + HEAD + b"X: y\r\n" * 120 + b"\r\n", 200, 431),
        (b"GET /v1/kv/<a>" + HEAD + b"\r\n", 404, 400),
        (b"GET /v1/kv/\xe9" + HEAD + b"\r\n", 400, 400),
        (b"GET /livez" + HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400, 200),
        (b"GET /livez" + HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501, 400),
        (
            b"GET /livez"
            + HEAD
            + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            *(400, 200),
        ),
        (b"GET /livez HTTP/1.1\nHost: 127.0.0.1:8080\nConnection: close\n\n", 400, 200),
        (b"GET http://127.0.0.1/livez HTTP/1.1\r\nConnection: close\r\n\r\n", 400, 200),
    ],
)
def test_what_hyper_does_in_its_own_way_is_as_documented(
    twins: Twins, data: bytes, on_waitress: int, on_granian: int
):
    waitress, granian = ask_each(twins, data)

    assert (waitress.status, granian.status) == (on_waitress, on_granian)
    assert is_refused_by_hyper(granian) == (on_granian != 200)


NO_DATE = b"If-Unmodified-Since: x\r\n"
"""Counts for nothing, and is answered in the general way."""
DATE = re.compile(rb"(?i)\r\ndate: [^\r]*")


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    "target", [b"/v1/kv/zz/1", b"/v1/kv64/enovMQ", b"/v1/kv/%c3%a9", b"/livez"]
)
def test_each_server_sends_the_same_bytes_in_its_short_and_its_general_way(
    twins: Twins, method: bytes, target: bytes
):
    token = f"Authorization: Bearer {twins.secrets[0]}\r\n".encode() if twins.secrets else b""
    for port in (twins.waitress, twins.granian):
        if target != b"/livez":  # the random requests may have deleted it
            put = b"PUT " + target + HEAD + token + b"Content-Length: 1\r\n\r\nx"
            assert talk(port, put, is_whole=True).startswith(b"HTTP/1.1 20")
        tag = b""
        for known in (None, b"%b", b"W/%b", b'"y", %b', b"*"):
            head = b"%b %b HTTP/1.1\r\nHost: x\r\n%b" % (method, target, token)
            if known is not None:
                head += b"If-None-Match: " + known.replace(b"%b", tag) + b"\r\n"
            # On a connection that stays open, then on one that is closed.
            short, general = (
                DATE.sub(b"", talk(port, b"".join(requests), is_whole=True))
                for requests in (
                    (head, more, b"\r\n", head, more, b"Connection: close\r\n\r\n")
                    for more in (b"", NO_DATE)
                )
            )
            assert short == general
            if target != b"/livez":
                status = b"HTTP/1.1 200 " if known is None else b"HTTP/1.1 304 "
                assert short.startswith(status)
                tag = re.findall(rb"(?i)\r\netag: ([^\r]*)", short)[0]


def test_client_that_half_closes_has_its_request_carried_out(twins: Twins):
    token = f"Authorization: Bearer {twins.secrets[0]}\r\n".encode() if twins.secrets else b""
    get = b"GET /v1/kv/half" + HEAD + token + b"\r\n"
    put = b"PUT /v1/kv/half" + HEAD + token + b"Content-Length: 1\r\n\r\nx"
    delete = b"DELETE /v1/kv/half" + HEAD + token + b"\r\n"
    for port in (twins.waitress, twins.granian):
        received = half_close(port, put)

        # hyper drops an answer that is not ready when it notices the end of the client's side.
        assert received.startswith(b"HTTP/1.1 201") or (port == twins.granian and not received)
        wait_for(lambda port=port: b" 200 OK" in talk(port, get, is_whole=True)[:20])
        talk(port, delete, is_whole=True)


def half_close(port: int, data: bytes) -> bytes:
    """Send a request and end the sending side at once; return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received
