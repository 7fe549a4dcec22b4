"""Test exports and imports on real servers: what breaks off, and clients that are slow."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.processes.killed_servers import SERVER_NAMES, SERVERS, connect, port_of, start
from tests.support.processes.servers import RundletServer, wait_for

ROWS = 6_000
VALUE_BYTES = 4_000


@pytest.fixture(params=SERVERS, ids=SERVER_NAMES)
def server(request, tmp_path: Path) -> Iterator[RundletServer]:
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    for first in range(0, ROWS, 1_000):
        puts = [
            Put(f"{n:06}", b"%06d" % n * (VALUE_BYTES // 6)) for n in range(first, first + 1_000)
        ]
        store.commit(Txn(puts))
    store.close()
    with start(tmp_path, *request.param, "--max-exports", "1", "--threads", "4") as running:
        yield running


def test_everything_is_exported_and_imported_again(server: RundletServer):
    with connect(server) as connection:
        exported = connection.ask("GET", "/v1/export")
        assert exported.status == 200
        assert len(exported.body.splitlines()) == ROWS

        answer = connection.ask(
            "POST", "/v1/import", exported.body, Content_Type="application/jsonl"
        )

        assert answer.json["imported"] == ROWS
        assert connection.ask("GET", "/v1/export").body.count(b'"version":2') == ROWS


def test_a_damaged_value_never_lets_an_export_look_whole(server: RundletServer, tmp_path: Path):
    damage(tmp_path / "data", b"%06d" % (ROWS - 1) * (VALUE_BYTES // 6))
    plain = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=PATIENCE_S)
    with contextlib.closing(plain) as connection:
        connection.request("GET", "/v1/export")
        answer = connection.getresponse()
        try:
            body = answer.read()
        except http.client.IncompleteRead:
            return  # waitress: the last chunk is missing
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(body.splitlines()[-1])
    assert len(body.splitlines()) <= ROWS


def damage(folder: Path, value: bytes) -> None:
    for path in folder.glob("*.log"):
        data = path.read_bytes()
        place = data.find(value)
        if place >= 0:
            with path.open("r+b") as file:
                file.seek(place + len(value) // 2)
                file.write(b"#")
            return
    raise AssertionError("the value is in no file")


def test_a_client_that_does_not_read_keeps_its_place_and_no_other_request(server: RundletServer):
    address = ("127.0.0.1", port_of(server))
    with socket.create_connection(address, PATIENCE_S) as slow, connect(server) as connection:
        slow.sendall(b"GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(12) == b"HTTP/1.1 200"
        refused = connection.ask("GET", "/v1/export")
        # With two workers it may be the other one that answers.
        assert refused.status == 200 or refused.json["limit"] == 1
        assert connection.ask("GET", "/v1/kv/000001").status == 200
        slow.close()

        wait_for(lambda: connection.ask("GET", "/v1/export").status == 200)
