"""Test real servers with bodies of the largest size, or made to exhaust memory or stack."""

from __future__ import annotations

import json
from collections.abc import Iterator

import cbor2
import pytest

from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, Connection, connect, start
from tests.support.wire.odd_bodies import CBOR, JSON, encode

MEDIA_TYPES = [JSON, CBOR]


@pytest.fixture(scope="module", params=SERVERS, ids=SERVER_NAMES)
def connection(request, tmp_path_factory) -> Iterator[Connection]:
    folder = tmp_path_factory.mktemp("bodies")
    with start(folder, *request.param, "--sync", "never") as server, connect(server) as connected:
        yield connected


def posted(connection: Connection, route: str, body: object, media_type: str) -> tuple[int, bytes]:
    encoded = body if isinstance(body, bytes) else encode(body, media_type)
    answer = connection.ask("POST", route, encoded, Content_Type=media_type)
    return answer.status, answer.body


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_ten_thousand_keys_at_once(connection: Connection, media_type: str):
    keys = [f"{number} é" for number in range(10_001)]
    puts = [{"op": "put", "key": key, "text": key} for key in keys]

    assert posted(connection, "/v1/txn", {"then": puts[:1_000]}, media_type)[0] == 200
    assert posted(connection, "/v1/txn", {"then": puts[:1_001]}, media_type)[0] == 413
    assert posted(connection, "/v1/txn", {"then": puts}, media_type)[0] == 413
    assert posted(connection, "/v1/mget", {"keys": keys}, media_type)[0] == 413
    status, body = posted(connection, "/v1/mget", {"keys": keys[:10_000]}, media_type)

    assert status == 200
    items = (json.loads if media_type == JSON else cbor2.loads)(body)["items"]
    assert [item["key"] for item in items] == keys[:10_000]
    assert [item["found"] for item in items] == [number < 1_000 for number in range(10_000)]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"[" * 5_000_000, JSON),
        (b'{"a":' * 1_000_000, JSON),
        (b"[" * 2_000_000 + b"]" * 2_000_000, JSON),
        (b'{"then": [' + b"9" * 5_000_000 + b"]}", JSON),
        (b'{"keys": [' + b"1," * 2_000_000 + b"1]}", JSON),
        (b'"' + b"\\ud800" * 500_000 + b'"', JSON),
        (b"\x81" * 5_000_000, CBOR),
        (b"\xa1\x61a" * 1_000_000, CBOR),
        (b"\xd8\x20" * 1_000_000, CBOR),
        (b"\x9a\x00\x98\x96\x80" + b"\xf6" * 10_000_000, CBOR),
        (b"\x9b" + b"\xff" * 8, CBOR),
        (b"\x5b" + b"\x7f" + b"\xff" * 7 + b"x", CBOR),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("route", ["/v1/txn", "/v1/mget"])
def test_body_made_to_exhaust_is_refused(connection: Connection, route, body, media_type):
    status, answer = posted(connection, route, body, media_type)

    assert status in (400, 413, 422), answer
    assert connection.ask("GET", "/livez").status == 200
