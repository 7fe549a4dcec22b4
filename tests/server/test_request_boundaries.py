"""Test in process that the bytes of a connection become the same requests however they arrive.

No request may hold anything of another.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from waitress.adjustments import Adjustments

from rundlet_server.server.waitress.parser import StrictParser
from tests.support.wire.raw_requests import KINDS

ADJUSTMENTS = Adjustments(max_request_header_size=65_537)
BODY_BYTES_MAX = 50
ROUNDS = 100


class Parsed(NamedTuple):
    """What the app would get of a request; of a refused one only that it is refused."""

    line: str
    headers: dict[str, str]
    body: bytes


def requests_in(pieces: list[bytes]) -> list[Parsed | None]:
    """Parse what arrives as a channel does; ``None`` stands for a refused request."""
    parser = StrictParser(ADJUSTMENTS, lambda _path: BODY_BYTES_MAX)
    found: list[Parsed | None] = []
    for arrived in pieces:
        piece = arrived
        while piece:
            piece = piece[parser.received(piece) :]
            if not parser.completed:
                continue
            if not parser.empty:
                found.append(parsed(parser))
                if parser.is_last:
                    return found
            parser = StrictParser(ADJUSTMENTS, lambda _path: BODY_BYTES_MAX)
    return found


def parsed(parser: StrictParser) -> Parsed | None:
    if parser.error is not None:
        return None
    line = f"{parser.command} {parser.request_uri} {parser.version}"
    headers = dict(parser.headers)
    if parser.is_body_unread:  # of chunks, how many came before the end depends on the pieces
        headers.pop("CONTENT_LENGTH")
    return Parsed(line, headers, parser.get_body_stream().read())


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut data into pieces of one byte, of a few, or of many."""
    most = chance.choice([1, 3, 40, 500]) if len(data) < 5_000 else 8_192
    pieces = []
    while data:
        size = chance.randint(1, most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize("name", KINDS)
def test_pieces_do_not_change_the_requests(name: str):
    chance = random.Random(f"pieces of {name}")
    for _ in range(ROUNDS):
        parts = [KINDS[chance.choice([name, "pipelined"])](chance) for _ in range(3)]
        data = b"".join(part.data.replace(b"Connection: close\r\n", b"") for part in parts)
        whole = requests_in([data])

        for _ in range(4):
            pieces = cut(chance, data)
            assert requests_in(pieces) == whole, pieces


@pytest.mark.parametrize("piece_bytes", [1, 2, 5, 64, 10_000])
def test_each_request_has_its_own_headers_and_body_only(piece_bytes: int):
    """Each request has a header of its own number, and some expect 100 before a body or none."""
    chance = random.Random(piece_bytes)
    sent = []
    for number in range(200):
        body = chance.choice([b"", b"x" * number, b"GET / HTTP/1.1\r\nHost: y\r\n\r\n"])[:50]
        framing = f"Content-Length: {len(body)}\r\n" if body or chance.random() < 0.5 else ""
        data = body
        if body and chance.random() < 0.4:
            framing = "Transfer-Encoding: chunked\r\n"
            data = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nX-Of: trailer\r\n\r\n"
        expect = chance.choice(["", "Expect: 100-continue\r\n"])
        head = (
            f"PUT /{number} HTTP/1.1\r\nHost: x\r\nX-Of-{number}: {number}\r\n{expect}{framing}\r\n"
        )
        sent.append((number, head.encode() + data + chance.choice([b"", b"\r\n"]), body))
    data = b"".join(data for _, data, _ in sent)

    got = requests_in([data[i : i + piece_bytes] for i in range(0, len(data), piece_bytes)])

    assert len(got) == len(sent)
    for request, (number, _, body) in zip(got, sent, strict=True):
        assert request is not None
        assert request.line == f"PUT /{number} 1.1"
        assert request.body == body
        assert [name for name in request.headers if name.startswith("X_OF")] == [f"X_OF_{number}"]
